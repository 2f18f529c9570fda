//! `probe`: which pods and nodes reach each other, by packets of agents.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use migration::check::Scene;
use migration::config::{Config, ProbeGate};
use migration::plan::pod_ranges;
use migration::report::measure::{MeasuredClass, Measurements};
use reachability::class::Target;
use reachability::diagnosis::Diagnosis;
use reachability::manifests::{Agents, networks};
use reachability::measurement::{Comparison, Measurement, Verdict, compare, matrix};
use reachability::placement::Node;
use reachability::report::{ClassCounts, Counts};
use reachability::{Kind, Phase};
use serde::Serialize;
use snapshot::model::Snapshot;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::output_file::save;
use super::source;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::probe::Probe as ProbeArgs;
use crate::live::{self, Occasion, ProbeOptions, Probed};
use crate::print::{Document, Progress, Report};

/// The most classes that a table names.
const SHOWN: usize = 40;

/// What was measured.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProbeReport {
    /// Agents that reported at the end.
    pub agents: usize,
    /// Agents that the cluster was to have.
    pub expected_agents: usize,
    /// Nodes with agents that reported.
    pub nodes: usize,
    /// Every agent probed every other one; otherwise a sample of them.
    pub is_full: bool,
    /// The seconds of the baseline, and those that were measured.
    pub seconds: (u64, u64),
    /// Each class of packets.
    pub classes: Vec<ClassRow>,
    /// What explains the losses.
    pub causes: Vec<String>,
    /// How the command ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandEnd>,
    #[serde(skip)]
    cells: BTreeMap<(Kind, Target), Verdict>,
}

/// The packets of one class.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ProbedClass"))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClassRow {
    /// `host`, or the phase of the pods that asked.
    pub from: String,
    /// The same of those that were asked, or `Service` or `DNS`.
    pub to: String,
    /// `same node`, `other node`, `other zone`; `any` behind a cluster IP.
    pub place: String,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// `UDP`, `large UDP`, `TCP connect`, `held TCP`, `denied UDP`.
    pub packet: String,
    /// `clean`, `lossy`, `open` or `not-measured`.
    #[cfg_attr(test, schemars(with = "String"))]
    pub verdict: Verdict,
    /// Before.
    pub baseline: Figures,
    /// What counts.
    pub measured: Figures,
}

/// What became of packets.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ProbedFigures"))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    /// Packets that were answered within a second.
    pub answered: u64,
    /// Packets that were answered later.
    pub late: u64,
    /// Packets that were not answered.
    pub lost: u64,
    /// Packets that were not answered since their target ended.
    pub restarting: u64,
    /// Times of three seconds and more without an answer.
    pub outages: u64,
    /// Connections that ended unasked.
    pub broken: u64,
    /// The longest time without an answer, in milliseconds.
    pub longest_gap_millis: u64,
}

/// How a command ended.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommandEnd {
    /// Its exit status, if it ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<i32>,
    /// Why it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What the command did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Probe"))]
