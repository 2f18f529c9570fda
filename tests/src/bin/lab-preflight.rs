//! Says everything that this machine lacks for building and running the lab, and fetches what it can.
//!
//! ```text
//! lab-preflight [--output json]   0: nothing is missing, 3: something is (listed), 1: failed
//! lab-preflight fetch             downloads and unpacks the parts that come from the distribution; no root
//! ```
//!
//! With `CROSSFADE_LAB_SUITE=trixie` or `forky` both are about the parts of that suite of Debian.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use lab::build::packages::{self, FetchOutcome};
use lab::build::preflight;

/// Answered "something is missing".
const MISSING: u8 = 3;

#[derive(Debug, Parser)]
#[command(about = "What this machine lacks for the lab")]
struct Cli {
    #[command(subcommand)]
    command: Option<Verb>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value = "human")]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Download and unpack the distribution's parts into target/lab-parts (or $CROSSFADE_LAB_PARTS).
    Fetch,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Human,
    Json,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(Verb::Fetch) = cli.command {
        let directory = packages::cache_dir();
        match packages::fetch()? {
            FetchOutcome::Complete => println!("{}: complete", directory.display()),
            FetchOutcome::InUse => {
                println!("{}: a lab runs from it, left as it is", directory.display())
            }
            FetchOutcome::Unpacked(packages) => {
                println!("{}: {}", directory.display(), packages.join(" "))
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let report = preflight::check(&preflight::ALL.concat());
    match cli.output {
        Output::Human => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(MISSING) })
}
