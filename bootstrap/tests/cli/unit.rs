//! What units run: `boot`, `gate`, `render`, `sweep` and `watch`; and how units are read.

pub(crate) mod boot;
pub(crate) mod gate;
pub(crate) mod kubelet;
pub(crate) mod mode;
pub(crate) mod render;
pub(crate) mod sweep;
pub(crate) mod systemd;
pub(crate) mod watch;
