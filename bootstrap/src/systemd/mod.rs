//! systemd: its units as they are on disk, and its systemctl.

pub mod continuation;
pub mod systemctl;
pub mod unit;
