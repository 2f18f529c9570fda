//! The lines about the new CNI's settings: those of the last stage, and the one with which it enforces policies, which comes last.

use jiff::{SignedDuration, Timestamp};
use snapshot::model::Kind;
use types::command::problem::Problem;
use types::text::quote::quote;

use super::{Facts, Line, LineName, LineState, first_few};
use crate::check::Scene;
use crate::check::finding::Subject;
use crate::cni::support::Stage;
use crate::cni::values::{ENFORCEMENT, Row, State, command, required_value, rows};

/// How many bytes of a setting are shown.
const SHOWN: usize = 200;
/// How much shorter than the observation a record may be: it begins with its first flow and ends with its last one, not with the program that records.
const SLACK: SignedDuration = SignedDuration::from_mins(5);
/// How many days after its end a record still counts. *Source*: none; applications change meanwhile.
const DAYS: i64 = 7;

/// How the policies of both CNIs compare in the cluster, and what they would do to real flows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyComparison {
    /// Packets that are treated in another way, in words.
    pub differences: Vec<String>,
    /// Why it is not known whether others are.
    pub unknown: Vec<Problem>,
    /// How many policies the new CNI goes by once it enforces them; those of the old one, if the new one enforces none.
    pub policies: usize,
    /// What these policies make of recorded flows; none without a record.
    pub observation: Option<Observation>,
}

/// What policies make of recorded flows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observation {
    /// Flows that would be denied, and why it is not known of others, in words.
    pub problems: Vec<String>,
    /// How many flows would be let through.
    pub allowed: u64,
    /// How many flows are not judged that may be denied.
    pub open: u64,
    /// How many flows the record says that it lost.
    pub lost: u64,
    /// When the first flow was seen and when the last one; none if the record does not say so.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// A setting of the new CNI that is not what it must be in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key in the cluster.
    pub key: &'static str,
    /// The value of the chart that sets it.
    pub set: &'static str,
    /// What the cluster has.
    pub now: String,
    /// What the cluster has in the end.
    pub becomes: &'static str,
    /// What the value of the chart becomes.
    pub value: &'static str,
    /// Objects that have it, other than the CNI's own settings.
    pub places: Vec<String>,
}

impl Change {
    /// Whether the new CNI enforces policies from it on.
    fn enforces_policies(&self) -> bool {
        self.key == ENFORCEMENT
    }

    fn words(&self) -> String {
        let Self { key, set, now, becomes, value, places } = self;
        let places = first_few(places.clone());
        let places = places.iter().map(|place| format!(" ({place})")).collect::<String>();
        let in_cluster = format!("{key}: {} becomes {becomes}", quote(now.as_bytes(), SHOWN));
        // Calico's resource has the key that a person sets.
        if key == set {
            format!("{in_cluster}{places}")
        } else {
            format!("{set}={value} ({in_cluster}){places}")
        }
    }
}

/// The settings of the new CNI that may change now: all that change in the end, without the one that enforces policies while the policies hold it back.
#[must_use]
pub fn changes(facts: &Facts<'_>) -> Vec<Change> {
    let is_held = difference(facts.scene, facts.policies).or_else(|| unobserved(facts)).is_some();
    let mut all = all_changes(facts.scene);
    all.retain(|change| !is_held || !change.enforces_policies());
    all
}

fn all_changes(scene: &Scene<'_>) -> Vec<Change> {
    let rows = rows(scene);
    let wrong = rows.iter().filter(|row| row.state == State::Wrong);
    let change = |row: &Row| {
        let becomes = required_value(scene, row.setting, Stage::Finish).unwrap_or(row.setting.absent);
        let is_node_config = |subject: &&Subject| subject.kind == Kind::CILIUM_NODE_CONFIG.name();
        Change {
            key: row.setting.key.trim_start_matches('/'),
            set: row.set,
            now: row.now.clone().unwrap_or_default(),
            becomes,
            value: row.setting.chart(becomes),
            places: row.subjects.iter().filter(is_node_config).map(ToString::to_string).collect(),
        }
    };
    wrong.map(change).collect()
}

