//! `move-pods`: moves the pods of this node that are not on the network which the policy names for them.
//!
//! Gather ([`gather`]) -> decide ([`mod@decide`], pure) -> apply ([`apply()`], which knows the node by a trait) -> report ([`report`]). A dry run is
//! the default, and prints the very list that `--apply` goes through. Nothing is remembered between two calls: what is still attached as it was
//! is what is left to do, so a call can be ended at any moment and made again.

mod connections;
pub(crate) mod gather;
mod network_change;
pub(crate) mod report;

use std::time::Duration;

use convergence::commands::move_pods::apply::apply;
use convergence::commands::move_pods::decide::{Decision, MoveOptions, Ways, decide};
use convergence::commands::move_pods::facts::Facts;
use convergence::failure::Failure;
use convergence::node::attachments::last_pass::{Pass, PodsResult};
use convergence::node::attachments::selection::require_known;
use shim::node::layout::Layout;
use types::command::exit::Exit;
use types::policy::Phase;
use types::text::glob::matches;

use self::gather::LiveClient;
use self::report::MoveReport;
use crate::cli::{self, Global};
use crate::host::command_lock::CommandLock;
use crate::node::attachments::last_pass;
use crate::node::settings::directories::with_flags;

/// One command moves pods at a time.
const LOCK: CommandLock =
    CommandLock { lock: "move-pods", command: "move-pods", another: "another move-pods" };

/// Moves pods, or says which and how; keeps the result for the `watch` that started it.
///
/// # Errors
/// Bad settings; what stands in the way, all of it at once; 75 while another one runs, or if the API server or the runtime does not answer.
pub(crate) fn move_pods(global: &Global, args: &cli::MovePods) -> Result<MoveReport, Failure> {
    let client = LiveClient::open(global, &args.node.runtime);
    // `watch` passes directories on the command line if they are not the usual ones.
    let layout = client
        .as_ref()
        .map_or_else(|_| with_flags(global, Layout::default()), |client| client.layout().clone());
    let moved = client.and_then(|client| gather_and_apply(client, &layout, args));
    let Some(turn) = args.turn else { return moved.map(|(report, _)| report) };
    let result = match &moved {
        Ok((_, (failed, pods))) => (failed.clone(), pods.clone()),
        Err(failure) => (Some(failure.lines().join("; ")), None),
    };
    last_pass::write(&layout, Pass::MovePods, turn, result)?;
    moved.map(|(report, _)| report)
}

/// Why pods are left that no restart is needed for, and the pods after the command; nothing of both after a dry run.
type Remainder = (Option<String>, Option<PodsResult>);

fn gather_and_apply(
    mut hand: LiveClient,
    layout: &Layout,
    args: &cli::MovePods,
) -> Result<(MoveReport, Remainder), Failure> {
    let options = move_options(args);
    if !args.apply {
        let (_, phase, decision) = gather_and_decide(&mut hand, &options)?;
        let report = MoveReport::new(phase, args.in_place, &decision.candidates, None);
        return Ok((report, (None, None)));
    }
    LOCK.run(layout, || {
        let (policy_sha256, phase, decision) = gather_and_decide(&mut hand, &options)?;
        let within = Duration::from_secs(args.timeout_secs);
        let result = apply(&mut hand, &options, decision.candidates.clone(), within);
        let (restarts, not_moved, failed) = result.remainder(&decision.candidates);
        let report = MoveReport::new(phase, args.in_place, &decision.candidates, Some(result));
        Ok((report, (failed, Some(PodsResult { policy_sha256, restarts, not_moved }))))
    })
}

fn move_options(args: &cli::MovePods) -> MoveOptions {
    MoveOptions {
        selection: args.selection.clone(),
        pods: args.pods.clone(),
        in_place: args.in_place,
        skip_pre_stop: args.skip_pre_stop,
        delete_bare: args.delete_bare.clone(),
        delete_empty_dir: args.delete_emptydir_data,
        disrupt: args.disrupt.clone(),
        ways: match (args.restart_only, args.no_restart) {
            (true, _) => Ways::RestartOnly,
            (_, true) => Ways::NoRestart,
            _ => Ways::All,
        },
        connections_end_within: Duration::from_secs(args.wait_secs),
        break_connections: args.now,
    }
}

/// The digest and the phase of the policy, and what is to be done.
fn gather_and_decide(
    hand: &mut LiveClient,
    options: &MoveOptions,
) -> Result<(String, Phase, Decision), Failure> {
    let facts = hand.gather_facts().map_err(|why| Failure::from_problem(Exit::TryLater, why))?;
    let phase = facts.policy.as_ref().map(types::policy::Policy::phase);
    require_named_pods(&facts, options)?;
    let decision = decide(&facts, options);
    match phase {
        Some(phase) if decision.refusals.is_empty() => Ok((facts.policy_sha256, phase, decision)),
        _ => Err(Failure::all(Exit::No, decision.refusals)),
    }
}

/// Refuses a pod that this node does not have, and a word that is neither a phase nor the name of a network that a pod has.
fn require_named_pods(facts: &Facts, options: &MoveOptions) -> Result<(), Failure> {
    for glob in &options.pods {
        let is_named = |namespace: &str, name: &str| matches(glob, &format!("{namespace}/{name}"));
        if facts.sandboxes.iter().any(|sandbox| is_named(&sandbox.namespace, &sandbox.name)) {
            continue;
        }
        let of_host = facts.pods.iter().any(|pod| pod.host_network && is_named(&pod.namespace, &pod.name));
        let what = if of_host {
            "it is on the node's own network, so no CNI attaches it"
        } else {
            "this node has no running pod of this name on a pod network"
        };
        let fix = "name a pod as crossfade-bootstrap attachments lists it";
        return Err(Failure::usage(format!("--pod {glob}: {what}")).with_place("--pod").fix(fix));
    }
    options.selection.as_deref().map_or(Ok(()), |on| require_known(&facts.lines, on))
}
