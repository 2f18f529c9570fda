//! Stand-ins.

fn main() {}
