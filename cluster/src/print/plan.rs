//! A plan as part of a document.

use migration::cni::reach::Way;
use migration::config::ProbeGate;
use migration::config::roll::Window;
use migration::plan::pods::{Class, PassPods};
use migration::plan::{Bridge, Gate, GateSource, Plan, PlannedNode, Wave};
use types::command::problem::Problem;
use types::policy::Phase;
use types::text::list::first_few;

use super::Document;

/// How many nodes of a wave are shown to people.
const FIRST: usize = 3;
/// How many nodes with the same reason are shown to people.
const OF_A_ROW: usize = 12;
/// How many lines of a list are shown to people.
const SHOWN: usize = 60;

/// What a plan shows that is no part of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanView<'a> {
    pub hash: &'a str,
    /// How long it takes, roughly, in seconds.
    pub seconds: u64,
    /// The pods of each pass, by how they come to its phase.
    pub pods_by_pass: &'a [PassPods],
    /// Pods that need a decision.
    pub pods: &'a [Class],
    /// Nodes whose policy is another than that of most nodes.
    pub other_policy: &'a [String],
    /// What to know of it.
    pub notes: &'a [String],
}

/// Adds everything that keeps a plan from being made.
pub(crate) fn blockers(document: &mut Document, problems: &[Problem]) {
    let things = if problems.len() == 1 { "one thing stands" } else { "these things stand" };
    document.text(format!("There is no plan: {things} in the way."));
    for problem in problems {
        document.heading(problem.place.clone());
        document.text(problem.what.clone());
        document.fields([("fix", problem.fix.clone())]);
    }
}

/// Adds what differs from an earlier plan.
pub(crate) fn differences(document: &mut Document, hash: &str, file: &str, lines: &[String]) {
    if lines.is_empty() {
        document.text(format!("It is the plan of {file}, {hash}."));
        return;
    }
    document.text(format!("It is not the plan of {file}. Its hash is {hash}."));
    document.list(lines.iter().cloned(), SHOWN);
}

/// Adds a plan: what it is, its waves, its limits, its gates, and what the operator decided or accepted.
pub(crate) fn add(document: &mut Document, plan: &Plan, shown: &PlanView<'_>) {
    let nodes: usize = plan.waves.iter().map(|wave| wave.nodes.len()).sum();
    document.text(format!(
        "{} in {}, {} left out.",
        pluralize(nodes, "node"),
        pluralize(plan.waves.len(), "wave"),
        plan.left_out.len()
    ));
    let pass = |(_, phase, way): (Phase, Phase, Way)| {
        let way = if plan.ways.is_empty() { String::new() } else { format!(" ({})", way.into_str()) };
        format!(" -> {phase}{way}")
    };
    let passes: String = plan.steps().map(pass).collect();
    let has_joins = plan.steps().any(|(_, _, way)| matches!(way, Way::Join | Way::Leave));
    let others = if has_joins { "; pods that no network joins or leaves: 1 in each pass" } else { "" };
    document.fields([
        ("hash", shown.hash.to_owned()),
        ("cluster", plan.cluster.clone()),
        ("passes", format!("{}: {}{passes}", plan.passes.len(), plan.start)),
        ("restarts", format!("{} of each pod{others}", plan.restarts())),
        ("time", format!("about {}, if nothing waits", duration(shown.seconds))),
    ]);
    if plan.image.is_some() {
        let phases: Vec<&str> = plan.image_phases().into_iter().map(Phase::as_str).collect();
        let what = if plan.is_final() {
            "final, without Crossfade".into()
        } else {
            format!("in phase {}", phases.join(" or "))
        };
        document.fields([("image", format!("{what}; see Pools for what replaces nodes"))]);
    }
    let columns = vec!["WAVE", "NODES", "AT ONCE", "SOAK", "FIRST"];
    document.table(columns, plan.waves.iter().map(wave).collect());
    order(document, plan, shown.other_policy);
    pools(document, plan);
    limits(document, plan);
    pods_of_passes(document, shown.pods_by_pass);
    pods(document, plan, shown.pods);
    document.heading("Gates");
    let columns = vec!["GATE", "GREEN WHEN", "EVERY", "FRESH FOR"];
    document.table(columns, plan.gates.iter().map(gate).collect());
    render_accepted(document, plan);
    if !shown.notes.is_empty() {
        document.heading("To know");
        document.list(shown.notes.iter().cloned(), SHOWN);
    }
}

