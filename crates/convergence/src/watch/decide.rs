//! The decision of one pass: from an observation to changes, a report and events.
//!
//! The reason of the condition is the first row that holds:
//!
//! | on this node | reason | ready |
//! |---|---|---|
//! | Crossfade is switched off | `SwitchedOff` | no |
//! | node.json or the policy cannot be used | `BadSettings` | no |
//! | `boot` has not succeeded in this boot | `BootFailed` | no |
//! | something stands in the way of Crossfade's conf, see [`crate::watch::own`] | that one's | no |
//! | a network that the policy attaches is not ready, see [`crate::watch::network`] | `WaitingForNetwork` | no |
//! | Crossfade's conf is written, and the runtime has not loaded it | `WaitingForNetwork` | no |
//! | another network of the policy is not ready, and node.json requires all | `WaitingForNetwork` | no |
//! | Crossfade's conf is in place, and what had to be done was done | `NetworkReady` | yes |
//! | anything else | `ConfNotFirst` | no |

use shim::host::process::Process;
use types::api::node_keys::IMAGE;
use types::api::observed::{AttachmentCounts, NodeObservation};
use types::policy::{Phase, Side};
use types::status::{self, Document, NotMoved, Reason, Watch};

use crate::change::{Act, Change};
use crate::node::agent::own_command::OwnCommand;
use crate::node::attachments::last_pass::{LIMIT_SECS, Pass};
use crate::node::networks::needed_sides;
use crate::node::policy::roll;
use crate::node::settings::InvalidSettings;
use crate::publish::registered::RegisteredLabels;
use crate::publish::report::{EventReason, NodeEvent, NodeReport};
use crate::watch::memory::Memory;
use crate::watch::moves::{MoveFacts, MoveStep};
use crate::watch::network::{NetworkVerdict, judge};
use crate::watch::observation::{NetworkObservation, Observation};
use crate::watch::own_conf::{self, OwnConfDecision, OwnConfState};

/// Pause between two units that put Crossfade's plugin back.
const PLACE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);
/// Longest message of a condition, in bytes; see [`NodeReport`].
const MAX_MESSAGE_BYTES: usize = 256;

/// The decision of one pass.
#[derive(Debug)]
pub struct WatchDecision {
    /// The changes, in the order in which `watch` makes them.
    pub changes: Vec<Change>,
    /// What `watch` reports about the node.
    pub report: NodeReport,
    /// What happened since the earlier pass, for the journal and for Events.
    pub happened: Vec<NodeEvent>,
    /// The content of status.json.
    pub document: Document,
    /// The bytes of Crossfade's conf after the changes; `None` if the pass leaves the conf as it is.
    pub conf: Option<Vec<u8>>,
    /// What the next pass has to know.
    pub memory: Memory,
}

impl WatchDecision {
    /// Takes back what was about to be true, where a change of this round could not be made.
    pub fn note_failed(&mut self, why: &str) {
        // The next watch must not think that a conf was there which never was: it would write one before its network is ready.
        self.document.conf.was_there = self.memory.was_there;
        if !self.report.ready {
            return;
        }
        let reason = Reason::ConfNotFirst;
        let message = shorten(&format!("what is to be done cannot be done: {why}"));
        self.happened.retain(|event| event.reason != EventReason::Readiness(self.report.reason));
        let event = EventReason::Readiness(reason);
        self.happened.push(NodeEvent { reason: event, warning: true, message: message.clone() });
        self.memory.verdict = Some(reason);
        self.document.ready = false;
        self.document.reason = reason.into();
        self.document.message.clone_from(&message);
        self.report = NodeReport {
            ready: false,
            reason,
            message,
            clears_network_unavailable: false,
            ..self.report.clone()
        };
    }
}

