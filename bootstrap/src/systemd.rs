//! systemd: its units on disk, and its systemctl.

pub(crate) mod continuation;
pub(crate) mod systemctl;
pub(crate) mod unit;
