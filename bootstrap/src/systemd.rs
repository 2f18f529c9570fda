//! systemd: its units on disk, and its systemctl.

pub mod continuation;
pub mod systemctl;
pub mod unit;
