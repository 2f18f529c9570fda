//! Every path on the node, and nowhere else.
