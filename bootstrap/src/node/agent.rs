//! The agent of a node, `crossfade-bootstrap` itself: its units, its command lines, and the files with which its processes reach one another.

pub(crate) mod own_command;
pub(crate) mod repair_pause;
pub(crate) mod status_file;
pub(crate) mod watch_unit;
