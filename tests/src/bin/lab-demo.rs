//! Moves real pods from one pod network to another, both ways there are, and counts what was lost.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use lab::demo::Stage;
use lab::demo::board::Board;
use lab::demo::migrate::Size;
use lab::demo::strategy::Strategy;

#[derive(Debug, Parser)]
#[command(about = "Moves real pods from one pod network to another and counts what was lost")]
struct Cli {
    /// Which way to go.
    #[arg(long, value_enum, default_value = "all")]
    strategy: Choice,
    /// Nodes, each with its own containerd.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    nodes: u8,
    /// Pods on each node.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
    pods: u8,
    /// Probes that every directed pair must have had, over UDP and over TCP, before a step is followed by the next.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    probes: u64,
    /// On a real Kubernetes, by `kubectl crossfade` alone (`make demo-cluster`).
    #[cfg(feature = "kubernetes")]
    #[arg(long)]
    kubernetes: bool,
    /// How the report is written to stdout; progress goes to stderr.
    #[arg(long, value_enum, default_value = "human")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Double,
    Bridge,
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Human,
    Json,
}

impl Cli {
    #[cfg(feature = "kubernetes")]
    fn stage(&self) -> Stage {
        if self.kubernetes { Stage::Kubernetes } else { Stage::Runtimes }
    }

    #[cfg(not(feature = "kubernetes"))]
    fn stage(&self) -> Stage {
        Stage::Runtimes
    }
}

fn main() -> Result<ExitCode> {
    // Usage errors and --help need no root.
    let cli = Cli::parse();
    lab::host::isolate::enter()?;
    let strategies: &[Strategy] = match cli.strategy {
        Choice::Double => &[Strategy::Double],
        Choice::Bridge => &[Strategy::Bridge],
        Choice::All => &[Strategy::Double, Strategy::Bridge],
    };
    let size = Size { nodes: cli.nodes, pods: cli.pods, probes_per_step: cli.probes };
    let report = lab::demo::run(cli.stage(), strategies, size, &Board::new())?;
    match cli.output {
        Output::Human => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
