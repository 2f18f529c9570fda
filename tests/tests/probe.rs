//! probe

fn main() {}