#[serde(untagged)]
pub(crate) enum Answer {
    /// It measured.
    Probed(Box<ProbeReport>),
    /// It says which objects it would put up.
    Preview {
        /// The objects.
        objects: Vec<serde_json::Value>,
    },
    /// The agents are gone.
    Removed {
        /// Always.
        removed: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// The settings cannot be read, the cluster's pods have no ranges, rights are missing, agents do not start, or a file cannot be written.
pub(crate) fn probe(global: &Global, args: &ProbeArgs) -> Result<Answer, Failure> {
    if args.remove {
        live::remove_agents(&global.access).map_err(call_failure)?;
        return Ok(Answer::Removed { removed: true });
    }
    let config = source::settings(global)?;
    let snapshot = source::without_pods(global, &args.migration)?;
    let options = options(args, &config, &snapshot)?;
    if args.dry_run {
        let objects = live::preview_agents(&options.agents, &options.nodes);
        return Ok(Answer::Preview { objects });
    }
    let progress = Progress::new();
    let probed = live::probe(&global.access, &options, &mut |text| progress.event(text));
    let probed = probed.map_err(call_failure)?;
    let (from, to) = (args.migration.from, args.migration.to);
    let is_enforced = |kind: Kind| match kind {
        Kind::Host => false,
        Kind::Pod(Phase::Old | Phase::BothOld) => from.facts().enforces_policies,
        Kind::Pod(Phase::BothNew | Phase::New) => to.facts().enforces_policies,
    };
    let comparisons = compare(&probed.baseline, &probed.measured, is_enforced);
    if let Some(file) = &args.measured {
        write_measured(file, &comparisons)?;
    }
    Ok(Answer::Probed(Box::new(ProbeReport::new(&probed, &comparisons))))
}

fn call_failure((exit, problem): (Exit, Problem)) -> Failure {
    Failure::from_problem(exit, problem)
}

fn options(args: &ProbeArgs, config: &Config, snapshot: &Snapshot) -> Result<ProbeOptions, Failure> {
    let scene = Scene {
        snapshot,
        config,
        from: args.migration.from,
        to: args.migration.to,
        strategy: args.migration.strategy,
    };
    let ranges = pod_ranges(&scene);
    let networks = networks(&ranges.old, &ranges.new);
    if networks.is_empty() {
        let what = "the cluster does not say from which ranges pods get their addresses, by which agents tell the networks";
        let fix = "name them in the settings file: networks: {old: {cidrs: [CIDR]}, new: {cidrs: [CIDR]}}";
        return Err(Failure::from_problem(
            Exit::BadSettings,
            Problem::new(what).with_place("networks").fix(fix),
        ));
    }
    let addresses = |node: &snapshot::model::Node| {
        node.addresses("InternalIP").filter_map(|address| address.parse().ok()).collect()
    };
    let nodes = snapshot.nodes.iter().map(|node| Node {
        name: node.name().to_owned(),
        zone: node.zone().to_owned(),
        addresses: addresses(node),
    });
    let image = config.probe.image.clone();
    let time = |seconds: u32| Duration::from_secs(seconds.into());
    let agents = Agents {
        image: image.unwrap_or_else(|| format!("localhost/crossfade:{}", env!("CARGO_PKG_VERSION"))),
        pull_secret: config.probe.pull_secret.clone(),
        port: config.probe.port,
        networks,
        dns: dns_addresses(config, snapshot),
        asks_denied: args.enforcement || config.probe.has_gate(ProbeGate::Enforcement),
    };
    let occasion = match args.during {
        true => Occasion::Command(args.command.clone()),
        false => Occasion::Time(time(args.time)),
    };
    Ok(ProbeOptions {
        agents,
        nodes: nodes.collect(),
        baseline: time(args.baseline),
        occasion,
        keeps: args.keep,
    })
}

/// The cluster IPs of the Services that select DNS pods.
fn dns_addresses(config: &Config, snapshot: &Snapshot) -> Vec<String> {
    let is_of_dns = |service: &&snapshot::model::Service| {
        let selector = &service.spec.selector;
        let is_selected = config.dns.labels.iter().all(|(key, value)| selector.get(key) == Some(value));
        *service.metadata.namespace == *config.dns.namespace && !config.dns.labels.is_empty() && is_selected
    };
    let services = snapshot.services.iter().filter(is_of_dns);
    let addresses = services.flat_map(|service| &service.spec.cluster_ips);
    addresses.filter(|address| address.parse::<std::net::IpAddr>().is_ok()).map(ToString::to_string).collect()
}

/// What explains losses that were not there before.
fn new_causes(baseline: &Measurement, measured: &Measurement) -> Vec<String> {
    let is_new = |cause: &&Diagnosis| !baseline.causes.contains_key(*cause);
    measured.causes.keys().filter(is_new).map(ToString::to_string).collect()
}

impl ProbeReport {
    fn new(probed: &Probed, comparisons: &[Comparison]) -> Self {
        let Probed { baseline, measured, expected, command } = probed;
        let seconds = |reports: u64| reports * reachability::roster::INTERVAL / 1_000;
        let command = command.as_ref().map(|ended| match ended {
            Ok(status) => CommandEnd { exit_status: Some(*status), why: None },
            Err(why) => CommandEnd { exit_status: None, why: Some(why.clone()) },
        });
        Self {
            agents: measured.count_agents(),
            expected_agents: *expected,
            nodes: measured.nodes().len(),
            is_full: measured.is_full,
            seconds: (seconds(baseline.reports), seconds(measured.reports)),
            cells: matrix(comparisons),
            classes: comparisons.iter().map(ClassRow::from).collect(),
            causes: new_causes(baseline, measured),
            command,
        }
    }

    fn faults(&self) -> impl Iterator<Item = &ClassRow> {
        self.classes.iter().filter(|class| matches!(class.verdict, Verdict::Lossy | Verdict::Open))
    }

    fn has_failed_command(&self) -> bool {
        self.command.as_ref().is_some_and(|command| command.exit_status != Some(0))
    }

    fn is_measured(&self) -> bool {
        self.classes.iter().any(|class| class.verdict != Verdict::NotMeasured)
    }
}

impl From<&Comparison> for ClassRow {
    fn from(comparison: &Comparison) -> Self {
        let Comparison { class, baseline, counts, verdict } = comparison;
        Self {
            from: class.from.to_string(),
            to: class.to.to_string(),
            place: class.place.to_string(),
            family: class.family.to_string(),
            packet: class.packet.to_string(),
            verdict: *verdict,
            baseline: Figures::from(baseline),
            measured: Figures::from(counts),
        }
    }
}

impl From<&Counts> for Figures {
    fn from(counts: &Counts) -> Self {
        let Counts { answered, late, lost, restarting, outages, broken, longest_gap } = *counts;
        Self { answered, late, lost, restarting, outages, broken, longest_gap_millis: longest_gap }
    }
}

/// Writes a file for `report --measured`: by kinds alone, without what a policy denies.
fn write_measured(file: &Path, comparisons: &[Comparison]) -> Result<(), Failure> {
    let measured = comparisons.iter().filter(|row| row.verdict != Verdict::NotMeasured);
    let rows = measured.map(|row| ClassCounts { class: row.class, counts: row.counts });
    let measurements = Measurements { version: Measurements::VERSION, classes: MeasuredClass::sums(rows) };
    let text = serde_json::to_string_pretty(&measurements).unwrap_or_default() + "\n";
    let saved = save(file, |out| out.write_all(text.as_bytes()));
    saved.map_err(|problem| Failure::from_problem(Exit::Failed, problem))
}

impl Report for Answer {
    fn document(&self) -> Document {
        match self {
            Self::Probed(report) => report.document(),
            Self::Preview { objects } => {
                let mut document = Document::new(
                    "Probe: these objects would be put up, with a Secret for the key, in the namespace crossfade-probe",
                );
                for object in objects {
                    document.code(format!("---\n{}", serde_saphyr::to_string(object).unwrap_or_default()));
                }
                document
            }
            Self::Removed { .. } => Document::new("Probe: the agents are gone"),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Probed(report) if report.has_failed_command() => Exit::Failed,
            Self::Probed(report) if report.faults().next().is_some() || !report.is_measured() => Exit::No,
            Self::Probed(_) | Self::Preview { .. } | Self::Removed { .. } => Exit::Done,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Probed(report) => report.problems(),
            Self::Preview { .. } | Self::Removed { .. } => Vec::new(),
        }
    }
}

impl ProbeReport {
    fn document(&self) -> Document {
        let (before, measured) = self.seconds;
        let sample =
            if self.is_full { "every agent probes every other one" } else { "each agent probes a sample" };
        let mut document = Document::new(format!(
            "Probe: {} of {} agents on {} nodes, {sample}; {before} s of baseline, {measured} s measured",
            self.agents, self.expected_agents, self.nodes
        ));
        self.render_matrix(&mut document);
        let rows: Vec<Vec<String>> = self.faults().take(SHOWN).map(ClassRow::cells).collect();
        if !rows.is_empty() {
            document.heading("Classes with faults");
            document.table(
                vec![
                    "FROM",
                    "TO",
                    "PLACE",
                    "FAMILY",
                    "PACKET",
                    "SENT",
                    "LOST",
                    "LATE",
                    "OUTAGES",
                    "BROKEN",
                    "LONGEST GAP",
                ],
                rows,
            );
        }
        if !self.causes.is_empty() {
            document.heading("What explains them");
            document.list(self.causes.iter().cloned(), SHOWN);
        }
        if let Some(command) = &self.command {
            let end = command.exit_status.map(|status| format!("exit status {status}"));
            document
                .text(format!("The command: {}", end.or_else(|| command.why.clone()).unwrap_or_default()));
        }
        document
    }

    fn render_matrix(&self, document: &mut Document) {
        let targets: Vec<Target> =
            Kind::ALL.map(Target::Agent).into_iter().chain([Target::Service, Target::Dns]).collect();
        let is_there = |target: &&Target| self.cells.keys().any(|(_, to)| to == *target);
        let targets: Vec<Target> = targets.iter().filter(is_there).copied().collect();
        let title = |target: &Target| match target {
            Target::Agent(Kind::Host) => "HOST",
            Target::Agent(Kind::Pod(Phase::Old)) => "OLD",
            Target::Agent(Kind::Pod(Phase::BothOld)) => "BOTH-OLD",
            Target::Agent(Kind::Pod(Phase::BothNew)) => "BOTH-NEW",
            Target::Agent(Kind::Pod(Phase::New)) => "NEW",
            Target::Service => "SERVICE",
            Target::Dns => "DNS",
        };
        let columns: Vec<&'static str> =
            ["FROM \\ TO"].into_iter().chain(targets.iter().map(title)).collect();
        let cell = |from: Kind, to: &Target| match self.cells.get(&(from, *to)) {
            None => "",
            Some(Verdict::Clean) => "ok",
            Some(Verdict::Lossy) => "LOST",
            Some(Verdict::Open) => "OPEN",
            Some(Verdict::NotMeasured) => "not measured",
        };
        let is_asking = |kind: &Kind| self.cells.keys().any(|(from, _)| from == kind);
        let row = |from: Kind| {
            let cells = targets.iter().map(|to| cell(from, to).to_owned());
            [from.to_string()].into_iter().chain(cells).collect()
        };
        document.table(columns, Kind::ALL.into_iter().filter(is_asking).map(row).collect());
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(command) = self.command.as_ref().filter(|_| self.has_failed_command()) {
            let what = match (&command.exit_status, &command.why) {
                (Some(status), _) => format!("the command ended with exit status {status}"),
                (None, why) => why.clone().unwrap_or_default(),
            };
            problems.push(Problem::new(what).with_place("--during").fix("look at what it printed on stderr"));
        }
        if !self.is_measured() {
            let what = "no class of packets passed before, so that nothing was measured";
            let fix = "look at kubectl -n crossfade-probe logs daemonset/hub, and let agents reach each other at the ports of probe.port";
            problems.push(Problem::new(what).with_place("Namespace/crossfade-probe").fix(fix));
        }
        let faults = self.faults().take(SHOWN).map(|class| {
            let ClassRow { from, to, place, family, packet, measured, .. } = class;
            let what = match class.verdict {
                Verdict::Open => format!(
                    "{from} to {to}: {} packets arrive that a NetworkPolicy denies",
                    measured.answered + measured.late
                ),
                Verdict::Clean | Verdict::Lossy | Verdict::NotMeasured => format!(
                    "{from} to {to}: {} of {} packets lost, {} outages, {} broken connections",
                    measured.lost,
                    measured.answered + measured.late + measured.lost,
                    measured.outages,
                    measured.broken
                ),
            };
            let fix = "find the cause by the list of causes, then probe again";
            Problem::new(what).with_place(format!("{packet} over {family}, {place}")).fix(fix)
        });
        problems.extend(faults);
        problems
    }
}

impl ClassRow {
    fn cells(&self) -> Vec<String> {
        let Figures { answered, late, lost, outages, broken, longest_gap_millis, .. } = self.measured;
        let ends = [&self.from, &self.to, &self.place, &self.family, &self.packet].map(Clone::clone);
        let figures = [answered + late + lost, lost, late, outages, broken].map(|figure| figure.to_string());
        let gap = format!("{:.1} s", Duration::from_millis(longest_gap_millis).as_secs_f64());
        ends.into_iter().chain(figures).chain([gap]).collect()
    }
}
