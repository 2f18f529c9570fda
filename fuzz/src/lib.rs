//! The checks of shim/tests/parsers for `cargo fuzz`: one target each, a line long. `make fuzz` runs them.

#[path = "../../shim/tests/parsers/checks/mod.rs"]
pub mod checks;
