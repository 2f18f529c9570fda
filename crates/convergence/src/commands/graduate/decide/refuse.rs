//! The obstacles of `graduate`, each with its next step.

use shim::node::inventory::Deleter;
use shim::node::layout::CONF_FILE;
use shim::sweep::ListStatus;
use types::api::step::Step;
use types::attachment::Attachment;
use types::command::problem::Problem;
use types::pod::Pod;
use types::policy::{Attach, Phase, Side};

use crate::change::obstacles::Obstacles;
use crate::commands::graduate::decide::handover::key;
use crate::commands::graduate::decide::{Decision, has_left, join, new_of, same_name};
use crate::commands::graduate::facts::GraduateFacts;
use crate::node::conf::rules;
use crate::node::paths::{NODE_FILE, PRIVATE_CONF_DIR};
use crate::runtime::answer::RuntimeAnswer;
use crate::runtime::cache::made_by_cri;
use crate::runtime::conf_selection::ConfSelection;

const MOVE: &str =
    "delete or drain these pods, then run the same command again; crossfade-bootstrap attachments lists them";
const SWEEP: &str = "run crossfade-bootstrap unit sweep, then the same command again";

/// Adds everything that stands in the way.
pub fn refuse(facts: &GraduateFacts, decision: &mut Decision) {
    runtime(facts, decision);
    check_installed(facts, decision);
    policy(facts, decision);
    network(facts, decision);
    check_picked(facts, decision);
    check_configured_name(facts, decision);
    records(facts, decision);
    inventory(facts, decision);
    transit(facts, decision);
    if let Err(why) = &facts.node_json.after {
        let path = facts.node_json.path.display().to_string();
        let fix = format!("correct {path}, then run the same command again");
        decision.refusals.push(Problem::new(why.as_str()).with_place(path).fix(fix));
    }
}

fn runtime(facts: &GraduateFacts, decision: &mut Decision) {
    let place = "--runtime-endpoint";
    let refuse = |what: &str, fix: &str| Problem::new(what).with_place(place).fix(fix);
    match &facts.runtime.answer {
        RuntimeAnswer::NotAsked => decision.refusals.push(refuse(
            "no runtime is asked, and only the runtime can say that it uses the new network",
            "name its socket with --runtime-endpoint unix:///PATH",
        )),
        RuntimeAnswer::Unknown(why) | RuntimeAnswer::Absent(why) => {
            decision
                .refusals
                .push(refuse(why, "start the runtime, or name the right one with --runtime-endpoint"));
        }
        RuntimeAnswer::Failed(why) => decision.later.push(refuse(why, "run the same command again")),
        RuntimeAnswer::Silent | RuntimeAnswer::Setup(_) => {}
    }
    if let Some(why) = &facts.runtime.blind {
        decision.later.push(refuse(why, "run the command on the node, or give the pod what it lacks"));
    }
    if let Some(why) = &facts.runtime.unlisted {
        decision.later.push(refuse(why, "start the runtime, then run the same command again"));
    }
    if let Some(why) = &facts.cache.unreadable {
        let fix = "the runtime's result cache must belong to root alone; name it with --cache-dir";
        decision
            .refusals
            .push(Problem::new(why.as_str()).with_place(facts.cache.dir.display().to_string()).fix(fix));
    }
    if let Some(setup) = facts.runtime.answer.setup() {
        let mut obstacles = Obstacles::default();
        rules::require_one_conf(setup, &mut obstacles);
        decision.refusals.extend(obstacles.findings);
        if setup.conf_dir != facts.conf.dir.path && !facts.runtime.is_private {
            let what = format!(
                "the runtime reads {}, not {}",
                setup.conf_dir.display(),
                facts.conf.dir.path.display()
            );
            let fix = format!("add --conf-dir {}", setup.conf_dir.display());
            decision.refusals.push(Problem::new(what).with_place("--conf-dir").fix(fix));
        }
    }
}

