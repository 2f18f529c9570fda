//! The cost of one verb beyond its delegates: through the shim, at the least, and through Multus.
//!
//! The least is the floor: a program starts and ends, and a call that makes something durable waits for the disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::Turn;
use super::call::Call;
use super::report::{Cost, Report};
use super::statistics::{Pairs, Summary, micros};
use super::workshop::Workshop;
use crate::{build::packages, host::scratch};

/// One verb, measured turn by turn.
pub(super) struct Verb {
    /// The bare calls, one after the other.
    pub(super) bare: Vec<Call>,
    /// The same through the shim.
    pub(super) shim: Call,
    /// The same through Multus, if there is one and it knows the verb.
    pub(super) multus: Option<Call>,
    /// The floor of the call.
    pub(super) floor: Floor,
    through_shim: Pairs,
    through_multus: Pairs,
}

impl Verb {
    pub(super) fn new(bare: Vec<Call>, shim: Call, multus: Option<Call>, floor: Floor) -> Verb {
        Verb { bare, shim, multus, floor, through_shim: Pairs::default(), through_multus: Pairs::default() }
    }

    /// Measures it once: bare and through the shim as `turn` says, then the others.
    pub(super) fn measure(&mut self, turn: Turn) -> Result<()> {
        let bare = &mut self.bare;
        let run = |call: &mut Call| turn.on_core(|| call.run());
        let all = || bare.iter_mut().map(run).sum::<Result<Duration>>();
        let (bare, _) = turn.measure(&mut self.through_shim, all, || self.shim.run())?;
        if let Some(multus) = &mut self.multus {
            turn.take(&mut self.through_multus, bare, run(multus)?);
        }
        self.floor.measure(turn)
    }

    /// Puts it into the report as `what`, and returns what it costs beyond the bare calls.
    pub(super) fn report(&self, what: &str, report: &mut Report) -> Cost {
        self.report_by(what, report, Pairs::difference)
    }

    /// The same of a verb for which the shim calls no plugin: all that it takes.
    pub(super) fn report_whole(&self, what: &str, report: &mut Report) -> Cost {
        self.report_by(what, report, Pairs::through)
    }

    fn report_by(&self, what: &str, report: &mut Report, cost: impl Fn(&Pairs) -> Summary) -> Cost {
        report.pairs(what, &self.through_shim);
        let multus = self.multus.is_some().then(|| cost(&self.through_multus));
        let cost = Cost::new(what, self.floor.whole(), cost(&self.through_shim), multus);
        report.costs.push(cost.clone());
        cost
    }
}

/// The floor of one verb, measured in the same turns as the verb.
pub(super) struct Floor {
    nothing: Call,
    durable: Option<DurableWrite>,
    nothing_us: Vec<f64>,
    durable_us: Vec<f64>,
}

impl Floor {
    /// A static program that does nothing, from its start to its end.
    pub(super) fn start(workshop: &Workshop) -> Result<Floor> {
        let nothing = Call::new(&applet(workshop, "true")?, "", workshop.stubs.path(), &json!({}))?;
        Ok(Floor { nothing, durable: None, nothing_us: Vec::new(), durable_us: Vec::new() })
    }

    /// The same, and a file of this length that is durable when the call returns.
    pub(super) fn durable(workshop: &Workshop, label: &str, length: u64) -> Result<Floor> {
        Ok(Floor { durable: Some(DurableWrite::new(workshop, label, length)?), ..Floor::start(workshop)? })
    }

    /// Measures it once.
    pub(super) fn measure(&mut self, turn: Turn) -> Result<()> {
        let nothing = turn.on_core(|| self.nothing.run())?;
        let durable = turn.on_core(|| self.durable.as_ref().map(DurableWrite::run).transpose())?;
        if turn.counts {
            self.nothing_us.push(micros(nothing));
            self.durable_us.extend(durable.map(micros));
        }
        Ok(())
    }

    /// The sum of its parts, turn by turn.
    pub(super) fn whole(&self) -> Summary {
        let durable = self.durable_us.iter().copied().chain(std::iter::repeat(0.0));
        let whole: Vec<f64> =
            self.nothing_us.iter().zip(durable).map(|(nothing, other)| nothing + other).collect();
        Summary::new(&whole)
    }

    /// Puts its parts into the report.
    pub(super) fn report(&self, report: &mut Report) {
        let parts = [
            ("a static program that does nothing", &self.nothing_us),
            ("write + fsync + rename + fsync of the directory", &self.durable_us),
        ];
        for (what, times_us) in parts.into_iter().filter(|(_, times_us)| !times_us.is_empty()) {
            let times = Summary::new(times_us);
            report.figure(format!("{what}: p50"), times.median_us / 1000.0, "ms");
            report.figure(format!("{what}: p99"), times.p99_us / 1000.0, "ms");
        }
    }
}

/// A static program that does what its name says: busybox is the applet by whose name it is called.
fn applet(workshop: &Workshop, name: &str) -> Result<PathBuf> {
    let program = workshop.disk.join("floor").join(name);
    if !program.exists() {
        scratch::install(&packages::part("busybox")?, &program)?;
    }
    Ok(program)
}

/// What durability alone costs: a file as long as a record, written with a temporary name, and renamed.
struct DurableWrite {
    directory: PathBuf,
    bytes: Vec<u8>,
}

impl DurableWrite {
    fn new(workshop: &Workshop, label: &str, length: u64) -> Result<DurableWrite> {
        let directory = workshop.disk.join(&format!("durable-{label}"));
        fs::create_dir(&directory).context("directory of durable writes")?;
        Ok(DurableWrite { directory, bytes: vec![b'x'; usize::try_from(length)?] })
    }

    /// Writes it once, and removes it when the time has been taken.
    fn run(&self) -> Result<Duration> {
        let began = Instant::now();
        let written = self.write();
        let took = began.elapsed();
        written.context("a durable write")?;
        self.remove()?;
        Ok(took)
    }

    fn write(&self) -> std::io::Result<()> {
        let temporary = self.directory.join(".tmp");
        let mut file = File::options().append(true).create_new(true).open(&temporary)?;
        file.write_all(&self.bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, self.path())?;
        File::open(&self.directory)?.sync_all()
    }

    fn remove(&self) -> Result<()> {
        fs::remove_file(self.path()).context("the file of a durable write")
    }

    fn path(&self) -> PathBuf {
        self.directory.join("record")
    }
}
