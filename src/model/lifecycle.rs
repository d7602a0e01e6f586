//! What follows for a host from everybody's word: phase, Ready, maintenance in force, operations.
