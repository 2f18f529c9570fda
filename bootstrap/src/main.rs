//! `crossfade-bootstrap`: one node.

fn main() {}
