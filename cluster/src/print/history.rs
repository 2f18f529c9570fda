//! The report of a run as a document, with drawings of its nodes and attachments over time.

use jiff::Timestamp;
use migration::check::finding::Severity;
use migration::plan::Bridge;
use migration::plan::canon::shorten_hash;
use migration::report::{
    AttachedCount, ClassReport, Evictions, Figures, Lane, PassSummary, PlanSummary, Report, Span,
};
use migration::roll::run::{State, Wish};
use types::api::step::State as NodeState;
use types::policy::Phase;

use super::Document;
use super::figure::{Bar, Figure, Key, Track, WHOLE, share};
use super::plan::{duration, pluralize};

/// How many rows of a table or a drawing are shown to people.
const SHOWN: usize = 300;
/// What stands for a figure that nothing measured.
const UNMEASURED: &str = "not measured";
/// What stands for something that no source says.
const UNKNOWN: &str = "not known";
/// What ends with the journal.
const OPEN: &str = "not in the journal";
/// What stands for a figure of pods that the pipeline moves which replaces their node.
const BY_PIPELINE: &str = "by the pipeline, not measured";

/// The report as a document.
pub(crate) fn document(report: &Report) -> Document {
    let plan = report.plan.as_ref();
    let migration =
        plan.map(|plan| format!(": {} to {}, {}", plan.from, plan.to, plan.strategy)).unwrap_or_default();
    let mut document = Document::new(format!("Run {}{migration}", report.run));
    document.text(state(report));
    missing(&mut document, report);
    document.fields(figures(report));
    planned(&mut document, report);
    over_time(&mut document, report);
    evictions(&mut document, report);
    waits(&mut document, report);
    probes(&mut document, report);
    people(&mut document, report);
    accepted(&mut document, report);
    versions(&mut document, report);
    if report.not_listed > 0 {
        document
            .text(format!("{} more entries are not listed, since there are too many.", report.not_listed));
    }
    document
}

fn state(report: &Report) -> String {
    let state = match &report.state {
        None => "Whether the run goes on is not known: it cannot be read.".into(),
        Some(State::Done) => "Every pass is done.".into(),
        Some(State::Running) => "The run goes on.".into(),
        Some(State::Paused(pause)) => format!("The run is paused by {}: {}.", pause.operator, pause.why),
        Some(State::Stopped(pause)) => format!("The run is stopped by {}: {}.", pause.operator, pause.why),
    };
    match (&report.since, &report.until) {
        (Some(since), Some(until)) => {
            let seconds = time(until).zip(time(since)).map(|(until, since)| until - since);
            let lasts = seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map_or_else(String::new, |seconds| format!(", {}", duration(seconds)));
            format!(
                "{state} The journal is from {since} to {until}{lasts}. All times are of the machines that held the run, in UTC."
            )
        }
        _ => format!("{state} There is no line of its journal."),
    }
}

fn missing(document: &mut Document, report: &Report) {
    if report.missing.is_empty() {
        return;
    }
    document.heading_of(Some(Severity::Risk), "The journal lacks lines");
    document.text("What this report counts is too little by what happened in these spans.");
    let rows = report.missing.iter().map(|span| {
        let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".into());
        vec![time(&span.after), time(&span.before), span.why.clone()]
    });
    table(document, vec!["AFTER", "BEFORE", "MISSING"], rows);
}

/// What most people look for first.
fn figures(report: &Report) -> Vec<(&'static str, String)> {
    let counted = |number: usize| if report.since.is_some() { number.to_string() } else { OPEN.into() };
    let mut figures =
        vec![("nodes", counted(report.nodes.iter().filter(|lane| !lane.spans.is_empty()).count()))];
    if let Some(replaced) = &report.replaced {
        let number = |number: Option<usize>| number.map_or_else(|| OPEN.into(), |number| number.to_string());
        let seconds = replaced.seconds.map_or_else(
            || UNMEASURED.into(),
            |seconds| format!("{} in the middle, {} at most", seconds.median, seconds.most),
        );
        figures.extend([
            ("nodes left to a pipeline", number(replaced.permitted)),
            ("new nodes proven", number(replaced.proven)),
            ("seconds from a node's turn to the proof of a new one", seconds),
        ]);
    }
    match &report.times {
        Some(times) => figures.extend([
            ("moves of nodes", times.moves.to_string()),
            (
                "seconds per node",
                format!(
                    "{} in the middle, {} at most; {} and {} without the time in which pods move",
                    times.seconds.median,
                    times.seconds.most,
                    times.beyond_moving.median,
                    times.beyond_moving.most
                ),
            ),
        ]),
        None if report.replaced.is_some() => {}
        None => {
            let none = if report.since.is_some() { "no node came to its phase" } else { OPEN };
            figures.extend([("moves of nodes", counted(0)), ("seconds per node", none.into())]);
        }
    }
    figures.extend([
        ("waits for a person", counted(report.reasons.iter().map(|total| total.held).sum())),
        ("restarts per pod", restarts_per_pod(report)),
        ("evictions", calls(report, |sums| sums.evicted)),
        ("refused by budgets", calls(report, |sums| sums.refused_by_budgets)),
        ("lost probes", lost_probes(report)),
    ]);
    figures
}

