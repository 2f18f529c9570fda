//! One pod's probe agent; see `lab::probe::agent`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Probes other pods from inside one pod's netns, as told on stdin.
#[derive(Debug, Parser)]
struct Arguments {
    /// Name of the pod.
    #[arg(long)]
    name: String,
    /// Path of its network namespace.
    #[arg(long)]
    netns: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    lab::probe::agent::run(&arguments.name, &arguments.netns)
}
