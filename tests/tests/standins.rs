//! standins

fn main() {}
