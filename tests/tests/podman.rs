//! Podman.

fn main() {}
