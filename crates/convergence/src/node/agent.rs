//! The agent of a node, `crossfade-bootstrap` itself: its command lines, its units and its report.

pub mod own_command;
pub mod status_file;
pub mod watch_unit;