fn lost_probes(report: &Report) -> String {
    let sum = |figures: fn(&ClassReport) -> Option<Figures>| {
        let lost = report.probes.iter().filter_map(figures).map(|all| (all.lost, all.sent));
        lost.reduce(|a, b| (a.0.saturating_add(b.0), a.1.saturating_add(b.1)))
    };
    match (sum(|class| class.measured), sum(|class| class.gates)) {
        (None, None) => UNMEASURED.into(),
        (Some((lost, sent)), None) | (None, Some((lost, sent))) => format!("{lost} of {sent}"),
        (Some((lost, sent)), Some((lost_by_gates, sent_by_gates))) => {
            format!("{lost} of {sent} by files, {lost_by_gates} of {sent_by_gates} by gates")
        }
    }
}

fn restarts_per_pod(report: &Report) -> String {
    match &report.evictions {
        _ if report.replaced.is_some() => BY_PIPELINE.into(),
        None => OPEN.into(),
        Some(sums) => {
            sums.restarts_per_pod.map_or_else(|| UNMEASURED.into(), |restarts| restarts.to_string())
        }
    }
}

/// A number of calls of the run. Where pipelines replace nodes, they make others.
fn calls(report: &Report, number: fn(&Evictions) -> u64) -> String {
    match (report.evictions.as_ref().map(number), &report.replaced) {
        (None, None) => OPEN.into(),
        (Some(number), None) => number.to_string(),
        (None | Some(0), Some(_)) => BY_PIPELINE.into(),
        (Some(number), Some(_)) => format!("{number} by the run; others {BY_PIPELINE}"),
    }
}

fn planned(document: &mut Document, report: &Report) {
    document.heading("What was planned");
    let Some(plan) = &report.plan else {
        document.text("The plan cannot be read.");
        return;
    };
    let pass = |pass: &PassSummary| format!(" -> {} ({})", pass.to, pass.way.into_str());
    let passes: String = plan.passes.iter().map(pass).collect();
    let first = plan.passes.first().map_or_else(String::new, |pass| pass.from.to_string());
    let is_its = |plan_hash: &str| plan_hash == plan.hash;
    let approved: Vec<String> = report
        .holders
        .iter()
        .filter(|holder| holder.is_approved && is_its(&holder.plan))
        .map(|holder| format!("{} at {}", holder.holder, holder.time))
        .collect();
    let approved = if approved.is_empty() { OPEN.to_owned() } else { approved.join("; ") };
    document.fields([
        ("plan", plan.hash.clone()),
        ("approved by", approved),
        ("cluster", plan.cluster.clone()),
        ("passes", format!("{first}{passes}")),
        ("restarts", format!("{} of each pod that networks join and leave", plan.restarts)),
        ("nodes", format!("{}, {} left out", plan.nodes, plan.left_out.len())),
        ("forwarding between the networks", bridge(plan)),
    ]);
    let waves = plan.waves.iter().map(|wave| vec![wave.name.clone(), wave.nodes.to_string()]);
    table(document, vec!["WAVE", "NODES"], waves);
    document.list(plan.left_out.iter().map(|(node, why)| format!("{node} is left out: {why}")), SHOWN);
    if !report.holders.is_empty() {
        document.heading("Who held the run");
        let rows = report.holders.iter().map(|holder| {
            let approved = if holder.is_approved { "yes" } else { "" };
            let plan = shorten_hash(&holder.plan).to_owned();
            vec![holder.time.clone(), holder.holder.clone(), plan, approved.into(), holder.program.clone()]
        });
        table(document, vec!["SINCE", "HOLDER", "PLAN", "APPROVED IT", "VERSION"], rows);
    }
}