/// Decides one pass; `watch` is the process that runs it.
#[must_use]
pub fn decide(facts: &Observation, memory: &Memory, watch: Process) -> WatchDecision {
    let mut memory = memory.clone();
    let policy = facts.node.policy.as_ref().ok().map(|policy_file| &policy_file.policy);
    let attached = policy.map(types::policy::Policy::attached_sides).unwrap_or_default();
    let proven = policy.map(needed_sides).unwrap_or_default();
    let judged: Vec<NetworkVerdict> = facts
        .networks
        .iter()
        .map(|network| {
            let standing = memory.standing.entry(network.side).or_default();
            judge(facts, network, standing, facts.off_switch.is_none() && proven.contains(&network.side))
        })
        .collect();
    let waits = judged.iter().find(|verdict| attached.contains(&verdict.side) && verdict.ready.is_err());
    let bridges = facts.node.settings.report.require_all_networks;
    let lacks = judged.iter().find(|verdict| bridges && verdict.ready.is_err());
    let ready = policy.is_some() && waits.is_none();
    let conf = own_conf::decide(facts, &mut memory, ready);
    let phase = policy.map(types::policy::Policy::phase);
    let verdict = verdict(facts, &conf, (waits, lacks), &memory);
    let mut findings = conf.findings.clone();
    findings.extend(network_findings(facts, &judged));
    findings.extend(memory.polls.then(|| {
        "no inotify instance is left (fs.inotify.max_user_instances), so everything is looked at every two seconds".into()
    }));
    findings.extend(facts.node.runtime.problem().map(ToString::to_string));
    findings.extend(facts.in_pod.then(|| crate::watch::POD_FINDING.to_owned()));
    let may_sweep = policy.is_some() && facts.off_switch.is_none() && !facts.in_pod;
    let due = if may_sweep { memory.sweeps.begin(facts.last_sweep.as_ref(), facts.now) } else { None };
    findings.extend(memory.sweeps.finding(facts.last_sweep.as_ref(), facts.now).filter(|_| !facts.in_pod));
    findings.extend(memory.failed.clone());
    findings.extend(memory.unmeasured.as_ref().map(|why| format!("the metrics are not written: {why}")));
    let ready = verdict.reason == Reason::NetworkReady;
    let joins = joined_networks(facts);
    let moves = move_step(facts, &mut memory, ready, &joins);
    let unmoved = moves.and_then(|_| memory.moves.passes.finding(facts.last_move.as_ref(), facts.now));
    findings.extend(unmoved.clone());
    let mut happened = conf.happened.clone();
    happened.extend(events_since_last_pass(facts, &mut memory, (phase, &verdict), (&conf, &findings)));
    let report = NodeReport {
        ready,
        reason: verdict.reason,
        message: shorten(&condition_message(&verdict.message, &memory, unmoved.as_deref())),
        observed: build_observation(facts, &memory, (joins, moves)),
        clears_network_unavailable: ready && clears(facts, &attached),
        registered: RegisteredLabels::gather(&facts.node.settings, policy, &facts.node.profiles),
    };
    let mut changes: Vec<Change> = Vec::new();
    if facts.off_switch.is_none() {
        changes.extend(judged.iter().flat_map(|verdict| verdict.changes.clone()));
    }
    changes.extend(conf.changes.clone());
    if facts.off_switch.is_none() && !matches!(conf.state, OwnConfState::NotInstalled) {
        changes.extend(plugins(facts, &mut memory));
    }
    changes.extend(due.map(|turn| sweep(facts, turn)));
    changes.extend(moves.and_then(|step| move_pods(facts, step)));
    let hidden = conf.standing.iter().filter(|standing| verdict.standing != Some(*standing));
    findings.splice(0..0, hidden.map(|(_, message)| message.clone()));
    findings.extend(memory.unmet.iter().map(|unmet| unmet.message.clone()));
    let document = describe(facts, (&report, moves), (&conf, &memory), (&judged, &attached, findings), watch);
    let conf = conf.expected.filter(|_| matches!(conf.state, OwnConfState::InPlace | OwnConfState::Written));
    WatchDecision { changes, report, happened, document, conf, memory }
}

/// What the node's annotation says, but for the echo.
fn build_observation(
    facts: &Observation,
    memory: &Memory,
    (joins, moves): (Vec<Side>, Option<MoveStep>),
) -> NodeObservation {
    let policy_file = facts.node.policy.as_ref().ok();
    NodeObservation {
        boot_id: facts.boot_id.clone(),
        phase: policy_file.map(|policy_file| policy_file.policy.phase()),
        policy_sha256: policy_file.map(|policy_file| policy_file.sha256.clone()),
        base: policy_file.map(|file| roll::base(file, &facts.node.profiles)),
        mints: policy_file
            .map(|policy_file| policy_file.policy.mints().into_iter().collect())
            .unwrap_or_default(),
        follows: roll::followed_phases(&facts.node.settings, policy_file, &facts.node.profiles),
        joins,
        restarts: moves.and_then(|step| match step {
            MoveStep::Settled(restarts) => Some(restarts),
            MoveStep::Begin(_) | MoveStep::Wait => None,
        }),
        attached: memory.attached.clone(),
        image: facts.node.settings.labels.get(IMAGE).cloned(),
        echo: None,
    }
}