pub(super) fn values(facts: &Facts<'_>) -> Line {
    let name = LineName::Values;
    let scene = facts.scene;
    if rows(scene).iter().any(|row| row.state == State::Absent) {
        let what = format!("no settings of {} are in the cluster", scene.to);
        return Line::new(name, LineState::Waits, [what])
            .help("install it, or read its settings with the rights in deploy/cluster/rbac-viewer.yaml");
    }
    let (enforcement, changes): (Vec<Change>, Vec<Change>) =
        all_changes(scene).into_iter().partition(Change::enforces_policies);
    if changes.is_empty() {
        let but =
            enforcement.first().map(|change| format!(", but for {}: the line policies has it", change.set));
        let what = format!("{} has every setting of the stage {}", scene.to, Stage::Finish);
        return Line::done(name, what + &but.unwrap_or_default());
    }
    Line::new(name, LineState::Waits, changes.iter().map(Change::words)).help(steps(scene, &changes))
}

/// The commands that set these values, one after the other.
fn steps(scene: &Scene<'_>, changes: &[Change]) -> String {
    let step = |(number, change): (usize, &Change)| {
        format!("{}. {}", number + 1, command(scene, &[(change.set, change.value)]))
    };
    let steps: Vec<String> = changes.iter().enumerate().map(step).collect();
    let file = match scene.to.facts().chart {
        Some(_) => ". --values FILE writes all of them as a file of Helm values",
        None => "",
    };
    format!(
        "one setting at a time, in this order; before the next one, kubectl crossfade finish must show the line moved as done and name the setting no more: {}{file}",
        steps.join("; ")
    )
}

pub(super) fn policies(facts: &Facts<'_>) -> Line {
    let name = LineName::Policies;
    let Facts { scene, policies, .. } = facts;
    let waits =
        |(evidence, help): (Vec<String>, String)| Line::new(name, LineState::Waits, evidence).help(help);
    if let Some(difference) = difference(scene, policies) {
        return waits(difference);
    }
    let alike = if scene.from.facts().policy_kinds.is_empty() {
        format!("{} enforces no policies, so there is nothing to compare", scene.from)
    } else {
        format!("every packet is treated by {} as by {}", scene.to, scene.from)
    };
    let enforcement = all_changes(scene).into_iter().find(Change::enforces_policies);
    let Some(enforcement) = enforcement else {
        let problems = policies.observation.iter().flat_map(|observation| observation.problems.clone());
        let evidence = std::iter::once(alike).chain(first_few(problems.collect()));
        return Line::new(name, LineState::Done, evidence);
    };
    if let Some((evidence, help)) = unobserved(facts) {
        return waits((std::iter::once(alike).chain(evidence).collect(), help));
    }
    let flows = match &policies.observation {
        _ if policies.policies == 0 => format!("there is no policy that {} would enforce", scene.to),
        Some(Observation { allowed, open, lost, .. }) => format!(
            "no recorded flow would be denied: {allowed} would be let through, {open} that may be denied could not be judged, {lost} were lost"
        ),
        None => "the settings ask for no observation".to_owned(),
    };
    let command = command(scene, &[(enforcement.set, enforcement.value)]);
    waits((
        vec![enforcement.words(), alike, flows],
        format!("once the lines before this one are done: {command}"),
    ))
}