fn bridge(plan: &PlanSummary) -> String {
    match &plan.bridge {
        None => "no pass needs it".into(),
        Some(Bridge::Gate(name)) => format!("proven by the gate {name}"),
        Some(Bridge::Accepted(why)) => format!("accepted without a proof: {why}"),
    }
}

fn over_time(document: &mut Document, report: &Report) {
    let frame = Frame::from_report(report);
    document.heading("Nodes over time");
    let moved: Vec<&Lane> = report.nodes.iter().filter(|lane| !lane.spans.is_empty()).collect();
    let untouched = report.nodes.len() - moved.len();
    if let Some(frame) = frame.as_ref().filter(|_| !moved.is_empty()) {
        document.figure(lanes(frame, &moved, report));
    }
    let rows = moved.iter().map(|lane| {
        let last = lane.spans.last();
        let is_done = last.is_some_and(|span| span.state == NodeState::Done);
        let since = lane.spans.first().map_or_else(String::new, |span| span.since.clone());
        let end = match last {
            Some(last) if is_done => last.since.clone(),
            // The journal does not say when the Node is gone.
            Some(last) if last.state == NodeState::Permitted => "is left to its pipeline".into(),
            Some(last) => format!("is {}", last.state.as_str()),
            None => String::new(),
        };
        let held = lane.spans.iter().filter(|span| span.state == NodeState::Held).count();
        let wave = lane.wave.clone().unwrap_or_else(|| "none of the plan".into());
        let seconds = seconds_of(lane).map_or_else(|| UNMEASURED.into(), |seconds| seconds.to_string());
        vec![lane.node.clone(), wave, since, end, seconds, held.to_string()]
    });
    table(document, vec!["NODE", "WAVE", "BEGAN", "DONE", "SECONDS", "HELD"], rows);
    if report.since.is_none() {
        document.text(format!("What became of nodes is {OPEN}."));
    } else if untouched > 0 {
        document.text(format!("Not touched: {} of the plan.", pluralize(untouched, "node")));
    }
    document.heading("Attachments over time");
    let (Some(first), Some(last)) = (report.attached.first(), report.attached.last()) else {
        document
            .text(format!("The kinds of attachments over time are {UNMEASURED}: the journal has no count."));
        return;
    };
    if let Some(frame) = &frame {
        document.figure(areas(frame, report));
    }
    let phases: Vec<Phase> = Phase::ALL.into_iter().filter(|phase| is_counted(report, *phase)).collect();
    let most = |phase: &Phase| report.attached.iter().filter_map(|count| count.attached.get(phase)).max();
    let number = |number: Option<&u32>| number.copied().unwrap_or(0).to_string();
    let rows = phases.iter().map(|phase| {
        vec![
            phase.to_string(),
            number(first.attached.get(phase)),
            number(most(phase)),
            number(last.attached.get(phase)),
        ]
    });
    table(document, vec!["PHASE", "FIRST", "MOST", "LAST"], rows);
    let silent = report.attached.iter().map(|count| count.silent).max().unwrap_or(0);
    if silent > 0 {
        document
            .text(format!("At times, {} did not say what was attached to them.", pluralize(silent, "node")));
    }
}

/// How long a node was between its first state and `done`, in all passes; none if it was in no state that has an end.
fn seconds_of(lane: &Lane) -> Option<u64> {
    let is_moving = |span: &&Span| !matches!(span.state, NodeState::Done | NodeState::Waiting);
    lane.spans.iter().filter(is_moving).filter_map(|span| span.seconds).reduce(|sum, seconds| sum + seconds)
}

fn is_counted(report: &Report, phase: Phase) -> bool {
    report.attached.iter().any(|count| count.attached.get(&phase).is_some_and(|number| *number > 0))
}

/// The time that drawings show.
struct Frame {
    since: i64,
    until: i64,
}

impl Frame {
    fn from_report(report: &Report) -> Option<Self> {
        let since = time(report.since.as_ref()?)?;
        let until = time(report.until.as_ref()?)?;
        Some(Self { since, until: until.max(since + 1) })
    }

