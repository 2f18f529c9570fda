//! Agents that probe the network: brings them to the cluster, reads what they report, and takes them away.

mod gates;
mod objects;
mod reports;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use reachability::manifests::Agents;
use reachability::measurement::{Follower, Measurement};
use reachability::placement::{Node, Placement};
use tokio::process::Command;
use types::command::exit::Exit;
use types::command::problem::Problem;

pub(in crate::live) use gates::watch_gates;
pub(crate) use objects::preview as preview_agents;

use super::conduct::runtime;
use super::interrupt::Interrupt;
use super::rights;
use crate::cli::access::Access;
use crate::live::api::call::Caller;
use crate::live::api::connect::connect;
use crate::live::api::failure::{Failure, missing_rights_of};
use crate::live::session::clock::Clock;

/// From one look at the reports to the next: as long as a hub's interval.
const LOOK: Duration = Duration::from_secs(5);
/// How long agents may take to start.
const START: Duration = Duration::from_secs(180);
/// How long the network is looked at once the command has ended.
const AFTER: Duration = Duration::from_secs(60);
/// The manifest with the namespace and the rights.
const RIGHTS: &str = "deploy/cluster/rbac-probe.yaml";

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) struct ProbeOptions {
    pub agents: Agents,
    /// The cluster's nodes, by which it is decided where agents run.
    pub nodes: Vec<Node>,
    /// How long the network is looked at before.
    pub baseline: Duration,
    pub occasion: Occasion,
    /// The agents stay afterwards. Those that were there before stay in any case.
    pub keeps: bool,
}

/// The time that is measured.
#[derive(Debug, Clone)]
pub(crate) enum Occasion {
    Time(Duration),
    /// As long as a command runs, and a minute more.
    Command(Vec<String>),
}

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) struct Probed {
    pub baseline: Measurement,
    pub measured: Measurement,
    /// How many agents the DaemonSets want.
    pub expected: usize,
    /// How the command ended; none without a command, or if it could not be started or was ended by a signal.
    pub command: Option<Result<i32, String>>,
}

/// Brings agents to the cluster, measures, and takes them away.
///
/// # Errors
/// Rights are missing, agents do not start, a request failed, or a person ended it before there was a baseline.
pub(crate) fn probe(
    access: &Access,
    options: &ProbeOptions,
    tell: &mut dyn FnMut(&str),
) -> Result<Probed, Failure> {
    runtime()?.block_on(async {
        let caller = open(access).await?;
        conduct(&caller, options, &Interrupt::new(), tell).await
    })
}

async fn conduct(
    caller: &Caller,
    options: &ProbeOptions,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(&str),
) -> Result<Probed, Failure> {
    let hubs = objects::hub_nodes(caller).await?;
    let placement = Placement::decide(&options.nodes, hubs.as_ref().unwrap_or(&BTreeSet::new()));
    let applied = objects::apply(caller, &options.agents, &placement, &options.nodes).await;
    let probed = match applied {
        Ok(()) => measure(caller, options, interrupt, tell).await,
        Err(failure) => Err(failure),
    };
    if options.keeps || hubs.is_some() {
        return probed;
    }
    tell("taking the agents away");
    let removed = objects::remove(caller).await;
    let probed = probed?;
    removed.map(|()| probed)
}

/// Takes the agents away, whichever command brought them.
///
/// # Errors
/// Rights are missing, or a request failed.
pub(crate) fn remove_agents(access: &Access) -> Result<(), Failure> {
    runtime()?.block_on(async { objects::remove(&open(access).await?).await })
}

async fn open(access: &Access) -> Result<Caller, Failure> {
    let client = connect(access).await.map_err(|problem| (Exit::BadSettings, problem))?;
    let caller = Caller::new(client, Clock::from_machine());
    let missing = rights::missing_to_probe(caller.client()).await;
    if missing.is_empty() {
        return Ok(caller);
    }
    Err(missing_rights_of(RIGHTS, &missing.join(", ")))
}

