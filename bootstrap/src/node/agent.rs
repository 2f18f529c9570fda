//! The agent of a node, `crossfade-bootstrap` itself: its units, its command lines, and the files with which its processes reach one another.

pub mod own_command;
pub mod repair_pause;
pub mod status_file;
pub mod watch_unit;
