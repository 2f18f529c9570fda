//! The lines of the end of a migration: how each is, what shows it, and what helps.

mod leave;
mod nodes;
mod settings;

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use snapshot::model::{Kind, Node};
use types::command::problem::Problem;
use types::text::list;

use self::leave::leave;
use self::nodes::{clean, moved, node_state};
pub use self::settings::{Change, Observation, PolicyComparison, changes};
use self::settings::{policies, values};
use super::backup::lacking;
use super::managed_objects::{ManagedObject, managers};
use super::plan::{FinishPlan, Inventory, Pin, Record, text};
use super::refuse::{refusals, stays};
use super::removal::{self, Removal};
use super::{CLOSED, FENCE};
use crate::backup::file::Backup;
use crate::check::Scene;
use crate::cni::footprint::{Part, Target};
use crate::plan::Plan;

/// How many objects the evidence of a line names.
const NAMED: usize = 12;

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FinishLineName"))]
#[serde(rename_all = "kebab-case")]
pub enum LineName {
    /// Every pod is on the new network alone.
    Moved,
    /// A file has everything that will be removed.
    Backup,
    /// The new CNI has its final settings, but for the one with which it enforces policies.
    Values,
    /// The policies of the new CNI mean what those of the old one meant, and it enforces them.
    Policies,
    /// The old CNI's agents run on no node.
    Fence,
    /// The old CNI keeps pods away from no Node, by a taint or by the network condition.
    NodeState,
    /// The cluster has run without the old agents for as long as the settings say.
    Soak,
    /// The old CNI's objects are removed. There is no way back.
    Removal,
    /// The nodes that stay have nothing of the old CNI.
    Nodes,
    /// Nothing of the old CNI is there.
    Absence,
    /// Nothing of Crossfade is there.
    Leave,
}

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FinishLineState"))]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum LineState {
    /// It is done.
    Done,
    /// The command does it once it is approved.
    Ready,
    /// It waits for time or for a person.
    Waits,
    /// It must not be done as the cluster is.
    Refused,
}

/// A line, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "FinishLine"))]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Which.
    pub line: LineName,
    /// How it is.
    pub state: LineState,
    /// What shows it.
    pub evidence: Vec<String>,
    /// What helps; empty if nothing is needed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
}

/// What the lines are decided from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The cluster and the migration. The settings are those of the last stage.
    pub scene: &'a Scene<'a>,
    /// What is there of the old CNI.
    pub inventory: &'a Inventory,
    /// The plan: the approved one, or what would be approved.
    pub plan: &'a FinishPlan,
    /// How far it is; none if nothing was approved. A record of another migration counts as none.
    pub record: Option<&'a Record>,
    /// The backup that the record names, read from its file; none if the file is not at hand.
    pub backup: Option<&'a Backup>,
    pub policies: &'a PolicyComparison,
    /// The plan of the run, which has the order of the nodes; none if there was no run.
    pub run_plan: Option<&'a Plan>,
    /// The run that is not over; none if there is none.
    pub open_run: Option<&'a str>,
    /// Now; none where no time is that of the cluster.
    pub now: Option<Timestamp>,
}

impl fmt::Display for LineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Moved => "moved",
            Self::Backup => "backup",
            Self::Values => "values",
            Self::Policies => "policies",
            Self::Fence => "fence",
            Self::NodeState => "node state",
            Self::Soak => "soak",
            Self::Removal => "removal",
            Self::Nodes => "nodes",
            Self::Absence => "absence",
            Self::Leave => "leave",
        })
    }
}

