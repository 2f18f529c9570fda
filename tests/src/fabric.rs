//! The wire between the nodes and the two overlays on it.
