//! One stand-in for Calico's agents on a node; see `lab::standin::calico`.

use anyhow::Result;
use clap::Parser;
use lab::standin::calico::Spec;

/// Follows a datastore of `lab-calico` and the statuses of its pods, in passes, until stdin ends.
#[derive(Debug, Parser)]
struct Arguments {
    /// Live in the mount and net namespace of this process.
    #[arg(long)]
    node: Option<u32>,
    #[command(flatten)]
    spec: Spec,
}

fn main() -> Result<()> {
    let Arguments { node, spec } = Arguments::parse();
    lab::standin::calico::daemon::run(spec, node)
}