/// The networks that join and leave running pods: none in a pod, which cannot start the unit.
fn joined_networks(facts: &Observation) -> Vec<Side> {
    let node = &facts.node;
    let policy_file = node.policy.as_ref().ok().filter(|_| facts.off_switch.is_none() && !facts.in_pod);
    roll::joined_networks(&node.settings, policy_file, &node.profiles)
}

/// What this round does about running pods; none on a node where no network joins or leaves them, or that is in its phase by other means than the
/// Node's annotation.
fn move_step(facts: &Observation, memory: &mut Memory, is_ready: bool, joins: &[Side]) -> Option<MoveStep> {
    let policy_file = facts.node.policy.as_ref().ok()?;
    if !memory.is_led || joins.is_empty() {
        return None;
    }
    let phase = policy_file.policy.phase();
    let count = |attached: &AttachmentCounts| {
        let others = attached.by_phase.iter().filter(|(counted, _)| **counted != phase);
        others.fold(attached.unknown, |sum, (_, count)| sum.saturating_add(*count))
    };
    Some(memory.moves.step(MoveFacts {
        now: facts.now,
        policy: &policy_file.sha256,
        is_ready,
        others: memory.attached.as_ref().map(count),
        last_result: facts.last_move.as_ref(),
    }))
}

/// What is to be said of networks that are ready, and of pods that ask of them what they do not have.
fn network_findings(facts: &Observation, judged: &[NetworkVerdict]) -> Vec<String> {
    let unproven = judged.iter().filter_map(|verdict| {
        verdict
            .unproven
            .as_ref()
            .map(|why| format!("network {} is ready by its probes alone: {why}", verdict.side))
    });
    let unmapped = facts.networks.iter().filter(|network| network.unmapped_hostports).map(|network| {
        format!(
            "network {}: pods asked for host ports in this boot, and no plugin of its conf declares portMappings. Unless its agent maps \
             them, those ports are closed: chain portmap in its conf, or give such pods the other network",
            network.side
        )
    });
    let degraded = judged.iter().filter_map(|verdict| {
        let why = verdict.degraded.as_ref()?;
        Some(format!(
            "network {} is ready, and its proof fails: {why}; see crossfade-bootstrap status --output json",
            verdict.side
        ))
    });
    unproven.chain(degraded).chain(unmapped).collect()
}

/// The one reason that counts.
struct Verdict<'a> {
    reason: Reason,
    message: String,
    /// The condition of Crossfade's conf that is the reason, if one is.
    standing: Option<&'a (Reason, String)>,
}