    fn place(&self, second: i64) -> u32 {
        share(second - self.since, self.until - self.since)
    }

    fn axis(&self) -> [String; 3] {
        let middle = self.since + (self.until - self.since) / 2;
        let shown = |second| {
            Timestamp::from_second(second).map_or_else(|_| String::new(), |time| format!("{time:.0}"))
        };
        [self.since, middle, self.until].map(shown)
    }

    /// A bar over all of a row's height.
    fn bar(&self, class: &'static str, since: i64, until: i64, title: String) -> Bar {
        let x = self.place(since);
        // What is short is seen nevertheless.
        let width = self.place(until).saturating_sub(x).max(15).min(WHOLE - x.min(WHOLE));
        Bar { class, x, width, y: 0, height: WHOLE, title }
    }

    /// The spans of which the journal lacks lines.
    fn gaps(&self, report: &Report) -> Vec<Bar> {
        let gap = |span: &migration::report::MissingSpan| {
            let end = |end: &Option<String>, other| end.as_deref().map_or(Some(other), time);
            let (since, until) = (end(&span.after, self.since)?, end(&span.before, self.until)?);
            Some(self.bar("gap", since, until, format!("missing: {}", span.why)))
        };
        report.missing.iter().filter_map(gap).collect()
    }
}

fn time(text: impl AsRef<str>) -> Option<i64> {
    Some(text.as_ref().parse::<Timestamp>().ok()?.as_second())
}

const fn class(state: NodeState) -> &'static str {
    match state {
        NodeState::Claimed => "s-claimed",
        NodeState::Flipped => "s-flipped",
        NodeState::Moving => "s-moving",
        NodeState::Proving => "s-proving",
        NodeState::Settling => "s-settling",
        NodeState::Done => "s-done",
        NodeState::Held => "s-held",
        NodeState::Waiting => "s-waiting",
        NodeState::Permitted => "s-permitted",
    }
}

fn lanes(frame: &Frame, lanes: &[&Lane], report: &Report) -> Figure {
    let gaps = frame.gaps(report);
    let track = |lane: &&Lane| {
        let ends = lane.spans.iter().skip(1).map(|span| time(&span.since)).chain([Some(frame.until)]);
        let bar = |(span, end): (&Span, Option<i64>)| {
            let to = span.to.map(|to| format!(" to {to}")).unwrap_or_default();
            let seconds = span.seconds.map(|seconds| format!(", {seconds} s")).unwrap_or_default();
            let title = format!("{}: {}{to}, from {}{seconds}", lane.node, span.state.as_str(), span.since);
            Some(frame.bar(class(span.state), time(&span.since)?, end?, title))
        };
        let bars = lane.spans.iter().zip(ends).filter_map(bar).chain(gaps.iter().cloned()).collect();
        Track { label: lane.node.clone(), bars }
    };
    let rows: Vec<Track> = lanes.iter().take(SHOWN).map(track).collect();
    let is_there =
        |state: &NodeState| lanes.iter().any(|lane| lane.spans.iter().any(|span| span.state == *state));
    let states = [
        NodeState::Waiting,
        NodeState::Claimed,
        NodeState::Permitted,
        NodeState::Flipped,
        NodeState::Moving,
        NodeState::Proving,
        NodeState::Settling,
        NodeState::Done,
        NodeState::Held,
    ];
    let key = |state: NodeState| Key { class: class(state), words: state.as_str().into() };
    let more = match lanes.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" {more} more nodes are in the JSON alone."),
    };
    Figure {
        caption: format!("Each row is a node, in the order of the plan.{more}"),
        axis: frame.axis(),
        legend: states.into_iter().filter(is_there).map(key).chain(gap_key(&gaps)).collect(),
        rows,
    }
}

fn gap_key(gaps: &[Bar]) -> Option<Key> {
    (!gaps.is_empty()).then(|| Key { class: "gap", words: "lines of the journal are missing".into() })
}

