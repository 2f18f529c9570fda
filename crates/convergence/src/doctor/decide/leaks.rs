//! Findings about leaks of attachments that ended.

use types::policy::Gc;

use crate::doctor::code::Code;
use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::node::attachments::leaks::{Leak, leaked_attachments};
use crate::node::attachments::sweep_candidates::{SweepCandidate, contradiction};

/// A sweep believes that no sandbox lives only if a person says so.
const SWEEP_ALL: &str = "printf '[]' >/run/crossfade/none-lives.json && crossfade-bootstrap unit sweep --listed /run/crossfade/none-lives.json";

pub fn all(facts: &Facts) -> Vec<Finding> {
    let grace = facts.node.policy().map_or_else(Gc::default, |policy| policy.gc).grace_secs;
    let judged = facts.state.read().map(|state| state.judged.as_slice()).unwrap_or_default();
    let (waiting, closing): (Vec<Leak>, Vec<Leak>) =
        leaked_attachments(judged, grace).into_iter().partition(|leak| leak.waits);
    [forgotten(facts, judged, &closing), waits(&waiting), leases(facts), sweep(facts), ledger(facts)]
        .into_iter()
        .flatten()
        .collect()
}

fn finding(code: Code, leaks: &[Leak], cause: &str) -> Option<Finding> {
    let named = |leak: &Leak| format!("{} {}", leak.container_id, leak.ifname).trim_end().to_owned();
    let lines = leaks.iter().map(|leak| format!("{}: {}", named(leak), leak.what));
    (!leaks.is_empty())
        .then(|| Finding::new(code, cause).with_objects(leaks.iter().map(named)).with_evidence(lines))
}

fn forgotten(facts: &Facts, judged: &[SweepCandidate], leaks: &[Leak]) -> Option<Finding> {
    let cause = "the runtime has forgotten sandboxes without a DEL, for longer than the policy's grace: their addresses and interfaces stay";
    let finding = finding(Code::SandboxForgotten, leaks, cause)?;
    let lists_none = facts.sandboxes.read().is_some_and(|sandboxes| sandboxes.listed.is_empty());
    if let Some(living) = contradiction(judged).filter(|_| lists_none) {
        let text = format!(
            "the runtime lists no sandbox at all, and the netns of {} {} is there",
            living.key.container_id, living.key.ifname
        );
        let what = "is the sweep for a runtime that is right to list nothing; look first whether pods of this node still run";
        return Some(finding.with_evidence([text]).run(SWEEP_ALL, what));
    }
    Some(finding.run("crossfade-bootstrap unit sweep --dry-run", "lists what a sweep would close").run(
        "crossfade-bootstrap unit sweep",
        "runs the DELs that are owed; watch does the same every ten minutes",
    ))
}

fn waits(leaks: &[Leak]) -> Option<Finding> {
    let cause = "the runtime has forgotten sandboxes, and the network that owes their DEL is not ready, so a sweep leaves them";
    let finding = finding(Code::SandboxWaits, leaks, cause)?;
    Some(
        finding
            .with_manual_step("start the agent of that network on this node again, or list the network under \"retired\" of the policy if it is gone for good")
            .run("crossfade-bootstrap unit sweep", "runs the DELs then"),
    )
}

fn leases(facts: &Facts) -> Option<Finding> {
    let cause = "host-local has given addresses to containers that neither Crossfade nor the runtime knows. They are lost to the node's range until the leases are removed";
    let finding = finding(Code::LeaseUnknown, &facts.kernel.read()?.leases, cause)?;
    Some(
        finding
            .with_manual_step("make sure that nothing but this runtime has pods on the network, such as another runtime on the node")
            .run("crossfade-bootstrap attachments --leaks", "lists the files; remove them only then, one by one"),
    )
}

fn sweep(facts: &Facts) -> Option<Finding> {
    let why = facts.swept.as_ref()?.failed.as_ref()?;
    let cause =
        "the last pass of the sweep failed: what the runtime forgets stays attached until a pass succeeds";
    let finding =
        Finding::new(Code::SweepFails, cause).with_objects(["crossfade-sweep"]).with_evidence([why.as_str()]);
    Some(
        finding
            .run("journalctl --unit=crossfade-sweep --lines=50", "has what the delegates said")
            .run("crossfade-bootstrap unit sweep", "is one more pass"),
    )
}

fn ledger(facts: &Facts) -> Option<Finding> {
    let state = facts.state.read()?;
    let addresses: usize = state.ledger.iter().map(|line| line.addresses.len()).sum();
    if state.ledger.is_empty() {
        return None;
    }
    let cause = "attachments ended without the confirmation of their network, so its cluster-wide address management may still treat their addresses as in use";
    let lines = state.ledger.len();
    let finding = Finding::new(Code::Ledger, cause).with_objects([facts
        .node
        .dirs
        .layout
        .ledger()
        .display()
        .to_string()]);
    let finding = finding.with_evidence([format!("{lines} lines, with {addresses} addresses")]);
    Some(finding.run(
        "crossfade-bootstrap attachments --ledger",
        "prints what is left of each, for the clean-up after the migration",
    ))
}