fn check_installed(facts: &GraduateFacts, decision: &mut Decision) {
    if facts.runtime.is_private {
        let what = format!(
            "the runtime reads {PRIVATE_CONF_DIR}, and would be without a network until it is restarted"
        );
        let fix = "replace the node by one of a final image; or say \"confDir\": \"shared\" in /etc/crossfade/node.json, drain and reboot \
                   the node, then run graduate";
        decision.refusals.push(Problem::new(what).with_place(NODE_FILE).fix(fix));
    }
    let file = facts.conf.file.display().to_string();
    if facts.conf.ours.is_none() && facts.progress.left_at.is_none() {
        let what = format!("{file} is not there, so there is nothing to graduate from");
        let fix = "if Crossfade was removed already, remove its package; else run crossfade-bootstrap status";
        decision.refusals.push(Problem::new(what).with_place(file).fix(fix));
    } else if facts.conf.name.is_none() {
        let what = "the name of Crossfade's network is not known any more";
        let place = facts.layout.name().display().to_string();
        decision.refusals.push(
            Problem::new(what)
                .with_place(place)
                .fix("run crossfade-bootstrap install, then the same command again"),
        );
    }
}

fn policy(facts: &GraduateFacts, decision: &mut Decision) {
    let policy = &facts.policy;
    let place = "policy.json";
    if policy.phase() != Phase::New {
        let what =
            format!("the phase is {}, so new pods get another network than the new one", policy.phase());
        let fix = "run crossfade-bootstrap policy set new, then move the node's pods";
        decision.refusals.push(Problem::new(what).with_place(place).fix(fix));
    }
    let others = policy.rules.iter().filter(|rule| rule.attach != Attach::One(Side::New)).count();
    if others > 0 {
        let what =
            format!("{others} rules attach pods to another network than the new one, and end with Crossfade");
        let fix = "remove the rules from the policy, then move the pods that they match";
        decision.refusals.push(Problem::new(what).with_place("policy.json, rules").fix(fix));
    }
    let allowed = policy.pod_annotation.iter().flat_map(|annotation| &annotation.allow);
    if allowed.into_iter().any(|attach| *attach != Attach::One(Side::New)) {
        let what =
            "a pod's annotation may ask for another network than the new one, and no plugin heeds it then";
        let fix = "remove podAnnotation from the policy, then move the pods that have the annotation";
        decision.refusals.push(Problem::new(what).with_place("policy.json, podAnnotation").fix(fix));
    }
}

fn network(facts: &GraduateFacts, decision: &mut Decision) {
    let Some(new) = &facts.new else {
        let what = "the policy has no network new, so nothing would attach pods";
        let fix = "crossfade-bootstrap uninstall leaves a node that has the old network alone";
        decision.refusals.push(Problem::new(what).with_place("policy.json, networks").fix(fix));
        return;
    };
    let fix = "see that the new network's agent runs, then run the same command again";
    match (&new.conf, &new.why_not) {
        (Err(why), _) => decision.refusals.push(
            Problem::new(format!("network new: {why}")).with_place("policy.json, networks.new.conf").fix(fix),
        ),
        (Ok(_), Some(why)) if !(facts.progress.is_confirmed && has_left(facts)) => {
            decision.refusals.push(
                Problem::new(format!("network new is not ready: {why}")).with_place("network new").fix(fix),
            );
        }
        (Ok((_, path)), _) if path.parent() != Some(facts.conf.dir.path.as_path()) => {
            let what = format!(
                "{} is the new network's conf, and the runtime reads {}",
                path.display(),
                facts.conf.dir.path.display()
            );
            let fix = "let the new network's agent write its conf into the directory that the runtime reads";
            decision.refusals.push(Problem::new(what).with_place(path.display().to_string()).fix(fix));
        }
        (Ok(_), _) => {}
    }
}

/// The conf that the runtime uses without Crossfade's must be the new network's.
fn check_picked(facts: &GraduateFacts, decision: &mut Decision) {
    let (Some((new, path)), Some(name)) = (new_of(facts), &facts.conf.name) else { return };
    let dir = &facts.conf.dir;
    let aside: Vec<&str> = same_name(facts, name, path).map(|conf| conf.file.as_str()).collect();
    let stays = |file: &str| file != CONF_FILE && !aside.contains(&file);
    let named = |conf: &crate::node::conf::confdir::ConfFile| match &facts.runtime.picks {
        ConfSelection::First | ConfSelection::FirstOfCrio => true,
        ConfSelection::ByName(_) => conf.name() == Some(new),
    };
    let first = dir.confs.iter().find(|conf| stays(&conf.file) && named(conf));
    match first {
        Some(conf) if dir.path.join(&conf.file) == path => {}
        Some(conf) => {
            let first = dir.path.join(&conf.file).display().to_string();
            let what = format!(
                "without Crossfade's conf the runtime would use {first}, which sorts before {}",
                path.display()
            );
            let fix = if conf.is_meta_plugin() {
                format!(
                    "let its clusterNetwork be {new}, under a name that sorts behind the new network's conf"
                )
            } else {
                format!(
                    "remove or rename {first}; crossfade-bootstrap cleanup removes what a CNI that is gone has left"
                )
            };
            decision.refusals.push(Problem::new(what).with_place(first).fix(fix));
        }
        None => {
            let what = format!("{} is not among the confs that the runtime reads", path.display());
            let fix = "the name of the new network's conf must end in .conf, .conflist or .json";
            decision.refusals.push(Problem::new(what).with_place(path.display().to_string()).fix(fix));
        }
    }
}

