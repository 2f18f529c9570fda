//! Commands of units: `boot`, `gate`, `render`, `sweep` and `watch`; and the reading of units.

pub(crate) mod boot;
pub(crate) mod gate;
pub(crate) mod kubelet;
pub(crate) mod mode;
pub(crate) mod render;
pub(crate) mod sweep;
pub(crate) mod systemd;
pub(crate) mod watch;
