//! A real containerd per node.
