//! `restart-pods`: moves the pods of this node that are not on the network which the policy names for them.
//!
//! Gather ([`gather`]) -> decide ([`mod@decide`], pure) -> act ([`carry`], which knows the node by a trait) -> report ([`report`]). A dry run is
//! the default, and prints the very list that `--apply` goes through. Nothing is remembered between two calls: what is still attached as it was
//! is what is left to do, so a call can be ended at any moment and made again.

pub mod carry;
pub mod decide;
pub mod facts;
pub mod gather;
pub mod report;

use std::io;
use std::time::Duration;

use shim::lock;
use types::glob::matches;
use types::policy::Phase;
use types::problem::Problem;

use self::carry::carry;
use self::decide::{Decision, Wanted, decide};
use self::facts::Facts;
use self::gather::Gathering;
use self::report::Restarted;
use crate::cli::exit::{Exit, Failure};
use crate::cli::{self, Global};

/// The name of the lock: one command moves pods at a time.
const LOCK: &str = "restart-pods";

/// Moves pods, or says which and how.
///
/// # Errors
/// Bad settings; what stands in the way, all of it at once; 75 while another one runs, or if the API server or the runtime does not answer.
pub fn restart_pods(global: &Global, wanted: &cli::RestartPods) -> Result<Restarted, Failure> {
    let asked = asked(wanted);
    let mut hand = Gathering::open(global, &wanted.runtime)?;
    if !wanted.apply {
        let (phase, decision) = decided(&mut hand, &asked)?;
        return Ok(Restarted::of(phase, wanted.in_place, &decision.candidates, None));
    }
    let layout = hand.layout().clone();
    let applied = lock::exclusively(&layout, LOCK, || {
        Ok(decided(&mut hand, &asked).map(|(phase, decision)| {
            let within = Duration::from_secs(wanted.timeout_secs);
            let carried = carry(&mut hand, &asked, decision.candidates.clone(), within);
            Restarted::of(phase, wanted.in_place, &decision.candidates, Some(carried))
        }))
    });
    applied.unwrap_or_else(|why| {
        if why.kind() == io::ErrorKind::WouldBlock {
            return Err(Failure::later("another restart-pods runs on this node"));
        }
        Err(Failure::new(Exit::Failed, format!("lock restart-pods: {why}")))
    })
}

fn asked(wanted: &cli::RestartPods) -> Wanted {
    Wanted {
        on: wanted.on.clone(),
        pods: wanted.pods.clone(),
        in_place: wanted.in_place,
        skip_pre_stop: wanted.skip_pre_stop,
        delete_bare: wanted.delete_bare.clone(),
        delete_empty_dir: wanted.delete_emptydir_data,
        disrupt: wanted.disrupt.clone(),
    }
}

/// What is to be done, and the policy's phase.
fn decided(hand: &mut Gathering, wanted: &Wanted) -> Result<(Phase, Decision), Failure> {
    let facts = hand.gather().map_err(|why| Failure::of(Exit::TryLater, why))?;
    let phase = facts.policy.as_ref().map(types::policy::Policy::phase);
    known(&facts, wanted)?;
    let decision = decide(&facts, wanted);
    match phase {
        Some(phase) if decision.refusals.is_empty() => Ok((phase, decision)),
        _ => Err(Failure::all(Exit::No, decision.refusals)),
    }
}

/// Refuses a pod that this node does not have, and a word that is neither a phase nor the name of a network that a pod has.
fn known(facts: &Facts, wanted: &Wanted) -> Result<(), Failure> {
    for glob in &wanted.pods {
        let is = |namespace: &str, name: &str| matches(glob, &format!("{namespace}/{name}"));
        if facts.sandboxes.iter().any(|one| is(&one.namespace, &one.name)) {
            continue;
        }
        let of_host = facts.pods.iter().any(|pod| pod.host_network && is(&pod.namespace, &pod.name));
        let what = if of_host {
            "it is on the node's own network, so no CNI attaches it"
        } else {
            "this node has no running pod of this name on a pod network"
        };
        let fix = "name a pod as crossfade-bootstrap attachments lists it";
        return Err(Failure::usage(format!("--pod {glob}: {what}")).at("--pod").fix(fix));
    }
    let Some(on) = wanted.on.as_deref().filter(|on| Phase::parse(on).is_none()) else { return Ok(()) };
    let mut names: Vec<&str> =
        facts.lines.iter().flat_map(|line| &line.networks).map(|part| part.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.contains(&on) {
        return Ok(());
    }
    let phases = Phase::ALL.map(Phase::as_str).join(", ");
    let what = Problem::new(format!("--on {on}: no attachment has a network of this name")).at("--on");
    let fix = format!(
        "name one of the phases {phases}, or one of the networks that attachments have: {}",
        names.join(", ")
    );
    Err(Failure::of(Exit::Usage, what.fix(fix)))
}
