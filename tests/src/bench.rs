//! The benchmark: every figure of the shim beside the same call without it.
//!
//! What is compared runs in alternating pairs, the order changing from pair to pair, so that whatever else the machine does
//! falls on both. The shim's state lies on a real disk, since durability is what costs; its run directory, like a node's
//! /run, on a tmpfs. A figure that misses its goal is shown as missed; only errors and leftovers are failures.

mod boot;
mod call;
mod containerd;
mod cores;
mod cost;
mod footprint;
mod move_pods;
mod operator;
mod plugins;
mod records;
mod report;
mod single;
mod statistics;
mod watch;
mod workshop;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

pub use report::Report;

use crate::build::preflight::{self, CONTAINERD, NODES, Need, PLUGINS, TRACE};
use cores::Core;
use statistics::Pairs;
use workshop::Workshop;

/// A part of the benchmark that can be asked for alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Section {
    /// Single calls with a stub delegate.
    Single,
    /// Single calls with the standard plugins.
    Plugins,
    /// Many live records.
    Records,
    /// Sandboxes of a real containerd.
    Containerd,
    /// Networks that join and leave all pods of a node.
    MovePods,
    /// Memory, size, system calls.
    Footprint,
    /// How long `boot` takes.
    Boot,
    /// Memory of `watch`, and how often it wakes.
    Watch,
    /// A large cluster, offline.
    Operator,
    /// A large cluster, simulated.
    Simulate,
    /// Hollow nodes of a large cluster on a real API server, moved in place.
    #[cfg(feature = "kubernetes")]
    Roll,
    /// The same, replaced by Karpenter's stand-in.
    #[cfg(feature = "kubernetes")]
    Rotation,
    /// A large cluster on a real API server, read and checked.
    #[cfg(feature = "kubernetes")]
    Live,
}

impl Section {
    const ALL: &[Section] = &[
        Section::Footprint,
        Section::Boot,
        Section::Watch,
        Section::Single,
        Section::Plugins,
        Section::Records,
        Section::Containerd,
        Section::MovePods,
        Section::Operator,
        Section::Simulate,
        #[cfg(feature = "kubernetes")]
        Section::Roll,
        #[cfg(feature = "kubernetes")]
        Section::Rotation,
        #[cfg(feature = "kubernetes")]
        Section::Live,
    ];

    const fn needs(self) -> &'static [&'static [Need]] {
        match self {
            Section::Single | Section::Records => &[NODES],
            Section::Operator | Section::Simulate => &[],
            #[cfg(feature = "kubernetes")]
            Section::Roll | Section::Rotation | Section::Live => &[&[Need::Part("ip", "iproute2")]],
            Section::Footprint => &[NODES, TRACE],
            Section::Plugins | Section::Watch => &[NODES, PLUGINS],
            Section::Boot | Section::Containerd | Section::MovePods => &[NODES, PLUGINS, CONTAINERD],
        }
    }

    fn run(self, bench: &mut Bench) -> Result<()> {
        match self {
            Section::Single => single::run(bench),
            Section::Plugins => plugins::run(bench),
            Section::Records => records::run(bench),
            Section::Boot => boot::run(bench),
            Section::Containerd => containerd::run(bench),
            Section::MovePods => move_pods::instant_joins(bench).and_then(|()| move_pods::run(bench)),
            Section::Footprint => footprint::run(bench),
            Section::Watch => watch::run(bench),
            Section::Operator => operator::run(bench),
            Section::Simulate => operator::simulate::run(bench),
            #[cfg(feature = "kubernetes")]
            Section::Roll => operator::roll::move_in_place(bench),
            #[cfg(feature = "kubernetes")]
            Section::Rotation => operator::roll::replace(bench),
            #[cfg(feature = "kubernetes")]
            Section::Live => operator::live::run(bench),
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// Pairs of single calls.
    pub pairs: usize,
    /// Live records.
    pub records: usize,
    /// Sandboxes that containerd starts together.
    pub sandboxes: usize,
    /// How often it starts them.
    pub rounds: usize,
    /// Nodes of the large cluster.
    pub nodes: usize,
    /// Nodes of the cluster that is simulated.
    pub simulated_nodes: usize,
    /// Hollow nodes of the cluster on a real API server; none if it is left out.
    pub roll_nodes: usize,
    /// How many of them are moved, at most.
    pub roll_moved: usize,
    /// Pods on each of them, those of a DaemonSet included.
    pub roll_pods: usize,
    /// Nodes of the cluster that is read from a real API server; none if it is left out.
    pub live_nodes: usize,
    /// A binary of Multus to measure beside the shim.
    pub multus: Option<PathBuf>,
    /// What to measure; everything if empty.
    pub only: Vec<Section>,
}

impl Options {
    /// What the goals are stated for.
    pub const FULL: Options = Options {
        pairs: 500,
        records: 10_000,
        sandboxes: 110,
        rounds: 7,
        nodes: 5_000,
        simulated_nodes: 500,
        roll_nodes: 500,
        roll_moved: 200,
        roll_pods: 30,
        live_nodes: 1_000,
        multus: None,
        only: Vec::new(),
    };
    /// Proves that everything works; its figures mean little.
    pub const QUICK: Options = Options {
        pairs: 20,
        records: 200,
        sandboxes: 12,
        rounds: 2,
        nodes: 500,
        simulated_nodes: 50,
        roll_nodes: 0,
        roll_moved: 0,
        roll_pods: 30,
        live_nodes: 0,
        multus: None,
        only: Vec::new(),
    };
}

/// A run of the benchmark: where it works and what it found.
struct Bench {
    options: Options,
    workshop: Workshop,
    report: Report,
    cores: Vec<Core>,
    stop: Arc<AtomicBool>,
}

/// Runs the benchmark inside the lab.
///
/// # Errors
/// Something that must work did not; what only took long, or was left over, is in the report.
pub fn run(options: &Options) -> Result<Report> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signal handlers")?;
    }
    let workshop = Workshop::new()?;
    let report = Report::new(options, report::machine::describe(&workshop)?, report::now()?);
    if let Some(warning) = report.machine.warning() {
        eprintln!("warning: {warning}");
    }
    let mut bench = Bench { options: options.clone(), workshop, report, cores: Core::all()?, stop };
    for section in Section::ALL {
        if options.only.is_empty() || options.only.contains(section) {
            bench.section(*section)?;
        }
    }
    bench.report.finish()?;
    Ok(bench.report)
}