/// `1 node`, `3 nodes`.
#[must_use]
pub(crate) fn pluralize(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A time in whole minutes, rounded up: `6 h 10 min`.
#[must_use]
pub(crate) fn duration(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn wave(wave: &Wave) -> Vec<String> {
    let mut first: Vec<&str> = wave.nodes.iter().take(FIRST).map(|planned| &*planned.name).collect();
    if wave.nodes.len() > FIRST {
        first.push("..");
    }
    let soak = if wave.soak_seconds == 0 { String::new() } else { format!("{} s", wave.soak_seconds) };
    vec![wave.name.to_string(), wave.nodes.len().to_string(), wave.at_once.to_string(), soak, first.join(" ")]
}

/// Why each node is in its place: a row for the nodes that follow each other for the same reason.
fn order(document: &mut Document, plan: &Plan, other_policy: &[String]) {
    document.heading("Order");
    let mut rows = Vec::new();
    for wave in &plan.waves {
        let why = |node: &PlannedNode| {
            let differs = other_policy.iter().any(|name| **name == *node.name);
            format!("{}{}", node.why, if differs { "; its policy is not that of most nodes" } else { "" })
        };
        for nodes in wave.nodes.chunk_by(|planned, next| why(planned) == why(next)) {
            let names = first_few(nodes.iter().map(|node| &*node.name), OF_A_ROW);
            rows.push(vec![
                wave.name.to_string(),
                names.join(" "),
                nodes.first().map(why).unwrap_or_default(),
            ]);
        }
    }
    document.table(vec!["WAVE", "NODES", "WHY"], rows);
}

fn pools(document: &mut Document, plan: &Plan) {
    document.heading("Pools");
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    // One phase of all images is said above the tables.
    let has_images = plan.image_phases().len() > 1;
    let row = |pool: &migration::plan::Pool| {
        let zones: Vec<String> = pool.zones.iter().map(|zone| or(zone, "(none)")).collect();
        let image = plan.image_phase(&pool.name).map_or("", Phase::as_str);
        let mut row = vec![
            or(&pool.name, "(none)"),
            pool.nodes.to_string(),
            zones.join(" "),
            pool.method.into_str().to_owned(),
        ];
        row.extend(has_images.then(|| image.to_owned()));
        row
    };
    let mut columns = vec!["POOL", "NODES", "ZONES", "METHOD"];
    columns.extend(has_images.then_some("IMAGE"));
    document.table(columns, plan.pools.iter().map(row).collect());
}

fn limits(document: &mut Document, plan: &Plan) {
    let limits = &plan.limits;
    let pace = match limits.per_hour {
        0 => "any number of nodes".to_owned(),
        nodes => pluralize(nodes as usize, "node"),
    };
    let window = |window: &Window| {
        let days = if window.days.is_empty() { "every day".to_owned() } else { window.days.join(" ") };
        format!("{days} {}-{} {}", window.from, window.to, window.zone.as_deref().unwrap_or("UTC"))
    };
    let windows: Vec<String> = limits.windows.iter().map(window).collect();
    let starts = if windows.is_empty() { "at any time".to_owned() } else { windows.join(", ") };
    document.heading("Limits");
    document.fields([
        (
            "in transit at once",
            format!(
                "{}, and {} % of a zone",
                pluralize(limits.in_transit as usize, "node"),
                limits.zone_percent
            ),
        ),
        (
            "room",
            format!("a node is drained if {} % of what the others offer stay free", plan.margin_percent),
        ),
        ("starts", format!("{starts}; {pace} within an hour")),
        ("evictions at once", format!("{} on a node", limits.evictions)),
        ("scheduler prefers nodes that have moved", if limits.fence { "yes" } else { "no" }.to_owned()),
        (
            "seconds",
            format!(
                "claim {}, flip {}, move {}, prove {}, owners {}, settle {}, soak {}, Jobs {}",
                limits.claim_seconds,
                limits.flip_seconds,
                limits.move_seconds,
                limits.prove_seconds,
                limits.owners_seconds,
                limits.settle_seconds,
                limits.soak_seconds,
                limits.job_seconds
            ),
        ),
    ]);
}

/// Passes in which networks join or leave pods. In the others every pod restarts.
fn pods_of_passes(document: &mut Document, all: &[PassPods]) {
    if !all.iter().any(|pass| matches!(pass.way, Way::Join | Way::Leave)) {
        return;
    }
    let row = |pass: &PassPods| {
        let restarts = pass.restarts.iter().map(|(reason, count)| format!("{count}: {reason}"));
        let restarts: Vec<String> = restarts.collect();
        vec![pass.to.to_string(), pass.way.into_str().to_owned(), pass.pods.to_string(), restarts.join("; ")]
    };
    document.heading("Pods of each pass");
    document.table(vec!["TO", "WAY", "PODS", "RESTARTED INSTEAD"], all.iter().map(row).collect());
}

fn pods(document: &mut Document, plan: &Plan, classes: &[Class]) {
    document.heading("Pods that need a decision");
    let joined = plan.steps().filter(|(_, _, way)| matches!(way, Way::Join | Way::Leave));
    let joined: Vec<String> =
        joined.map(|(_, phase, way)| format!("{} to {phase}", way.into_str())).collect();
    if !joined.is_empty() {
        document.text(format!(
            "Pods need no decision in these passes, on nodes that let networks join and leave pods: {}.",
            joined.join(", ")
        ));
    }
    let row = |class: &Class| {
        let waits = class.count - class.decided;
        vec![
            class.pods.to_owned(),
            class.count.to_string(),
            class.decided.to_string(),
            if waits == 0 { String::new() } else { format!("for {}", pluralize(waits, "pod")) },
            class.setting.to_owned(),
        ]
    };
    let columns = vec!["PODS", "COUNT", "DECIDED", "RUN WAITS", "SETTING"];
    document.table(columns, classes.iter().map(row).collect());
}

fn gate(gate: &Gate) -> Vec<String> {
    let when = match &gate.source {
        GateSource::Workload => "owners of evicted pods are as available as before".to_owned(),
        GateSource::Dns => "DNS pods are ready".to_owned(),
        GateSource::ApiServer => "the API server answers in time".to_owned(),
        GateSource::Watched => "the workloads of watchedResources are ready".to_owned(),
        GateSource::Command(command) => format!("{} exits with 0", command.join(" ")),
        GateSource::Probe(gate) => match gate {
            ProbeGate::Packets => "no packets are lost for long between agents that reach each other",
            ProbeGate::Forwarding => "packets pass between agents on either network alone",
            ProbeGate::DnsQueries => "the cluster's DNS answers queries of agents",
            ProbeGate::ApiServerToPods => "the API server reaches agents in pods",
            ProbeGate::Enforcement => "packets that a NetworkPolicy denies do not arrive",
        }
        .to_owned(),
    };
    vec![gate.name.clone(), when, format!("{} s", gate.every_seconds), format!("{} s", gate.fresh_seconds)]
}

fn render_accepted(document: &mut Document, plan: &Plan) {
    document.heading("Accepted");
    let mut lines: Vec<String> =
        plan.unenforced.iter().map(|kind| format!("no CNI enforces {kind} for a while")).collect();
    match &plan.bridge {
        Some(Bridge::Accepted(reason)) => {
            lines.push(format!("nodes forward between both networks, unproven: {reason}"))
        }
        Some(Bridge::Gate(name)) => {
            lines.push(format!("nodes forward between both networks as long as gate {name} is green"))
        }
        None => {}
    }
    lines.extend(plan.waivers.iter().map(|waiver| {
        let object = waiver.object.as_deref().map(|object| format!(" of {object}")).unwrap_or_default();
        format!("finding {}{object}: {}", waiver.finding, waiver.reason)
    }));
    lines.extend(plan.left_out.iter().map(|out| format!("node {} is left out: {}", out.name, out.why)));
    if lines.is_empty() {
        document.text("Nothing.");
    }
    document.list(lines, SHOWN);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::table;

    fn shown(plan: &Plan) -> String {
        let view =
            PlanView { hash: "", seconds: 0, pods_by_pass: &[], pods: &[], other_policy: &[], notes: &[] };
        let mut document = Document::new("Plan");
        add(&mut document, plan, &view);
        table::render(&document)
    }

    #[test]
    fn the_phase_of_the_image_is_said_once_unless_pools_differ() {
        let text = include_str!("../../tests/fixtures/plan-rotation/plan.json");
        let mut plan: Plan = serde_json::from_str(text).expect("a plan");
        let same = shown(&plan);
        assert!(same.contains("image: in phase new; see Pools") && !same.contains("IMAGE"), "{same}");
        plan.pools[0].image = Some(Phase::BothNew);
        let mixed = shown(&plan);
        assert!(mixed.contains("image: in phase both-new or new; see Pools"), "{mixed}");
        let rows: Vec<Vec<&str>> = mixed.lines().map(|line| line.split_whitespace().collect()).collect();
        let pool = |name: &str| {
            rows.iter().find(|cells| cells.first() == Some(&name)).and_then(|cells| cells.last())
        };
        assert_eq!(
            (pool("main"), pool("spot"), pool("POOL")),
            (Some(&"both-new"), Some(&"new"), Some(&"IMAGE"))
        );
    }
}
