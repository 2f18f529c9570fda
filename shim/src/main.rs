//! The CNI plugin `crossfade`.

fn main() {}
