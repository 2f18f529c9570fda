//! The demonstration: real pods on real runtimes, moved live from one pod network to another.
//!
//! First the naive way on one node, to see what goes wrong. Then each strategy on a cluster of its own, with the probe mesh
//! running between all pods throughout. Nothing in here asks Crossfade how it did: leases are read from host-local's own
//! files, addresses come from the runtime, calls from a plugin in both networks' chains, losses from the mesh.

mod audit;
pub mod board;
pub mod bootstrap;
pub mod calico;
pub mod cluster;
pub mod migrate;
pub mod naive;
pub mod placement;
pub mod plan;
pub mod remains;
pub mod report;
#[cfg(feature = "kubernetes")]
pub mod rollout;
mod settle;
pub mod strategy;
pub mod witness;

use std::time::Instant;

use anyhow::{Context, Result};

use board::Board;
use migrate::Size;
use plan::Plan;
use report::Report;
use strategy::Strategy;

/// On what the migrations are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Runtimes that the lab drives itself, as kubelet would.
    Runtimes,
    /// A real Kubernetes.
    #[cfg(feature = "kubernetes")]
    Kubernetes,
}

/// Runs it all.
///
/// # Errors
/// The lab itself fails. That a migration lost something is in the report.
pub fn run(stage: Stage, strategies: &[Strategy], size: Size, board: &Board) -> Result<Report> {
    let began = Instant::now();
    let naive = naive::run(size.pods, board).context("the naive way")?;
    let migrate = |strategy: &Strategy| match stage {
        Stage::Runtimes => migrate::run(&Plan::for_strategy(*strategy), size, board),
        #[cfg(feature = "kubernetes")]
        Stage::Kubernetes => rollout::run(*strategy, size, board),
    };
    let migrations = strategies.iter().map(migrate).collect::<Result<Vec<_>>>()?;
    board.clear();
    let duration_ms = u64::try_from(began.elapsed().as_millis())?;
    Ok(Report::new((size.nodes, size.pods), naive, migrations, duration_ms))
}
