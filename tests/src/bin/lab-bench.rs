//! The cost of the shim: every figure beside the same call without it, and the numbers to reach.
//!
//! ```text
//! lab-bench [--quick] [--only SECTION,...] [--multus FILE] [--output json]   0: measured, 1: something failed or was left over
//! ```
//!
//! A figure that misses its goal is no failure. The report is saved as `target/bench/DATE.json`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use lab::bench::{self, Options, Section};

#[derive(Debug, Parser)]
#[command(about = "Measures the shim against the same calls without it")]
struct Cli {
    /// As little of everything as proves that it works.
    #[arg(long)]
    quick: bool,
    /// Measure these parts alone.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// Pairs of single calls.
    #[arg(long)]
    pairs: Option<usize>,
    /// Live records.
    #[arg(long)]
    records: Option<usize>,
    /// Sandboxes that containerd starts together.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=200))]
    sandboxes: Option<u16>,
    /// How often it starts them.
    #[arg(long)]
    rounds: Option<usize>,
    /// Nodes of the large cluster.
    #[arg(long)]
    nodes: Option<usize>,
    /// Nodes of the cluster that is simulated.
    #[arg(long)]
    simulated_nodes: Option<usize>,
    /// Hollow nodes of the cluster on a real API server.
    #[arg(long)]
    roll_nodes: Option<usize>,
    /// How many of them are moved, at most.
    #[arg(long)]
    roll_moved: Option<usize>,
    /// Pods on each of them, those of a DaemonSet included.
    #[arg(long)]
    roll_pods: Option<usize>,
    /// Nodes of the cluster that is read from a real API server.
    #[arg(long)]
    live_nodes: Option<usize>,
    /// A binary of Multus, which is called for the same as the shim.
    #[arg(long, value_name = "FILE")]
    multus: Option<PathBuf>,
    /// How the report is written.
    #[arg(long, value_enum, default_value = "human")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Human,
    Json,
}

impl Cli {
    fn options(&self) -> Options {
        let usual = if self.quick { Options::QUICK } else { Options::FULL };
        Options {
            pairs: self.pairs.unwrap_or(usual.pairs),
            records: self.records.unwrap_or(usual.records),
            sandboxes: self.sandboxes.map_or(usual.sandboxes, usize::from),
            rounds: self.rounds.unwrap_or(usual.rounds),
            nodes: self.nodes.unwrap_or(usual.nodes),
            simulated_nodes: self.simulated_nodes.unwrap_or(usual.simulated_nodes),
            roll_nodes: self.roll_nodes.unwrap_or(usual.roll_nodes),
            roll_moved: self.roll_moved.unwrap_or(usual.roll_moved),
            roll_pods: self.roll_pods.unwrap_or(usual.roll_pods),
            live_nodes: self.live_nodes.unwrap_or(usual.live_nodes),
            multus: self.multus.clone(),
            only: self.only.clone(),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    lab::host::isolate::enter()?;
    let report = bench::run(&cli.options())?;
    let path = report.save()?;
    match cli.output {
        Output::Human => println!("{}\nsaved as {}", report.render(), path.display()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
