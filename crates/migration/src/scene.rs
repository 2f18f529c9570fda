//! What a check looks at.

use snapshot::model::Snapshot;

use crate::config::Config;
use crate::support::{Cni, Strategy};

/// A cluster, and the migration that somebody plans for it.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The cluster.
    pub snapshot: &'a Snapshot,
    /// The operator's settings.
    pub config: &'a Config,
    /// The CNI to move from.
    pub from: Cni,
    /// The CNI to move to.
    pub to: Cni,
    /// How.
    pub strategy: Strategy,
}
