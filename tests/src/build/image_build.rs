//! An image, made the way image builders make one: Packer provisions a running Debian over ssh.
//!
//! The machine that is provisioned is a [`crate::boot::Machine`] of a [`base`]: systemd, sshd and the distribution's containerd run in it,
//! as they do on a cloud's build instance, and Packer finds it on 127.0.0.1 of the machine's own network namespace. When it is switched
//! off, its disk is the image: [`Machine::of_image`](crate::boot::Machine::of_image) boots from copies of it.

mod base;
mod build;
mod parts;

pub use base::machine;
pub use build::{Build, BuildResult, furnish};
pub use parts::of_cluster;
