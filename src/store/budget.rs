//! Slots of a cluster's disruption budget, granted by compare-and-swap on its status.