/// Whether CRI-O must be started anew to use the new network.
pub fn needs_restart(facts: &GraduateFacts, ours: &str) -> bool {
    facts.runtime.replays
        && matches!(&facts.runtime.picks, ConfSelection::ByName(configured) if configured != ours)
}

/// CRI-O uses the name that it reads at its start.
fn check_configured_name(facts: &GraduateFacts, decision: &mut Decision) {
    let (Some((new, _)), Some(ours), ConfSelection::ByName(configured)) =
        (new_of(facts), &facts.conf.name, &facts.runtime.picks)
    else {
        return;
    };
    if configured != new {
        let what = format!(
            "CRI-O is told to use the network {configured} (cni_default_network), and the new one is called {new}"
        );
        let fix = format!(
            "set cni_default_network = \"{new}\" below [crio.network] in a file of /etc/crio/crio.conf.d and do not restart CRI-O before \
             Crossfade's conf is gone: it would send the DEL of every pod that lives; then run the same command again"
        );
        decision.refusals.push(Problem::new(what).with_place("cni_default_network").fix(fix));
        return;
    }
    let is_checked = facts.new.as_ref().is_some_and(|new| new.is_checked);
    let is_over = has_left(facts) && facts.runtime.is_restarted;
    if needs_restart(facts, ours) && is_checked && !facts.records.is_empty() && !is_over {
        let what = format!(
            "CRI-O must be started anew, and then sends a CHECK without a result to the plugins of {new} for {} sandboxes that live; where \
             they fail it, the pods lose their address in the Pod's status",
            facts.records.len()
        );
        let fix = "drain the node first; or let the new network's conf say \"disableCheck\": true";
        decision.refusals.push(Problem::new(what).with_place("CRI-O").fix(fix));
    }
}

/// The sandbox of a record, for people.
fn name_record(record: &Attachment) -> String {
    let pod = Pod::from_args(record.intent.cni_args.as_deref().unwrap_or_default());
    match (pod.namespace, pod.name) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name} ({})", record.intent.container_id),
        _ => format!("{} {}", record.intent.container_id, record.intent.ifname),
    }
}

/// What keeps an attachment from being handed over to the new network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bound {
    Old,
    Steps,
    Running,
    Unlisted,
    Foreign,
}

impl Bound {
    const ALL: [Self; 5] = [Self::Old, Self::Steps, Self::Running, Self::Unlisted, Self::Foreign];

    /// `is_direct`: the runtime sends the DEL to the network itself by now, so a sandbox that is gone had its own.
    fn from_record(record: &Attachment, status: ListStatus, new: &str, is_direct: bool) -> Option<Self> {
        let pending = record.pending();
        let owed = || pending.iter().map(|leg| &record.intent.legs[*leg]);
        let routed = record.progress.iter().any(|leg| !leg.host_routes.is_empty() && !leg.host_unrouted);
        let is_handed_over = owed().all(|leg| leg.ifname == record.intent.ifname && leg.network == new);
        if owed().any(|leg| leg.network != new) {
            Some(Self::Old)
        } else if record.intent.route.is_some() || routed || !is_handed_over {
            Some(Self::Steps)
        } else if !made_by_cri(record.intent.cni_args.as_deref(), &record.intent.container_id) {
            Some(Self::Foreign)
        } else if is_direct {
            None
        } else if matches!(status, ListStatus::Missing | ListStatus::OutOfScope) {
            Some(Self::Unlisted)
        } else if !record.attached && !record.torn {
            Some(Self::Running)
        } else {
            None
        }
    }

