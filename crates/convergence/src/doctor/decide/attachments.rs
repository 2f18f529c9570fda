//! Findings about attachments that do not begin or end, and about unknown pods.

use std::collections::BTreeMap;

use shim::attachment::owner::Owner;
use shim::node::store::Key;
use types::policy::{Deadlines, Gc};

use crate::doctor::facts::{AttachmentRecords, Facts, Source};
use crate::doctor::finding::Finding;
use crate::doctor::journal::Entry;
use crate::doctor::rule::{Rule, Severity, Symptom};
use crate::node::attachments::{Life, Line};
use crate::publish::node_read::ObservedPod;

pub const RULES: &[&Rule] = &[
    &ADD_HANGS,
    &ADDS_FAIL,
    &PODS_STUCK_STARTING,
    &DEL_OWED,
    &PODS_STUCK_ENDING,
    &RECORD_DAMAGED,
    &STATE_UNREADABLE,
    &PODS_BYPASS,
    &RECORD_STALE,
];

/// ADDs that failed within this time are reported.
const RECENT_SECS: u64 = 600;
/// So many failed ADDs within that time are reported although later ones succeeded.
const MANY: usize = 3;
/// For so long a pod may start or end before it counts as stuck.
const STUCK_SECS: u64 = 120;

const STATE_UNREADABLE: Rule = Severity::Error.rule(
    Symptom::PodsDoNotEnd,
    "state-unreadable",
    "The records, the inventory or the ledger cannot be read, or another user than root could change them.\n\n\
     DELs fail with code 5 until they can be read.",
    "records or inventory cannot be read: DELs and sweeps cannot know who attached a pod",
    "`crossfade-bootstrap attachments` names the file and what is wrong with it.",
);

pub fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [
        adds_hang(facts),
        adds_fail(facts),
        stuck_starting(facts),
        owed(facts),
        stuck_ending(facts),
        damaged(facts),
        find_attached_without_crossfade(facts),
        stale(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Source::Unread(why) = &facts.state {
        let finding = Finding::from_problem(&STATE_UNREADABLE, why).with_evidence([why.what.as_str()]);
        findings
            .push(finding.run("crossfade-bootstrap attachments", "names the file and what is wrong with it"));
    }
    findings
}

/// Calls of the plugin that run now, one line for each.
pub fn calls(facts: &Facts) -> Vec<String> {
    let running = facts.state.read().map(|state| &state.running);
    let line = |(key, call): (&Key, &shim::host::lock::RunningCall)| {
        let pids: Vec<String> = call.pids.iter().map(ToString::to_string).collect();
        format!("{} of {} {} runs in processes {}", call.verb, key.container_id, key.ifname, pids.join(", "))
    };
    running.into_iter().flatten().map(line).collect()
}

fn lines(state: &AttachmentRecords, life: Life) -> impl Iterator<Item = &Line> {
    state.attached.attachments.iter().filter(move |line| line.life == life)
}

/// An attachment as a person finds it: its container, and its pod if the runtime named that.
fn name_line(line: &Line) -> String {
    let pod = match (&line.namespace, &line.pod) {
        (Some(namespace), Some(pod)) => format!(" ({namespace}/{pod})"),
        _ => String::new(),
    };
    format!("{} {}{pod}", line.container_id, line.ifname)
}

const ADD_HANGS: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "add-hangs",
    "An ADD runs for longer than `deadlines.addSeconds`.\n\n\
     A process of a delegate is left in the kernel or waits for a lock.",
    "an ADD runs for longer than the policy's deadline allows: a process of a delegate is left that the deadline did not end",
    "`ps` with the column `wchan` says what the process waits for. After the process ended, the plugin undoes the ADD, and the runtime tries again.",
);

fn adds_hang(facts: &Facts) -> Option<Finding> {
    let state = facts.state.read()?;
    let limit = facts.node.policy().map_or_else(Deadlines::default, |policy| policy.deadlines).add_secs;
    let call = |line: &Line| state.running.get(&Key::new(&line.container_id, &line.ifname));
    let hangs = |line: &&Line| line.age_secs.is_some_and(|age| age > limit) && call(line).is_some();
    let hanging: Vec<&Line> = lines(state, Life::Attaching).filter(hangs).collect();
    let pids: Vec<i32> =
        hanging.iter().filter_map(|line| call(line)).flat_map(|call| call.pids.clone()).collect();
    let finding = Finding::new(&ADD_HANGS).with_objects(hanging.iter().map(|line| name_line(line)));
    let finding =
        finding.with_evidence(calls(facts)).with_evidence([format!("the policy allows an ADD {limit} s")]);
    let list: Vec<String> = pids.iter().map(ToString::to_string).collect();
    (!hanging.is_empty()).then(|| {
        finding
            .run(
                format!("ps --format pid,ppid,stat,wchan:20,etime,args --pid {}", list.join(",")),
                "says what the processes wait for",
            )
            .run(
                format!("kill {}", list.join(" ")),
                "ends the call; the plugin rolls back, and the runtime tries again",
            )
    })
}

