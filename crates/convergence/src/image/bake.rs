//! `bake`: an image's policy and node settings.

pub mod decide;
pub mod facts;
pub mod identity;
pub mod registration;
pub mod sides;

use std::path::PathBuf;

use clap::ValueEnum;
use types::node::Mode;
use types::policy::Phase;

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Image {
    /// An image with both networks, and with the plugin that chooses between them.
    Migration,
    /// An image with the new network only: no plugin, no policy.
    Final,
}

/// What the command line says.
#[derive(Debug, Clone, Copy)]
pub struct BakeOptions<'a> {
    pub image: Image,
    /// The CNI to leave.
    pub old: Option<&'a str>,
    /// The CNI to go to.
    pub new: Option<&'a str>,
    pub old_conf: &'a [PathBuf],
    pub new_conf: &'a [PathBuf],
    pub old_cidrs: &'a [String],
    pub new_cidrs: &'a [String],
    pub phase: Option<Phase>,
    pub labels: &'a [String],
    pub taints: &'a [String],
    /// With the taint that the readiness rule lifts.
    pub readiness_taint: bool,
    /// CrossfadeReady waits for both networks.
    pub require_all_networks: bool,
    /// Without the label and the taint that a migration usually has.
    pub bare: bool,
    pub mode: Option<Mode>,
    /// A file has the whole policy.
    pub has_policy_file: bool,
}
