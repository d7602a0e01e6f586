//! How many hosts of a cluster may be away at once, and who counts as away.