/// What differs between the policies of both CNIs or is not known of them, and what helps; none if every packet is treated alike.
fn difference(scene: &Scene<'_>, policies: &PolicyComparison) -> Option<(Vec<String>, String)> {
    let PolicyComparison { differences, unknown, policies, .. } = policies;
    let Scene { from, to, .. } = scene;
    if to.facts().policy_kinds.is_empty() && *policies > 0 {
        return Some((
            vec![format!("{to} enforces none of {}", count_policies(*policies))],
            "filter elsewhere what they filter, then delete them, or choose another CNI".to_owned(),
        ));
    }
    let evidence = first_few(
        differences.iter().cloned().chain(unknown.iter().map(|problem| problem.what.clone())).collect(),
    );
    let mut helps: Vec<String> = unknown.iter().map(|problem| problem.fix.clone()).collect();
    helps.sort_unstable();
    helps.dedup();
    if !differences.is_empty() {
        helps.insert(0, format!("kubectl crossfade policies convert --from {from} --to {to} writes what is missing; kubectl crossfade policies check names what cannot be converted"));
    }
    (!evidence.is_empty()).then(|| (evidence, first_few(helps).join("; ")))
}

fn count_policies(count: usize) -> String {
    if count == 1 { "1 policy".to_owned() } else { format!("{count} policies") }
}

/// Why recorded flows do not show that the policies deny nothing that is needed, and what helps; none if they do, or if nothing asks for them.
///
/// Policies that hold again after the migration, or that no CNI has enforced before, begin to drop packets at once.
fn unobserved(facts: &Facts<'_>) -> Option<(Vec<String>, String)> {
    let Facts { scene, policies, .. } = facts;
    if policies.policies == 0 {
        return None;
    }
    let Scene { from, to, .. } = scene;
    let hours = facts.plan.observation_hours;
    let observe = format!("--from {from} --to {to} --flows FILE");
    let problems = policies.observation.as_ref().map(|observation| &observation.problems);
    if let Some(problems) = problems.filter(|problems| !problems.is_empty()) {
        let both = if from.facts().policy_kinds.is_empty() { "" } else { ", which both CNIs enforce" };
        return Some((
            first_few(problems.clone()),
            format!(
                "allow what is needed by a NetworkPolicy{both}, and end the rest where it is sent; kubectl crossfade policies observe {observe} has all of it"
            ),
        ));
    }
    let what = match &policies.observation {
        _ if hours == 0 => return None,
        Some(observation) => unusable(observation, hours, facts.now)?,
        None => format!(
            "{} would be enforced from then on, and no recorded flows (--flows) show what they would deny",
            count_policies(policies.policies)
        ),
    };
    let help = format!(
        "record the flows of {hours} hours (docs/policies.md, \"Record flows\"), then call: kubectl crossfade finish {observe}; to go on without it, set finish: {{observationHours: 0}} in the settings file, and if a plan is approved already, approve the new hash: kubectl crossfade finish --confirm HASH"
    );
    Some((vec![what], help))
}

/// Why a record does not say enough about the flows of these hours; none if it does.
fn unusable(observation: &Observation, hours: u32, now: Option<Timestamp>) -> Option<String> {
    let Observation { allowed, open, lost, .. } = observation;
    let Some((first, last)) = observation.window else {
        return Some("the record does not say when its flows were seen".to_owned());
    };
    let is_shorter = last.duration_since(first) + SLACK < SignedDuration::from_hours(i64::from(hours));
    let age = now.map(|now| now.duration_since(last));
    if is_shorter {
        Some(format!(
            "the record is from {first:.0} to {last:.0}, and {hours} hours are asked for, counted from the first flow to the last: record an hour more"
        ))
    } else if let Some(now) = now.filter(|_| age.is_some_and(|age| age < -SLACK)) {
        Some(format!("the record ends at {last:.0}, and it is {now:.0} now by the cluster's clock"))
    } else if age.is_some_and(|age| age > SignedDuration::from_hours(24 * DAYS)) {
        Some(format!("the record ended at {last:.0}, more than {DAYS} days ago"))
    } else if *lost > 0 {
        Some(format!("the record lost {lost} flows, which may be denied"))
    } else if open > allowed {
        Some(format!(
            "of the recorded flows, {allowed} would be let through, and {open} that may be denied could not be judged"
        ))
    } else {
        None
    }
}
