//! `crossfade-probe`: an agent that sends packets to other agents and answers theirs; with `CROSSFADE_PROBE_ROLE=hub`, also the one that hands out
//! targets and prints what all agents report, one line of JSON each five seconds.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::settings::{HELP, Settings};

mod agent;
mod answer;
mod ask;
mod clock;
mod connection;
mod dns;
mod hub;
mod interface;
mod settings;
mod tcp;

/// How often the agent looks what is due.
const TICK: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--version" | "-V") => {
            println!("crossfade-probe {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some("--help" | "-h") => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!(
                "crossfade-probe: {other}: expected no argument; settings come from the environment (--help)"
            );
            return ExitCode::from(2);
        }
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crossfade-probe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let settings = Arc::new(Settings::from_environment()?);
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&is_over)).context("watch for signals")?;
    }
    if settings.is_hub {
        hub::start(&settings)?;
    }
    let mut agent = agent::Agent::start(&settings)?;
    while !is_over.load(Ordering::Relaxed) {
        agent.advance()?;
        std::thread::sleep(TICK);
    }
    agent.take_leave();
    Ok(())
}
