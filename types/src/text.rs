//! Names and patterns, and text of others in messages and on terminals.

pub mod escape;
pub mod glob;
pub mod list;
pub mod names;
pub mod nearest;
pub mod qualified;
pub mod quote;
