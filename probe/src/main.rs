//! `crossfade-probe`: an agent that sends packets to other agents and answers theirs; with `CROSSFADE_PROBE_ROLE=hub`, also the one that hands out
//! targets and prints what all agents report, one line of JSON each five seconds.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::settings::Settings;

mod agent;
mod answer;
mod ask;
mod connection;
mod dns;
mod hub;
mod interface;
mod settings;
mod tcp;

/// How often the agent looks what is due.
const TICK: Duration = Duration::from_millis(50);

const HELP: &str = "\
crossfade-probe: sends packets to other agents and answers theirs (kubectl crossfade probe starts it)

Environment:
  POD_NAME, POD_IPS, NODE_NAME  of this pod, by the downward API
  ZONE                          of its node, if it is known
  CROSSFADE_PROBE_ROLE          agent, or hub: an agent that also hands out targets and prints reports
  CROSSFADE_PROBE_HOST          true on the host network
  CROSSFADE_PROBE_KEY           32 hexadecimal digits, the same for all agents
  CROSSFADE_PROBE_HUBS          ADDRESS:PORT of each hub, by commas, the same order for all agents
  CROSSFADE_PROBE_PORT          the port on which agents answer
  CROSSFADE_PROBE_HUB_PORT      the port on which a hub is asked
  CROSSFADE_PROBE_NETWORKS      old=CIDR,CIDR;new=CIDR: the ranges of pods' addresses
  CROSSFADE_PROBE_SERVICE       cluster IPs of the agents' Service, by commas
  CROSSFADE_PROBE_DNS           cluster IPs of the cluster's DNS, by commas
";

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