fn areas(frame: &Frame, report: &Report) -> Figure {
    let class = |phase| match phase {
        Phase::Old => "p-old",
        Phase::BothOld => "p-both-old",
        Phase::BothNew => "p-both-new",
        Phase::New => "p-new",
    };
    let sum = |count: &AttachedCount| count.attached.values().copied().map(i64::from).sum::<i64>();
    let most = report.attached.iter().map(sum).max().unwrap_or(0);
    let mut bars = Vec::new();
    let ends = report.attached.iter().skip(1).map(|count| time(&count.time)).chain([Some(frame.until)]);
    for (count, end) in report.attached.iter().zip(ends) {
        let Some((since, until)) = time(&count.time).zip(end) else { continue };
        let mut below = 0;
        for (phase, number) in &count.attached {
            let above = below + i64::from(*number);
            let (top, bottom) = (WHOLE - share(above, most), WHOLE - share(below, most));
            let title = format!("{}: {number} {phase}", count.time);
            let bar = frame.bar(class(*phase), since, until, title);
            bars.push(Bar { y: top, height: bottom - top, ..bar });
            below = above;
        }
    }
    let gaps = frame.gaps(report);
    let legend = Phase::ALL.into_iter().filter(|phase| is_counted(report, *phase));
    let legend = legend.map(|phase| Key { class: class(phase), words: phase.to_string() });
    Figure {
        caption: format!(
            "Attachments of all nodes by the phase that they were made in; the whole height is {most}."
        ),
        axis: frame.axis(),
        legend: legend.chain(gap_key(&gaps)).collect(),
        rows: vec![Track { label: String::new(), bars: bars.into_iter().chain(gaps).collect() }],
    }
}

fn evictions(document: &mut Document, report: &Report) {
    document.heading("Restarts and evictions");
    document.fields([
        ("evicted", calls(report, |sums| sums.evicted)),
        ("deleted", calls(report, |sums| sums.deleted)),
        ("refused by budgets", calls(report, |sums| sums.refused_by_budgets)),
        ("refused as busy", calls(report, |sums| sums.refused_as_busy)),
        ("failed", calls(report, |sums| sums.failed)),
        ("restarts per pod", restarts_per_pod(report)),
    ]);
    let rows = report.evictions.iter().flat_map(|sums| &sums.workloads).map(|workload| {
        let passes: Vec<String> =
            workload.passes.iter().map(|(pass, restarts)| format!("{pass}: {restarts}")).collect();
        vec![
            workload.owner.clone(),
            workload.restarts.to_string(),
            passes.join(", "),
            workload.most_of_one_pod.to_string(),
            workload.refused_by_budgets.to_string(),
        ]
    });
    table(document, vec!["WORKLOAD", "RESTARTS", "IN PASS", "OF ONE POD", "REFUSED BY BUDGETS"], rows);
}

fn waits(document: &mut Document, report: &Report) {
    document.heading("What the run waited for");
    if report.waits.is_empty() {
        document.text("Nothing that the journal has.");
        return;
    }
    let seconds = |seconds: Option<u64>| seconds.map_or_else(|| OPEN.into(), |seconds| seconds.to_string());
    let rows = report.reasons.iter().map(|total| {
        let reason = total.reason.to_string();
        vec![reason, total.waits.to_string(), total.held.to_string(), seconds(total.longest)]
    });
    table(document, vec!["REASON", "WAITS", "FOR A PERSON", "LONGEST, SECONDS"], rows);
    let rows = report.waits.iter().map(|wait| {
        let person = if wait.is_held { "a person" } else { "" };
        vec![
            wait.since.clone(),
            wait.object.to_string(),
            wait.reason.to_string(),
            person.into(),
            seconds(wait.seconds),
            wait.what.clone(),
        ]
    });
    table(document, vec!["SINCE", "OBJECT", "REASON", "NEEDED", "SECONDS", "WHAT"], rows);
}

fn probes(document: &mut Document, report: &Report) {
    document.heading("Lost probes");
    let rows = report.probes.iter().flat_map(|class| {
        let row = |source: &str, figures: Option<Figures>| {
            let shown = |figure: Option<u64>| figure.map_or(UNMEASURED.into(), |number| number.to_string());
            vec![
                class.from.clone(),
                class.to.clone(),
                source.into(),
                shown(figures.map(|figures| figures.sent)),
                shown(figures.map(|figures| figures.lost)),
                shown(figures.and_then(|figures| figures.longest_gap_millis)),
            ]
        };
        match (class.measured, class.gates) {
            (None, None) => vec![row("", None)],
            (None, gates) => vec![row("gates", gates)],
            (file, None) => vec![row("file", file)],
            (file, gates) => vec![row("file", file), row("gates", gates)],
        }
    });
    table(document, vec!["FROM", "TO", "BY", "SENT", "LOST", "LONGEST GAP, MS"], rows);
    if report.probes.is_empty() {
        document.text(format!("Lost probes are {UNMEASURED}."));
    }
    if !report.gates.is_empty() {
        document.heading("Gates");
        let rows = report.gates.iter().map(|(name, gate)| {
            vec![name.clone(), gate.color.into_str().into(), gate.time.clone(), gate.why.clone()]
        });
        table(document, vec!["GATE", "WAS", "AT", "WHY"], rows);
    }
}

