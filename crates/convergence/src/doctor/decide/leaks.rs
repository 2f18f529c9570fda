//! Findings about leaks of attachments that ended.

use types::policy::Gc;

use crate::doctor::facts::Facts;
use crate::doctor::finding::Finding;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::attachments::leaks::{Leak, leaked_attachments};
use crate::node::attachments::sweep_candidates::{SweepCandidate, contradiction};

pub const RULES: &[&Rule] = &[&SANDBOX_FORGOTTEN, &SANDBOX_WAITS, &LEASE_UNKNOWN, &SWEEP_FAILS, &LEDGER];

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

fn find_leaks(rule: &'static Rule, leaks: &[Leak]) -> Option<Finding> {
    let named = |leak: &Leak| format!("{} {}", leak.container_id, leak.ifname).trim_end().to_owned();
    let lines = leaks.iter().map(|leak| format!("{}: {}", named(leak), leak.what));
    (!leaks.is_empty()).then(|| Finding::new(rule).with_objects(leaks.iter().map(named)).with_evidence(lines))
}

const SANDBOX_FORGOTTEN: Rule = Severity::Warning.rule(
    Symptom::Leaks,
    "sandbox-forgotten",
    "The runtime does not list the sandboxes of attachments, for longer than `gc.graceSeconds`.\n\n\
     It forgot them without a DEL, after a crash for example.",
    "the runtime has forgotten sandboxes without a DEL, for longer than the policy's grace: their addresses and interfaces stay",
    "`sweep` runs the DELs. `watch` starts a sweep every ten minutes. A sweep does not believe a runtime that lists no sandbox at all while the netns of an attachment is alive; the command of the finding then says so with an empty list. Look first whether pods of the node still run.",
);

fn forgotten(facts: &Facts, judged: &[SweepCandidate], leaks: &[Leak]) -> Option<Finding> {
    let finding = find_leaks(&SANDBOX_FORGOTTEN, leaks)?;
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

const SANDBOX_WAITS: Rule = Severity::Warning.rule(
    Symptom::Leaks,
    "sandbox-waits",
    "The runtime does not list sandboxes, as with [sandbox-forgotten](#sandbox-forgotten), and the network that owes the DEL is not ready.",
    "the runtime has forgotten sandboxes, and the network that owes their DEL is not ready, so a sweep leaves them",
    "Start the network's agent, or list the network under `retired` in the policy.",
);

fn waits(leaks: &[Leak]) -> Option<Finding> {
    let finding = find_leaks(&SANDBOX_WAITS, leaks)?;
    Some(
        finding
            .with_manual_step("start the agent of that network on this node again, or list the network under \"retired\" of the policy if it is gone for good")
            .run("crossfade-bootstrap unit sweep", "runs the DELs then"),
    )
}

const LEASE_UNKNOWN: Rule = Severity::Warning.rule(
    Symptom::Leaks,
    "lease-unknown",
    "host-local has leased addresses to containers that have neither a record nor an inventory entry, and that the runtime does not list.\n\n\
     They were attached past Crossfade, or left from before.",
    "host-local has given addresses to containers that neither Crossfade nor the runtime knows. They are lost to the node's range until the leases are removed",
    "Another runtime on the node may have containers on the same network: make sure that it has none before you remove a lease file.",
);

fn leases(facts: &Facts) -> Option<Finding> {
    let finding = find_leaks(&LEASE_UNKNOWN, &facts.kernel.read()?.leases)?;
    Some(
        finding
            .with_manual_step("make sure that nothing but this runtime has pods on the network, such as another runtime on the node")
            .run("crossfade-bootstrap attachments --leaks", "lists the files; remove them only then, one by one"),
    )
}

const SWEEP_FAILS: Rule = Severity::Warning.rule(
    Symptom::Leaks,
    "sweep-fails",
    "The last [sweep](watch.md#the-sweep) failed.",
    "the last pass of the sweep failed: what the runtime forgets stays attached until a pass succeeds",
    "The journal of `crossfade-sweep` has what the delegates said.",
);

fn sweep(facts: &Facts) -> Option<Finding> {
    let why = facts.swept.as_ref()?.failed.as_ref()?;
    let finding = Finding::new(&SWEEP_FAILS).with_objects(["crossfade-sweep"]).with_evidence([why.as_str()]);
    Some(
        finding
            .run("journalctl --unit=crossfade-sweep --lines=50", "has what the delegates said")
            .run("crossfade-bootstrap unit sweep", "is one more pass"),
    )
}

const LEDGER: Rule = Severity::Note.rule(
    Symptom::Leaks,
    "ledger",
    "Attachments ended without the confirmation of their network, by force or because their netns was gone.",
    "attachments ended without the confirmation of their network, so its cluster-wide address management may still treat their addresses as in use",
    "`crossfade-bootstrap attachments --ledger` lists them for the clean-up after the migration.",
);

fn ledger(facts: &Facts) -> Option<Finding> {
    let state = facts.state.read()?;
    let addresses: usize = state.ledger.iter().map(|line| line.addresses.len()).sum();
    if state.ledger.is_empty() {
        return None;
    }
    let lines = state.ledger.len();
    let finding = Finding::new(&LEDGER).with_objects([facts.node.dirs.layout.ledger().display().to_string()]);
    let finding = finding.with_evidence([format!("{lines} lines, with {addresses} addresses")]);
    Some(finding.run(
        "crossfade-bootstrap attachments --ledger",
        "prints what is left of each, for the clean-up after the migration",
    ))
}
