//! The CNIs that we know, as data.