const ADDS_FAIL: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "adds-fail",
    "ADDs failed within the last ten minutes: the last one, or three or more.\n\n\
     The `seen` lines count them by their reason. The reason is Crossfade's own text. What the network's plugin said goes to the runtime alone, and from there into the event `FailedCreatePodSandBox`.",
    "ADDs fail: the runtime tries each pod again with another sandbox, and kubectl shows FailedCreatePodSandBox",
    "Mend what the other findings of `doctor` say.",
);

fn adds_fail(facts: &Facts) -> Option<Finding> {
    let journal = facts.journal.read()?;
    let since = facts.now.wall_secs.saturating_sub(RECENT_SECS);
    let recent = |entry: &&Entry| entry.cni_command == "ADD" && entry.wall_secs() >= since;
    let adds: Vec<&Entry> = journal.iter().filter(recent).collect();
    let failed: Vec<&&Entry> = adds.iter().filter(|entry| entry.is_failed("ADD")).collect();
    let last_failed = adds.last().is_some_and(|entry| entry.is_failed("ADD"));
    if failed.len() < MANY && !last_failed {
        return None;
    }
    let mut by_reason: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for entry in &failed {
        let row = by_reason.entry(entry.error.as_str()).or_insert((0, ""));
        *row = (row.0 + 1, entry.container_id.as_str());
    }
    let reasons =
        by_reason.iter().map(|(why, (count, id))| format!("{count} times, last for container {id}: {why}"));
    let object = failed.last().map(|entry| entry.container_id.clone());
    let finding = Finding::new(&ADDS_FAIL)
        .with_objects(object)
        .with_evidence([format!(
            "{} of {} ADDs failed within the last {} minutes",
            failed.len(),
            adds.len(),
            RECENT_SECS / 60
        )])
        .with_evidence(reasons);
    Some(finding.run(
        "journalctl --boot --identifier=crossfade CNI_COMMAND=ADD MESSAGE=failed --output=verbose --lines=5",
        "has all fields of the last ones; the other findings of doctor say what to mend",
    ))
}

fn pods_stuck<'a>(
    facts: &'a Facts,
    secs: impl Fn(&ObservedPod) -> Option<u64> + 'a,
) -> Vec<(&'a ObservedPod, u64)> {
    let pods = facts.server.read().map(|looked| looked.pods.as_slice()).unwrap_or_default();
    let on_pod_network = pods.iter().filter(|pod| !pod.host_network);
    on_pod_network.filter_map(|pod| Some((pod, secs(pod).filter(|secs| *secs >= STUCK_SECS)?))).collect()
}

const PODS_STUCK_STARTING: Rule = Severity::Error.rule(
    Symptom::PodsDoNotStart,
    "pods-stuck-starting",
    "By the API server, pods have been bound to the node for two minutes without a container.",
    "pods are bound to this node and have no container yet. Their sandbox has no network, or an image or a volume is missing",
    "Read the events of the pod. If no other finding explains it, an image or a volume is the reason.",
);

fn stuck_starting(facts: &Facts) -> Option<Finding> {
    let stuck = pods_stuck(facts, |pod| pod.starting_secs);
    let (first, _) = stuck.first()?;
    let finding = Finding::new(&PODS_STUCK_STARTING)
        .with_objects(stuck.iter().map(|(pod, _)| format!("{}/{}", pod.namespace, pod.name)))
        .with_evidence(
            stuck.iter().map(|(pod, secs)| format!("{}/{} has waited for {secs} s", pod.namespace, pod.name)),
        );
    Some(finding.run(
        format!("kubectl --namespace {} describe pod {}", first.namespace, first.name),
        "has the events of the pod: FailedCreatePodSandBox is the network, and another finding of doctor says why",
    ))
}

const PODS_STUCK_ENDING: Rule = Severity::Error.rule(
    Symptom::PodsDoNotEnd,
    "pods-stuck-ending",
    "By the API server, pods are two minutes past the time by which they were to have ended.",
    "pods are past the time by which they were to have ended. A DEL that fails is one reason; a finalizer or a volume is another",
    "If [del-owed](#del-owed) is not among the findings, look for finalizers and volumes.",
);