/// The gravest reason.
fn verdict<'a>(
    facts: &Observation,
    conf: &'a OwnConfDecision,
    (waits, lacks): (Option<&NetworkVerdict>, Option<&NetworkVerdict>),
    memory: &Memory,
) -> Verdict<'a> {
    let verdict = |reason, message| Verdict { reason, message, standing: None };
    if let Some(off) = facts.off_switch {
        return verdict(Reason::SwitchedOff, off.to_string());
    }
    if let Some(InvalidSettings { why, .. }) = &facts.node.unusable {
        return verdict(Reason::BadSettings, why.clone());
    }
    if let Err(why) = &facts.node.policy {
        return verdict(Reason::BadSettings, why.what.clone());
    }
    if let Some(why) = &facts.not_booted {
        return verdict(Reason::BootFailed, why.clone());
    }
    if let Some(standing) = conf.standing.first() {
        let (reason, message) = standing.clone();
        return Verdict { reason, message, standing: Some(standing) };
    }
    if let Some(judged) = waits {
        let why = judged.ready.as_ref().err().cloned().unwrap_or_default();
        return verdict(Reason::WaitingForNetwork, format!("network {}: {why}", judged.side));
    }
    match (conf.state, &facts.unread) {
        // What was written a moment ago, or is about to be, has yet to be loaded; a runtime that tells is believed alone.
        (OwnConfState::NotLoaded, _) => {
            verdict(Reason::WaitingForNetwork, "the runtime has yet to load Crossfade's conf".into())
        }
        (OwnConfState::Written, _)
            if memory.failed.is_none() && facts.node.runtime.answer.setup().is_some() =>
        {
            verdict(
                Reason::WaitingForNetwork,
                "Crossfade's conf is written, and the runtime has yet to load it".into(),
            )
        }
        (OwnConfState::InPlace | OwnConfState::Written, Some(why)) if memory.failed.is_none() => {
            verdict(Reason::WaitingForNetwork, format!("Crossfade's conf is in place, and {why}"))
        }
        (OwnConfState::InPlace | OwnConfState::Written, None) if memory.failed.is_none() => {
            if let Some(judged) = lacks {
                let why = judged.ready.as_ref().err().cloned().unwrap_or_default();
                let message = format!(
                    "network {}, which node.json requires (report.requireAllNetworks): {why}",
                    judged.side
                );
                return verdict(Reason::WaitingForNetwork, message);
            }
            let phase = facts
                .node
                .policy
                .as_ref()
                .map_or_else(|_| "", |policy_file| policy_file.policy.phase().as_str());
            verdict(Reason::NetworkReady, format!("pods get what phase {phase} names"))
        }
        (state, _) => verdict(
            Reason::ConfNotFirst,
            format!("Crossfade's conf is not in place: {}", state.to_reported()),
        ),
    }
}