async fn measure(
    caller: &Caller,
    options: &ProbeOptions,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(&str),
) -> Result<Probed, Failure> {
    let mut follower = Follower::default();
    let expected = start(caller, &mut follower, interrupt, tell).await?;
    tell(&format!("measuring a baseline for {} s", options.baseline.as_secs()));
    let baseline = tokio::time::sleep(options.baseline);
    let baseline = follow(caller, &mut follower, interrupt, baseline).await;
    if interrupt.is_set() {
        return Err(interrupted());
    }
    let mut command = None;
    let measured = match &options.occasion {
        Occasion::Time(time) => {
            tell(&format!("measuring for {} s", time.as_secs()));
            follow(caller, &mut follower, interrupt, tokio::time::sleep(*time)).await
        }
        Occasion::Command(words) => {
            tell(&format!("measuring while {} runs, and {} s more", words.join(" "), AFTER.as_secs()));
            let work = async {
                command = Some(run(words).await);
                tokio::time::sleep(AFTER).await;
            };
            follow(caller, &mut follower, interrupt, work).await
        }
    };
    Ok(Probed { baseline, measured, expected, command })
}

/// Waits until all agents that the DaemonSets want report, or until they had the time for it. Gives how many these are.
async fn start(
    caller: &Caller,
    follower: &mut Follower,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(&str),
) -> Result<usize, Failure> {
    let end = tokio::time::Instant::now() + START;
    let mut registered = 0;
    loop {
        let expected = objects::count_expected(caller).await?;
        if let Ok(hubs) = reports::read(caller, LOOK * 3).await
            && let Some(last) = follower.take(hubs).last()
        {
            registered = last.count_agents();
        }
        if registered >= expected && expected > 0 {
            return Ok(expected);
        }
        tell(&format!("{registered} of {expected} agents report"));
        if interrupt.is_set() {
            return Err(interrupted());
        }
        if tokio::time::Instant::now() >= end {
            let waiting = objects::describe_waiting(caller).await;
            if registered > 0 {
                tell(&format!("going on with {registered} of {expected} agents: {waiting}"));
                return Ok(expected);
            }
            let problem = Problem::new(format!("no agent reports within {} s: {waiting}", START.as_secs()));
            let fix = "look at kubectl -n crossfade-probe get pods, and name an image that the nodes can pull in the settings: probe: {image: IMAGE}";
            return Err((Exit::Failed, problem.with_place("Namespace/crossfade-probe").fix(fix)));
        }
        pause(interrupt, LOOK).await;
    }
}

/// What hubs report until `work` has ended, or a person asks for the end.
async fn follow(
    caller: &Caller,
    follower: &mut Follower,
    interrupt: &Interrupt,
    work: impl Future<Output = ()>,
) -> Measurement {
    let mut measurement = Measurement::default();
    let mut work = std::pin::pin!(work);
    // As far back as the last answer is: the API server may be away for a while.
    let mut answered_at = tokio::time::Instant::now();
    loop {
        let is_over = tokio::select! {
            () = &mut work => true,
            () = pause(interrupt, LOOK) => interrupt.is_set(),
        };
        if let Ok(hubs) = reports::read(caller, answered_at.elapsed() + LOOK * 2).await {
            answered_at = tokio::time::Instant::now();
            follower.take(hubs).iter().for_each(|report| measurement.add(report));
        }
        if is_over {
            return measurement;
        }
    }
}

async fn pause(interrupt: &Interrupt, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = interrupt.wait() => {}
    }
}

/// Runs a command as it is written. What it writes goes to stderr, for stdout has the answer. Gives its exit status, or why there is none.
async fn run(words: &[String]) -> Result<i32, String> {
    let (program, arguments) = words.split_first().ok_or("there is no command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().await.map_err(|e| format!("{program}: {e}"))?;
    status.code().ok_or_else(|| format!("{program} ended with {status}"))
}

fn interrupted() -> Failure {
    let problem = Problem::new("it was interrupted before there was a baseline; nothing was measured");
    (Exit::TryLater, problem.with_place("Namespace/crossfade-probe").fix("run the same command again"))
}