impl Bench {
    fn section(&mut self, section: Section) -> Result<()> {
        let name = format!("{section:?}").to_lowercase();
        let readiness = preflight::check(&section.needs().concat());
        if !readiness.is_complete() {
            let missing: Vec<&str> = readiness.missing().map(|finding| finding.need.as_str()).collect();
            let reason = format!("{name}: not run, this machine lacks: {}", missing.join(", "));
            ensure!(std::env::var_os("CI").is_none(), "{reason}");
            eprintln!("{reason}");
            self.report.not_run.push(reason);
            return Ok(());
        }
        eprintln!("{name} ...");
        section.run(self).with_context(|| name)
    }

    /// The turns of `count` pairs, after a tenth as many that do not count.
    fn turns(&self, count: usize) -> impl Iterator<Item = Result<Turn>> {
        let warm_up = count.div_ceil(10);
        let stop = Arc::clone(&self.stop);
        let cores = self.cores.clone();
        (0..warm_up + count).map(move |index| {
            ensure!(!stop.load(Ordering::SeqCst), "interrupted");
            // On each core, both sides are first by turns.
            let core = cores[index / 2 % cores.len()];
            Ok(Turn { bare_first: index % 2 == 0, counts: index >= warm_up, core })
        })
    }
}

/// One turn of a pair: who is first, whether it counts, and on which core each call of it begins.
#[derive(Debug, Clone, Copy)]
struct Turn {
    bare_first: bool,
    counts: bool,
    core: Core,
}

impl Turn {
    /// Measures both sides of a pair, takes them in if they count, and returns them.
    fn measure(
        self,
        pairs: &mut Pairs,
        bare: impl FnOnce() -> Result<Duration>,
        through: impl FnOnce() -> Result<Duration>,
    ) -> Result<(Duration, Duration)> {
        let (bare, through) = (|| self.on_core(bare), || self.on_core(through));
        let (bare, through) = if self.bare_first {
            let bare = bare()?;
            (bare, through()?)
        } else {
            let through = through()?;
            (bare()?, through)
        };
        self.take(pairs, bare, through);
        Ok((bare, through))
    }

    /// Lets `act` begin on the turn's core.
    fn on_core<T>(self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.core.begin()?;
        act()
    }

    /// Takes a pair in if it counts.
    fn take(self, pairs: &mut Pairs, bare: Duration, through: Duration) {
        if self.counts {
            pairs.push(bare, through);
        }
    }
}