/// What the condition says: the verdict, the desired phase that the node is not in, and the pods that are not on its networks.
fn condition_message(verdict: &str, memory: &Memory, unmoved: Option<&str>) -> String {
    let unmet = memory.unmet.as_ref().map(|unmet| unmet.message.as_str());
    [Some(verdict), unmet, unmoved].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What is new: flips, changes of the verdict, and conditions that were not reported yet.
fn events_since_last_pass(
    facts: &Observation,
    memory: &mut Memory,
    (phase, verdict): (Option<Phase>, &Verdict<'_>),
    (conf, findings): (&OwnConfDecision, &[String]),
) -> Vec<NodeEvent> {
    let mut happened = Vec::new();
    if let Some(phase) = phase {
        if let Some(from) = memory.phase.filter(|from| *from != phase) {
            let message = format!("the policy went from phase {from} to {phase}");
            happened.push(NodeEvent { reason: EventReason::Flipped, warning: false, message });
        }
        memory.phase = Some(phase);
    }
    if memory.verdict != Some(verdict.reason) {
        let warning =
            !matches!(verdict.reason, Reason::NetworkReady | Reason::WaitingForNetwork | Reason::SwitchedOff);
        let reason = EventReason::Readiness(verdict.reason);
        happened.push(NodeEvent { reason, warning, message: verdict.message.clone() });
        memory.verdict = Some(verdict.reason);
    }
    let warning = |reason, message: &String| NodeEvent { reason, warning: true, message: message.clone() };
    let of_standing =
        |(reason, message): &(Reason, String)| warning(EventReason::Readiness(*reason), message);
    let mut current: Vec<NodeEvent> = conf.standing.iter().map(of_standing).collect();
    current.extend(findings.iter().map(|finding| warning(EventReason::Finding, finding)));
    current.extend(memory.unmet.iter().map(|unmet| warning(unmet.kind.into(), &unmet.message)));
    current.sort_by_key(|event| (event.reason.as_str(), event.message.clone()));
    current.dedup();
    if facts.off_switch.is_none() {
        // The verdict's condition is in the verdict's Event.
        let is_verdict = |event: &NodeEvent| verdict.standing.map(of_standing).as_ref() == Some(event);
        let new = current.iter().filter(|event| !memory.conditions_reported.contains(event));
        happened.extend(new.filter(|event| !is_verdict(event)).cloned());
    }
    memory.conditions_reported = current;
    happened
}

/// Whether Crossfade clears the Node's condition NetworkUnavailable.
fn clears(facts: &Observation, attached: &[Side]) -> bool {
    let rule = |network: &NetworkObservation| {
        facts.node.profiles.find(&network.profile).map(|profile| profile.network_unavailable)
    };
    let left_true = facts.networks.iter().filter_map(rule).any(|what| what.left_true);
    let mut serving = facts.networks.iter().filter(|network| attached.contains(&network.side));
    // Of a CNI that is not known it is not known either.
    left_true && serving.all(|network| rule(network).is_some_and(|what| !what.written))
}

/// The change that puts Crossfade's plugin back where the runtime searches for it. A unit starts again only after the earlier one had its
/// time.
fn plugins(facts: &Observation, memory: &mut Memory) -> Vec<Change> {
    let changes = facts.cni.plugins.changes();
    let starts = changes.iter().any(|change| matches!(change.act, Act::Start { .. }));
    if !starts || (!facts.in_pod && facts.now >= memory.placed) {
        if starts {
            memory.placed = facts.now + PLACE_EVERY;
        }
        return changes;
    }
    changes.into_iter().filter(|change| !matches!(change.act, Act::Start { .. })).collect()
}

/// One pass of `sweep`. It runs delegates, so it runs in a unit of its own, outside the sandbox and the processes of `watch`.
fn sweep(facts: &Observation, turn: u64) -> Change {
    let endpoint = facts.node.runtime.choice.endpoint();
    let arguments =
        OwnCommand::sweep(turn, endpoint, &facts.node.dirs.conf_dir, &facts.cni.plugins.paths()).into_words();
    start(Pass::Sweep, arguments, "closes what the runtime no longer lists")
}

/// A pass of `move-pods`, if one begins. It calls Crossfade's plugin, which runs delegates, so it runs in a unit, too.
fn move_pods(facts: &Observation, step: MoveStep) -> Option<Change> {
    let MoveStep::Begin(turn) = step else { return None };
    let endpoint = facts.node.runtime.choice.endpoint();
    let arguments = OwnCommand::move_pods(turn, endpoint, &facts.node.dirs.conf_dir).into_words();
    Some(start(Pass::MovePods, arguments, "lets networks join and leave the running pods"))
}

fn start(pass: Pass, arguments: Vec<String>, reason: &str) -> Change {
    let unit = pass.unit().to_owned();
    let act = Act::Start { unit: unit.clone(), arguments, within_secs: LIMIT_SECS };
    Change::new(act, unit, reason)
}

/// The pods that the last pass did not move; none if it went by another policy.
fn not_moved(facts: &Observation) -> Option<NotMoved> {
    let policy_file = facts.node.policy.as_ref().ok()?;
    let pods = facts.last_move.as_ref()?.pods.as_ref()?;
    (pods.policy_sha256 == policy_file.sha256).then_some(pods.not_moved)
}

fn describe(
    facts: &Observation,
    (report, moves): (&NodeReport, Option<MoveStep>),
    (conf, memory): (&OwnConfDecision, &Memory),
    (judged, attached, findings): (&[NetworkVerdict], &[Side], Vec<String>),
    watch: Process,
) -> Document {
    let networks = facts.networks.iter().zip(judged).map(|(network, judged)| status::Network {
        network: network.side,
        name: network.conf.as_ref().ok().map(|(name, _)| name.clone()),
        profile: network.profile.clone(),
        attached: attached.contains(&network.side),
        ready: judged.ready.is_ok(),
        why: judged.ready.as_ref().err().cloned(),
        proof: judged.proof.into(),
        packets: network.proof.as_ref().and_then(|proof| proof.packets.clone()),
        unmapped_host_ports: network.unmapped_hostports,
    });
    Document {
        version: status::VERSION,
        boot_id: facts.boot_id.clone(),
        watch: Watch { pid: watch.pid, start: watch.start },
        ready: report.ready,
        reason: report.reason.into(),
        message: report.message.clone(),
        phase: report.observed.phase,
        policy_sha256: report.observed.policy_sha256.clone(),
        conf: status::Conf {
            mode: facts.node.settings.conf_dir.into(),
            dir: facts.node.dirs.conf_dir.clone(),
            state: conf.state.to_reported().into(),
            repairs: memory.repairs,
            was_there: memory.was_there || conf.state == OwnConfState::Written,
            directory: memory.dir.clone(),
            lost_by: memory.lost_by.clone(),
        },
        networks: networks.collect(),
        attached: report.observed.attached.clone(),
        restarts: report.observed.restarts,
        not_moved: moves.and_then(|_| not_moved(facts)),
        findings,
    }
}

fn shorten(message: &str) -> String {
    message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
}

#[cfg(test)]
mod tests;