fn stuck_ending(facts: &Facts) -> Option<Finding> {
    let stuck = pods_stuck(facts, |pod| pod.overdue_secs);
    let (first, _) = stuck.first()?;
    let finding = Finding::new(&PODS_STUCK_ENDING)
        .with_objects(stuck.iter().map(|(pod, _)| format!("{}/{}", pod.namespace, pod.name)))
        .with_evidence(
            stuck.iter().map(|(pod, secs)| format!("{}/{} is {secs} s late", pod.namespace, pod.name)),
        );
    Some(finding.run(
        format!("kubectl --namespace {} describe pod {}", first.namespace, first.name),
        format!(
            "has the events of the pod: FailedKillPod is the network, and the finding {} says why",
            DEL_OWED.code
        ),
    ))
}

const DEL_OWED: Rule = Severity::Error.rule(
    Symptom::PodsDoNotEnd,
    "del-owed",
    "A [DEL](glossary.md#the-plugin) has failed for longer than `gc.graceSeconds`.",
    "kubelet tries the DEL again for ever, and the address stays in use",
    "If the network is not ready, start its agent on this node. If the agent is gone for good, list the network under `retired` in the policy: from then on, a DEL that keeps failing is cleaned up on the node, and the [ledger](glossary.md#the-plugin) says what is left. To go back, remove the network from `retired`. If the network's own plugin refuses, read the event `FailedKillPod` of the pod, which has the plugin's message.",
);

fn owed(facts: &Facts) -> Option<Finding> {
    let state = facts.state.read()?;
    let grace = facts.node.policy().map_or_else(Gc::default, |policy| policy.gc).grace_secs;
    let owed: Vec<&Line> = state.attached.attachments.iter().filter(|line| line.is_overdue(grace)).collect();
    if owed.is_empty() {
        return None;
    }
    let networks = |line: &Line| {
        let parts = line.networks.iter().filter(|part| part.owed).map(|part| part.name.clone());
        parts.collect::<Vec<_>>().join(", ")
    };
    let line = |line: &&Line| {
        let since =
            line.del_failing_secs.map_or_else(|| "an earlier boot".into(), |secs| format!("{secs} s"));
        format!("{}: the DEL of network {} has failed since {since}", name_line(line), networks(line))
    };
    let last = owed.iter().filter_map(|line| last_error(facts, &line.container_id)).next();
    let owners = owed.iter().filter_map(|line| owner(state, line));
    let owners: Vec<Owner> = owners.collect();
    let worst = [Owner::NotReady, Owner::Ready].into_iter().find(|owner| owners.contains(owner));
    let (cause, step) = owner_words(worst.or(owners.first().copied()).unwrap_or(Owner::Ready));
    let finding = Finding::new(&DEL_OWED)
        .cause(cause)
        .with_objects(owed.iter().map(|line| name_line(line)))
        .with_evidence(owed.iter().map(line))
        .with_evidence(last)
        .with_evidence(calls(facts));
    Some(finding.with_manual_step(step).run(
        "crossfade-bootstrap unit sweep",
        "runs the DELs of sandboxes that the runtime has forgotten; kubelet runs the others again",
    ))
}

/// Why a DEL is owed by a network in this state, and what a person does about it.
const fn owner_words(owner: Owner) -> (&'static str, &'static str) {
    match owner {
        Owner::NotReady => (
            "a DEL cannot succeed while its network is not ready: the agent that has to release the address is away. kubelet tries again for ever",
            "start the agent of that network on this node again; if it is gone for good, list the network under \"retired\" of the policy",
        ),
        Owner::Ready => (
            "a network's own plugin refuses the DEL. kubelet and the sweep try again for ever",
            "mend what the network's plugin says; its own message is in the event FailedKillPod of the pod, never in the journal",
        ),
        Owner::Retired => (
            "a DEL of a retired network fails, and the runtime has not tried it again since forceAfterSeconds were over: the next one cleans up on the node",
            "if the same attachment stays, look at the journal: what the clean-up could not remove is there",
        ),
    }
}

fn owner(state: &AttachmentRecords, line: &Line) -> Option<Owner> {
    let key = Key::new(&line.container_id, &line.ifname);
    state.judged.iter().find(|candidate| candidate.key == key).map(|candidate| candidate.owner)
}

