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
    /// Milliseconds between two probes of a target.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    every_ms: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    lab::probe::agent::run(&arguments.name, &arguments.netns, arguments.every_ms)
}