    fn problem(self, records: &[&Attachment]) -> Problem {
        let count = records.len();
        let names: Vec<String> = records.iter().map(|record| name_record(record)).collect();
        let names = join(names.iter().map(String::as_str));
        let (what, fix) = match self {
            Self::Old => {
                (format!("{count} attachments are on another network than the new one: {names}"), MOVE)
            }
            Self::Steps => (
                format!(
                    "{count} attachments have routes or interfaces that only Crossfade's DEL removes: {names}"
                ),
                MOVE,
            ),
            Self::Running => (
                format!("{count} ADDs through Crossfade run, or were killed: {names}"),
                "run the same command again in a moment; crossfade-bootstrap unit sweep ends what was killed",
            ),
            Self::Unlisted => (
                format!(
                    "the runtime does not list the sandboxes of {count} attachments, so no program would send their DEL: {names}"
                ),
                SWEEP,
            ),
            Self::Foreign => (
                format!(
                    "{count} attachments were not made by the runtime, and their DEL comes through Crossfade: {names}"
                ),
                "end these containers with the tool that runs them, then run the same command again",
            ),
        };
        Problem::new(what).with_place("attachments").fix(fix)
    }
}

fn records(facts: &GraduateFacts, decision: &mut Decision) {
    if !facts.damaged.is_empty() {
        let what = format!(
            "records cannot be read, and may name the old network: {}",
            join(facts.damaged.iter().map(String::as_str))
        );
        let fix =
            "delete the pods of these records, whose DEL resolves them; then run the same command again";
        decision.refusals.push(Problem::new(what).with_place("attachments").fix(fix));
    }
    let Some((new, _)) = new_of(facts) else { return };
    let is_direct = has_left(facts) && !facts.runtime.replays;
    for bound in Bound::ALL {
        let is_bound = |(record, status): &&(Attachment, ListStatus)| {
            Bound::from_record(record, *status, new, is_direct) == Some(bound)
        };
        let bound_records: Vec<&Attachment> =
            facts.records.iter().filter(is_bound).map(|(record, _)| record).collect();
        let problem = (!bound_records.is_empty()).then(|| bound.problem(&bound_records));
        // An ADD that runs ends by itself.
        if bound == Bound::Running {
            decision.later.extend(problem);
        } else {
            decision.refusals.extend(problem);
        }
    }
}

fn inventory(facts: &GraduateFacts, decision: &mut Decision) {
    let is_recorded = |candidate: &shim::node::inventory::Entry| {
        facts.records.iter().any(|(record, _)| key(record) == candidate.key())
    };
    let entries = || facts.entries.iter().filter(|(entry, _)| !is_recorded(entry));
    let ids = |group: &[&(shim::node::inventory::Entry, ListStatus)]| {
        join(group.iter().map(|(entry, _)| entry.container_id.as_str()))
    };
    let old: Vec<_> = entries().filter(|(entry, _)| entry.network != Side::New.as_str()).collect();
    if !old.is_empty() {
        let what = format!(
            "{} sandboxes from before Crossfade are on another network than the new one: {}",
            old.len(),
            ids(&old)
        );
        decision.refusals.push(Problem::new(what).with_place("inventory.json").fix(MOVE));
    }
    let gone: Vec<_> = entries()
        .filter(|(entry, status)| {
            entry.network == Side::New.as_str()
                && entry.deleted_by == Deleter::Crossfade
                && *status == ListStatus::Missing
                && !has_left(facts)
        })
        .collect();
    if !gone.is_empty() {
        let what = format!(
            "the runtime does not list {} sandboxes from before Crossfade, so no program would send their DEL: {}",
            gone.len(),
            ids(&gone)
        );
        decision.refusals.push(Problem::new(what).with_place("inventory.json").fix(SWEEP));
    }
}

fn transit(facts: &GraduateFacts, decision: &mut Decision) {
    if let Some(desired) = facts.transit.desired.as_ref().filter(|desired| *desired != Phase::New.as_str()) {
        let what = format!("the annotation crossfade/desired of the Node asks for the phase {desired}");
        let fix = "let the pipeline that wrote it finish, or remove it: kubectl annotate node NAME crossfade/desired-";
        decision.refusals.push(Problem::new(what).with_place("the Node").fix(fix));
    }
    let Some(text) = &facts.transit.step else { return };
    let state = match Step::parse(text) {
        Ok(step) if !step.state.is_in_transit() => return,
        Ok(step) => step.state.as_str().to_owned(),
        Err(why) => why,
    };
    let what = format!("a roll has this node in hand (crossfade/step: {state})");
    let fix = "let the roll finish, or end it: kubectl crossfade roll --help";
    decision.later.push(Problem::new(what).with_place("the Node").fix(fix));
}