impl Line {
    fn new(line: LineName, state: LineState, evidence: impl IntoIterator<Item = String>) -> Self {
        Self { line, state, evidence: evidence.into_iter().collect(), help: String::new() }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    fn done(line: LineName, evidence: impl Into<String>) -> Self {
        Self::new(line, LineState::Done, [evidence.into()])
    }
}

type Decide = fn(&Facts<'_>) -> Line;

/// The lines, in order.
#[must_use]
pub fn lines(facts: &Facts<'_>) -> Vec<Line> {
    let is_of_this = |record: &&Record| record.is_of(&facts.plan.cluster, facts.scene.from, facts.scene.to);
    let facts = &Facts { record: facts.record.filter(is_of_this), ..*facts };
    let is_one_way = has_begun(facts.record, facts.plan, facts.inventory);
    let first: [(LineName, Decide); 7] = [
        (LineName::Moved, moved),
        (LineName::Backup, backed_up),
        (LineName::Values, values),
        (LineName::Policies, policies),
        (LineName::Fence, fence),
        (LineName::NodeState, node_state),
        (LineName::Soak, soak),
    ];
    let is_over = is_over(facts);
    let removal = if is_over { over(facts, LineName::Removal) } else { remove(facts) };
    let is_removed = removal.state == LineState::Done;
    let line = |(name, decide): (LineName, Decide)| {
        // What is deleted must be in the backup to the end, and nothing more is deleted under a run or on nodes that the new network does not
        // serve. The others were done before the first deletion.
        let counts = name == LineName::Backup || name == LineName::Moved && !is_removed;
        if is_one_way && !counts {
            Line::done(name, "it was done before the removal began")
        } else if is_over && matches!(name, LineName::Backup | LineName::Soak) {
            over(facts, name)
        } else {
            decide(facts)
        }
    };
    let mut all: Vec<Line> = first.into_iter().map(line).collect();
    all.extend([removal, clean(facts, is_removed), absence(facts, is_removed), leave(facts)]);
    all
}

/// Whether the removal has begun. The record alone does not prove it, since others can write ConfigMaps: something must be gone, or going, that they could
/// not delete.
#[must_use]
pub fn has_begun(record: Option<&Record>, plan: &FinishPlan, inventory: &Inventory) -> bool {
    let is_gone = |pin: &Pin| {
        let object = inventory.objects.get(&pin.target);
        object.is_none_or(|object| !text(object, "/metadata/deletionTimestamp").is_empty())
    };
    let has_agents = inventory.in_part(Part::Agent).next().is_some();
    record.is_some_and(|record| record.is_one_way) && (!has_agents || plan.delete.iter().any(is_gone))
}

/// Whether nothing of the old CNI and nothing of Crossfade is in the cluster, so that the record went with its namespace.
fn is_over(facts: &Facts<'_>) -> bool {
    let Inventory { objects, unread, .. } = facts.inventory;
    facts.record.is_none() && objects.is_empty() && unread.is_empty() && leave(facts).state == LineState::Done
}

fn over(facts: &Facts<'_>, name: LineName) -> Line {
    Line::done(name, format!("nothing of {} and nothing of Crossfade is there", facts.scene.from))
}

/// The line that comes next; none if all are done.
#[must_use]
pub fn next(lines: &[Line]) -> Option<&Line> {
    lines.iter().find(|line| line.state != LineState::Done)
}

fn backed_up(facts: &Facts<'_>) -> Line {
    let name = LineName::Backup;
    let count = facts.inventory.objects.len();
    let Some(record) = facts.record.filter(|record| record.backup.is_some()) else {
        return Line::new(
            name,
            LineState::Ready,
            [format!("{count} objects of {} would be kept in a file", facts.scene.from)],
        );
    };
    let hash = record.backup.as_deref().unwrap_or_default();
    let file = super::backup::file_name(hash);
    let Some(backup) = facts.backup else {
        if !has_begun(Some(record), facts.plan, facts.inventory) {
            let what = format!(
                "the backup {file} is not in the directory that --backup names; nothing is deleted yet, so a new one would have everything"
            );
            return Line::new(name, LineState::Ready, [what]);
        }
        return Line::new(
            name,
            LineState::Waits,
            [format!("the backup {file} is not in the directory that --backup names")],
        )
        .help("bring the file to this machine, and name its directory: --backup DIR");
    };
    let lacking = lacking(facts.inventory, backup);
    if lacking.is_empty() {
        return Line::done(
            name,
            format!(
                "{file} has {} objects, and all of the {count} that are there as they are",
                backup.objects.len()
            ),
        );
    }
    let changed = format!("{} objects changed since {file} was written", lacking.len());
    Line::new(name, LineState::Ready, std::iter::once(changed).chain(first_few(lacking)))
}

fn fence(facts: &Facts<'_>) -> Line {
    let name = LineName::Fence;
    let agents: Vec<(&Target, &Value)> = facts.inventory.in_part(Part::Agent).collect();
    let is_closed = |object: &Value| is_closed(object, &facts.scene.snapshot.nodes);
    let open: Vec<&Target> =
        agents.iter().filter(|(_, object)| !is_closed(object)).map(|(target, _)| *target).collect();
    // A fence takes away what is refused to be removed, and what is not known to be an agent runs on behind it.
    if agents.is_empty() || !open.is_empty() {
        let refusals = refusals(facts.scene, facts.inventory, facts.plan);
        if !refusals.is_empty() {
            return refused_by(name, refusals);
        }
    }
    if agents.is_empty() {
        return Line::done(name, format!("no DaemonSet of {} is there", facts.scene.from));
    }
    if open.is_empty() {
        let running = agents.iter().filter(|(_, object)| pods(object) > 0);
        let running: Vec<String> =
            running.map(|(target, object)| format!("{target} still has {} pods", pods(object))).collect();
        if running.is_empty() {
            let words = match agents.len() {
                1 => "selects no node, and has no pod",
                _ => "select no node, and have no pod",
            };
            let targets: Vec<String> = agents.iter().map(|(target, _)| target.to_string()).collect();
            return Line::done(name, format!("{} {words}", targets.join(", ")));
        }
        return Line::new(name, LineState::Waits, running)
            .help("wait until their pods have ended, then call the same command again");
    }
    let managed = managed(facts).into_iter().filter(|managed| managed.manager.undoes_a_fence());
    let managed: Vec<ManagedObject> =
        managed.filter(|managed| open.iter().any(|target| target.to_string() == managed.object)).collect();
    if !managed.is_empty() {
        return refused_for(name, &managed, "would undo the fence of");
    }
    let evidence = open
        .iter()
        .map(|target| format!("{target} gets the node selector {FENCE}: {CLOSED}, which no Node has"));
    Line::new(name, LineState::Ready, evidence)
        .help("kubectl crossfade finish --undo takes it back until the removal begins")
}

/// Whether an agent's DaemonSet selects none of the nodes.
fn is_closed(object: &Value, nodes: &[Node]) -> bool {
    let selector = object.pointer("/spec/template/spec/nodeSelector").and_then(Value::as_object);
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else { return false };
    let selects =
        |node: &Node| selector.iter().all(|(key, value)| node.metadata.label(key) == value.as_str());
    !nodes.iter().any(selects)
}

/// How many pods a DaemonSet has. Its status counts only once its controller has seen its template.
fn pods(object: &Value) -> u64 {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let is_seen = number("/status/observedGeneration") >= number("/metadata/generation");
    let has = number("/status/currentNumberScheduled") + number("/status/numberMisscheduled");
    if is_seen { has } else { has.max(1) }
}

fn managed(facts: &Facts<'_>) -> Vec<ManagedObject> {
    managers(facts.scene.snapshot, facts.scene.from, facts.inventory, &facts.scene.config.finish.managers_off)
}

fn refused_by(name: LineName, refusals: Vec<Problem>) -> Line {
    let (what, mut helps): (Vec<String>, Vec<String>) =
        refusals.into_iter().map(|refusal| (refusal.what, refusal.fix)).unzip();
    helps.sort_unstable();
    helps.dedup();
    Line::new(name, LineState::Refused, first_few(what)).help(helps.join("; "))
}

fn refused_for(name: LineName, managed: &[ManagedObject], what: &str) -> Line {
    let evidence = managed.iter().map(|item| format!("{} {what} {}", item.manager.name(), item.object));
    let mut helps: Vec<&str> = managed.iter().map(|item| item.help.as_str()).collect();
    helps.sort_unstable();
    helps.dedup();
    let help = format!(
        "{}; once a manager is off, name it in the settings file: finish: {{managersOff: [..]}}",
        helps.join("; ")
    );
    Line::new(name, LineState::Refused, first_few(evidence.collect())).help(help)
}

fn soak(facts: &Facts<'_>) -> Line {
    let name = LineName::Soak;
    let hours = facts.plan.soak_hours;
    let fenced_at = facts.record.and_then(|record| record.fenced_at.as_deref());
    let recorded = fenced_at.and_then(|at| at.parse::<Timestamp>().ok());
    // An agent that was changed or made since may have run meanwhile.
    let agents = facts.inventory.agents();
    let is_same =
        |record: &&Record| agents.iter().all(|(uid, generation)| record.agents.get(uid) == Some(generation));
    if recorded.is_some() && facts.record.filter(is_same).is_none() {
        let what = format!("the agents were changed since the soak began, and its {hours} hours begin anew");
        return Line::new(name, LineState::Ready, [what]);
    }
    // The API server says when the fence was set, and the record is one that others can write.
    let since =
        recorded.max(facts.inventory.in_part(Part::Agent).filter_map(|(_, object)| changed_at(object)).max());
    let since = recorded.and(since);
    let (Some(since), Some(now)) = (since, facts.now) else {
        return Line::new(
            name,
            LineState::Ready,
            [format!("{hours} hours from the moment at which the agents are fenced off")],
        );
    };
    let end = since.checked_add(SignedDuration::from_hours(i64::from(hours))).unwrap_or(Timestamp::MAX);
    if now >= end {
        return Line::done(name, format!("the agents are fenced off since {since:.0}"));
    }
    Line::new(
        name,
        LineState::Waits,
        [format!(
            "the agents are fenced off since {since:.0}, and the soak of {hours} hours ends at {end:.0}"
        )],
    )
    .help("use the cluster meanwhile; whatever was on the old network and was overlooked shows now")
}

/// When an object's node selector was changed, by the API server's clock: by Crossfade, or by the manager that has the fence.
fn changed_at(object: &Value) -> Option<Timestamp> {
    let fields = object.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let selects =
        |field: &Value| field.pointer("/fieldsV1/f:spec/f:template/f:spec/f:nodeSelector").is_some();
    let own = fields.iter().filter(|field| text(field, "/manager") == "crossfade" || selects(field));
    own.filter_map(|field| text(field, "/time").parse().ok()).max()
}

fn remove(facts: &Facts<'_>) -> Line {
    let name = LineName::Removal;
    let refused = |evidence: Vec<String>, help: String| {
        Line::new(name, LineState::Refused, first_few(evidence)).help(help)
    };
    let is_one_way = facts.record.is_some_and(|record| record.is_one_way);
    let next = removal::next(facts.plan, facts.inventory);
    if next == Removal::Done && is_one_way {
        return Line::done(name, "nothing of the approved plan is there");
    }
    let refusals = refusals(facts.scene, facts.inventory, facts.plan);
    if !refusals.is_empty() {
        return refused_by(name, refusals);
    }
    let managed: Vec<ManagedObject> =
        managed(facts).into_iter().filter(|managed| managed.manager.brings_back()).collect();
    if !managed.is_empty() {
        return refused_for(name, &managed, "would bring back");
    }
    if !facts.inventory.unread.is_empty() {
        return refused(
            facts.inventory.unread.clone(),
            "read them with the rights in deploy/cluster/rbac-finish.yaml".into(),
        );
    }
    match next {
        Removal::Delete(pins) if is_one_way => Line::new(
            name,
            LineState::Ready,
            first_few(pins.iter().map(|pin| format!("{} is next", pin.target)).collect()),
        ),
        Removal::Delete(_) | Removal::Done => {
            let FinishPlan { delete, vanish, .. } = facts.plan;
            let what = format!(
                "{} objects are deleted one after the other, and {} go with them",
                delete.len(),
                vanish.len()
            );
            Line::new(name, LineState::Ready, std::iter::once(what).chain(stays(facts.inventory)))
                .help("there is no way back: it needs --remove CLUSTER beside --confirm HASH, with the name of the cluster in the kubeconfig")
        }
        Removal::Wait { what, help } => Line::new(name, LineState::Waits, [what]).help(help),
        Removal::Refuse { what, help } => refused(vec![what], help),
    }
}

fn absence(facts: &Facts<'_>, is_removed: bool) -> Line {
    let name = LineName::Absence;
    let Facts { scene, inventory, .. } = facts;
    let footprint = scene.from.facts().footprint;
    let new = scene.to.facts().footprint;
    let mut evidence = removal::remaining(inventory);
    let mut helps = Vec::new();
    if !is_removed && !evidence.is_empty() {
        let count = evidence.len();
        return Line::new(name, LineState::Waits, [format!("{count} objects of {} are there", scene.from)])
            .help("the removal comes first");
    }
    if !evidence.is_empty() {
        helps.push(
            "look at who made them or what they belong to, and approve a new plan: kubectl crossfade finish"
                .to_owned(),
        );
    }
    let node_state = node_state(facts);
    if node_state.state != LineState::Done {
        evidence.extend(node_state.evidence);
        helps.push(node_state.help);
    }
    let keys = scene.snapshot.nodes.iter().flat_map(|node| node.metadata.annotations.keys());
    let mut keys: Vec<&str> =
        keys.map(AsRef::as_ref).filter(|key| footprint.annotates(key) && !new.annotates(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    if !keys.is_empty() {
        evidence.push(format!("Nodes have annotations of {}: {}", scene.from, keys.join(", ")));
        helps.push(format!(
            "kubectl annotate nodes --all {}",
            keys.iter().map(|key| format!("{key}-")).collect::<Vec<_>>().join(" ")
        ));
    }
    for namespace in footprint.namespaces.iter().filter(|name| !new.namespaces.contains(name)) {
        if scene.snapshot.object(Kind::NAMESPACE, namespace).is_some() {
            evidence.push(format!("Namespace/{namespace} is there, with whatever else is in it"));
            helps.push(format!("look into it, then: kubectl delete namespace {namespace}"));
        }
    }
    let secrets = footprint.secret_commands(&inventory.namespaces);
    let is_absent = evidence.is_empty() && inventory.unread.is_empty();
    evidence.extend(inventory.unread.iter().cloned());
    let mut line = if is_absent {
        Line::done(name, format!("a search by all names of {} found nothing", scene.from))
    } else {
        Line::new(name, LineState::Waits, first_few(evidence))
    };
    if !secrets.is_empty() {
        line.evidence.push(format!("Crossfade reads no Secret, and leaves them: {}", secrets.join("; ")));
    }
    let unknown = unknown_definitions(scene);
    if !unknown.is_empty() {
        let what = "definitions of its groups that are in no published installation stay";
        line.evidence.push(format!("{what}: {}", first_few(unknown).join(", ")));
    }
    line.help = helps.join("; ");
    line
}

/// Definitions in the old CNI's groups that neither CNI's table has: of an older release, or of another product.
fn unknown_definitions(scene: &Scene<'_>) -> Vec<String> {
    let (old, new) = (scene.from.facts().footprint, scene.to.facts().footprint);
    let groups: Vec<&str> = old.definitions.iter().copied().flatten().map(|row| row.group).collect();
    let is_in_group = |name: &str| {
        let rest = |group: &&str| name.strip_suffix(*group).is_some_and(|rest| rest.ends_with('.'));
        groups.iter().any(rest)
    };
    let all = scene.snapshot.objects(Kind::CUSTOM_RESOURCE_DEFINITION).iter();
    let unknown = all
        .map(snapshot::model::Object::name)
        .filter(|name| is_in_group(name) && old.class(name).is_none() && new.class(name).is_none());
    unknown.map(str::to_owned).collect()
}

/// The first of many, and how many more there are.
#[must_use]
pub fn first_few(all: Vec<String>) -> Vec<String> {
    list::first_few(all, NAMED)
}