/// The last failed DEL of a container, by the journal.
fn last_error(facts: &Facts, container_id: &str) -> Option<String> {
    let is_it = |entry: &&Entry| entry.is_failed("DEL") && entry.container_id == container_id;
    let entry = facts.journal.read()?.iter().rev().find(is_it)?;
    Some(format!("journal: DEL of {container_id}: {}", entry.error))
}

const RECORD_DAMAGED: Rule = Severity::Error.rule(
    Symptom::PodsDoNotEnd,
    "record-damaged",
    "The first line of a [record](glossary.md#the-plugin) cannot be read, after a disk error for example.\n\n\
     While a record is damaged, GC passes nothing on to delegates.",
    "the first line of a record cannot be read, so its pod is unknown. Its pod's DEL asks every network, and moves the file away",
    "Delete the pod: its DEL asks every network, and moves the file to /var/lib/crossfade/damaged.",
);

fn damaged(facts: &Facts) -> Option<Finding> {
    let damaged = &facts.state.read()?.attached.damaged;
    if damaged.is_empty() {
        return None;
    }
    let finding = Finding::new(&RECORD_DAMAGED)
        .with_objects(damaged.iter().map(|record| record.path.display().to_string()))
        .with_evidence(damaged.iter().map(|record| format!("{}: {}", record.path.display(), record.reason)));
    let finding = finding.with_manual_step("delete the pod of the record: the file's name is its container, and crictl inspectp has the pod of it");
    Some(finding.run("crossfade-bootstrap attachments", "lists the record as damaged until that DEL"))
}

const PODS_BYPASS: Rule = Severity::Error.rule(
    Symptom::WrongNetwork,
    "pods-bypass",
    "The runtime runs sandboxes of which Crossfade knows nothing.",
    "pods were attached past Crossfade, while another conf was in force: Crossfade does not know their network, and their DEL may go to the wrong plugin",
    "Delete these pods. Their successors get the network that the policy names. Crossfade's plugin answers their DEL with success and calls no plugin, so look for their addresses with `crossfade-bootstrap attachments --leaks` afterwards.",
);

fn find_attached_without_crossfade(facts: &Facts) -> Option<Finding> {
    let past = &facts.sandboxes.read()?.past_us;
    if past.is_empty() {
        return None;
    }
    let mut finding = Finding::new(&PODS_BYPASS)
        .with_objects(past.iter().map(|sandbox| format!("{}/{}", sandbox.namespace, sandbox.name)))
        .with_evidence(past.iter().map(|sandbox| {
            format!(
                "sandbox {} of {}/{} has neither a record nor an inventory entry",
                sandbox.id, sandbox.namespace, sandbox.name
            )
        }));
    for sandbox in past.iter().take(3) {
        let command = format!("kubectl --namespace {} delete pod {}", sandbox.namespace, sandbox.name);
        finding = finding.run(command, "its successor is attached by the policy; attachments --leaks shows what the DEL of this one leaves");
    }
    Some(finding)
}

const RECORD_STALE: Rule = Severity::Warning.rule(
    Symptom::Stale,
    "record-stale",
    "The netns of an attachment is gone, or another one is at its path, and the runtime lists the sandbox as running.",
    "the network namespace of a running sandbox was removed behind the runtime's back: the pod has no network, and its address stays leased until its DEL",
    "Delete the pod: its DEL releases the address.",
);

/// Records whose netns is gone although the runtime says that the sandbox runs.
fn stale(facts: &Facts) -> Option<Finding> {
    let (state, lost) = (facts.state.read()?, &facts.kernel.read()?.lost_netns);
    let runs = |line: &&Line| {
        let listed = facts.sandboxes.read().and_then(|sandboxes| sandboxes.listed.get(&line.container_id));
        listed == Some(&crate::runtime::State::Ready)
    };
    let lost = |line: &&Line| lost.contains(&Key::new(&line.container_id, &line.ifname));
    let stale: Vec<&Line> = lines(state, Life::Attached).filter(lost).filter(runs).collect();
    if stale.is_empty() {
        return None;
    }
    let finding = Finding::new(&RECORD_STALE)
        .with_objects(stale.iter().map(|line| name_line(line)))
        .with_evidence(stale.iter().map(|line| {
            format!("{}: its netns is gone, and the runtime lists the sandbox as running", name_line(line))
        }));
    let pods = stale.iter().filter_map(|line| Some((line.namespace.as_ref()?, line.pod.as_ref()?)));
    Some(pods.take(3).fold(finding, |finding, (namespace, pod)| {
        finding.run(
            format!("kubectl --namespace {namespace} delete pod {pod}"),
            "sends the DEL, which releases the address",
        )
    }))
}