fn people(document: &mut Document, report: &Report) {
    if !report.wishes.is_empty() {
        document.heading("What people asked for");
        let rows = report.wishes.iter().map(|record| {
            let Wish { operator, reason, what, .. } = &record.wish;
            let refused = record.refused.clone().unwrap_or_default();
            let what = serde_json::to_value(what).map_or_else(|_| String::new(), request);
            vec![record.time.clone(), operator.clone(), what, reason.clone(), refused]
        });
        table(document, vec!["AT", "BY", "WHAT", "REASON", "REFUSED"], rows);
    }
    if !report.broken.is_empty() {
        document.heading_of(Some(Severity::Blocks), "Decisions that the program refused to itself");
        let rows = report
            .broken
            .iter()
            .map(|rule| vec![rule.time.clone(), rule.invariant.clone(), rule.why.clone()]);
        table(document, vec!["AT", "RULE", "WHY"], rows);
    }
}

/// `pause`, `skip b7`.
fn request(what: serde_json::Value) -> String {
    match what {
        serde_json::Value::String(word) => word,
        serde_json::Value::Object(map) => {
            let pairs = map.iter().map(|(word, object)| match object.as_str() {
                Some(object) => format!("{word} {object}"),
                None => word.clone(),
            });
            pairs.collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}

fn accepted(document: &mut Document, report: &Report) {
    document.heading("What was accepted");
    let waivers = report.plan.iter().flat_map(|plan| &plan.waivers);
    let rows: Vec<Vec<String>> = waivers
        .map(|waiver| {
            let object = waiver.object.clone().unwrap_or_else(|| "all".into());
            vec![waiver.finding.clone(), object, waiver.reason.clone()]
        })
        .collect();
    match (&report.plan, rows.is_empty()) {
        (None, _) => document.text("The plan, which has the waivers, cannot be read."),
        (Some(_), true) => document.text("No finding was waived."),
        (Some(_), false) => table(document, vec!["FINDING", "OBJECT", "REASON"], rows.into_iter()),
    }
    if !report.unenforced.is_empty() {
        document.text("Policies that may have been unenforced for pods in some phase:");
        let rows = report.unenforced.iter().map(|window| {
            let time = |time: &Option<String>, other: &str| time.clone().unwrap_or_else(|| other.into());
            vec![
                window.policies.clone().unwrap_or_else(|| format!("all of kind {}", window.kind)),
                time(&window.since, "not yet"),
                time(&window.until, OPEN),
            ]
        });
        table(document, vec!["POLICIES", "FROM", "TO"], rows);
    }
}

fn versions(document: &mut Document, report: &Report) {
    document.heading("Versions");
    let versions = &report.versions;
    let programs: Vec<&str> = versions.programs.iter().map(String::as_str).collect();
    document.fields([
        ("kubectl-crossfade", if programs.is_empty() { OPEN.into() } else { programs.join(", ") }),
        ("Kubernetes", versions.kubernetes.clone().unwrap_or_else(|| UNKNOWN.into())),
    ]);
    let rows = versions.agents.iter().map(|agent| {
        vec![format!("DaemonSet/{}/{}", agent.namespace, agent.name), agent.generation.to_string()]
    });
    table(document, vec!["AGENT", "GENERATION IN THE PLAN"], rows);
}

/// A table; more rows than people read are counted instead.
fn table(document: &mut Document, columns: Vec<&'static str>, rows: impl Iterator<Item = Vec<String>>) {
    let mut rows: Vec<Vec<String>> = rows.collect();
    let more = rows.len().saturating_sub(SHOWN);
    rows.truncate(SHOWN);
    if !rows.is_empty() {
        document.table(columns, rows);
    }
    if more > 0 {
        document.text(format!("{more} more rows are in the JSON alone."));
    }
}
