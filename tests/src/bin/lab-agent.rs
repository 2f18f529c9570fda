//! One stand-in CNI agent; see `lab::standin::agent::daemon`.

use anyhow::Result;
use clap::Parser;

/// Does on a node what a CNI's daemon does there, apart from networking, as told on stdin.
#[derive(Debug, Parser)]
struct Arguments {
    /// Live in the mount and net namespace of this process.
    #[arg(long)]
    node: Option<u32>,
}

fn main() -> Result<()> {
    lab::standin::agent::daemon::run(Arguments::parse().node)
}
