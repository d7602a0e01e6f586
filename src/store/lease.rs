//! One of several: a Lease says who works.
