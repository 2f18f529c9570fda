//! Machines that boot: a real systemd as PID 1, our units, real containerd, stand-ins for kubelet and agents.
//!
//! A [`Machine`] is a root directory on the lab's tmpfs: an almost empty `/etc` and `/var`, and a `/usr` that is the lab's own
//! (the distribution's unmodified parts) with a [`Kit`] on top, which is our package as it would be installed. systemd-nspawn
//! boots it. The directory outlives a boot, so a machine is rebooted, cloned and taken apart as one is in the field; `/run`
//! does not. A machine has a network of its own with a loopback and nothing else. Everything about it ends with it.
//!
//! A test says what is on the disk, boots, waits for conditions ([`Machine::until`]), and judges by files, by what systemd
//! answers and by the [`journal`].

pub mod agents;
mod disk;
mod evidence;
pub mod furniture;
pub mod journal;
mod kit;
mod machine;
mod nspawn;

pub use kit::Kit;
pub use machine::Machine;
pub use nspawn::BootExit;
