//! `graduate`: Crossfade leaves a node that stays, under living pods that are on the new network alone.
//!
//! Gather ([`mod@gather`]) -> decide ([`mod@decide`], pure) -> act ([`act`]) -> record ([`journal`]) -> report ([`report`]). A dry run is the default, and
//! prints the list that `--apply` carries out. Every step does nothing where it is done already, so the same command goes on after an
//! interruption at any point. Before each stage the node is read once more: pods come and go meanwhile.

pub(crate) mod act;
pub(crate) mod gather;
pub(crate) mod journal;
pub(crate) mod report;

use std::time::Duration;

use convergence::change::Act;
use convergence::commands::graduate::decide::{Decision, Stage, decide};
use convergence::failure::Failure;
use convergence::report::Report as _;
use shim::node::ledger;
use types::command::exit::Exit;

use self::act::{GraduationHandler, journal_failure};
use self::gather::{NodeSnapshot, Subject, gather};
use self::journal::{Event, Journal, JournalAttachment};
use self::report::{GraduateReport, GraduateStage};
use crate::change::outcome::Done;
use crate::change::{Executor, settle};
use crate::cli::{Global, Graduate, print};
use crate::host::command_lock::CommandLock;
use crate::host::root::Root;
use crate::node::agent::repair_pause::RepairPause;
use crate::publish::removal::IN_CLUSTER;

/// One `graduate` at a time.
const LOCK: CommandLock = CommandLock { lock: "graduate", command: "graduate", another: "another graduate" };
/// Pause between two tries while something has to end first.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Graduates, or says what that would do.
///
/// # Errors
/// Bad settings; 3 with everything that stands in the way, or after Crossfade's conf was put back; 75 while an ADD or another run is under way.
pub(crate) fn graduate(global: &Global, args: &Graduate) -> Result<GraduateReport, Failure> {
    if !args.wait || !args.apply {
        return run_once(global, args);
    }
    let mut notes = Vec::new();
    let mut done = Vec::new();
    loop {
        let lines = match run_once(global, args) {
            Ok(report) if report.exit() == Exit::TryLater => {
                done.extend(report.changes.into_iter().filter(|change| change.outcome.is_some()));
                report.waits.iter().map(ToString::to_string).collect()
            }
            Ok(mut report) => {
                report.changes.splice(0..0, done);
                return Ok(report);
            }
            Err(failure) if matches!(failure.exit, Exit::No | Exit::TryLater) => failure.lines(),
            Err(failure) => return Err(failure),
        };
        if lines != notes {
            print::print_waiting(&lines);
            notes = lines;
        }
        std::thread::sleep(TRY_AGAIN);
    }
}

fn run_once(global: &Global, args: &Graduate) -> Result<GraduateReport, Failure> {
    let node = gather::node(global, args)?;
    if gather::is_bare(&node)? {
        return Ok(GraduateReport::of_bare_node(args.apply));
    }
    let transit = gather::transit(&node);
    let subject = Subject { global, args, transit: &transit };
    if !args.apply {
        let snapshot = gather(&subject)?;
        let decision = require_allowed(decide(&snapshot.facts))?;
        return plan_report(&snapshot, decision);
    }
    LOCK.run(&node.dirs.layout, || apply(&subject))
}

/// What is decided, unless something stands in the way.
fn require_allowed(decision: Decision) -> Result<Decision, Failure> {
    let Decision { refusals, later, .. } = &decision;
    if !refusals.is_empty() {
        return Err(Failure::all(Exit::No, refusals.iter().chain(later)));
    }
    if !later.is_empty() {
        return Err(Failure::all(Exit::TryLater, later));
    }
    Ok(decision)
}

fn plan_report(snapshot: &NodeSnapshot, decision: Decision) -> Result<GraduateReport, Failure> {
    let changes: Vec<Done> =
        decision.steps.into_iter().map(|step| Done { change: settle(step.change), outcome: None }).collect();
    let mut notes = decision.notes;
    if !changes.is_empty() {
        notes.push("nothing was changed; crossfade-bootstrap graduate --apply carries this out".into());
    }
    Ok(GraduateReport {
        dry_run: true,
        stage: GraduateStage::Planned,
        changes,
        waits: decision.waits,
        ledger: lines(snapshot)?,
        journal: None,
        notes,
    })
}

fn lines(snapshot: &NodeSnapshot) -> Result<Vec<ledger::Line>, Failure> {
    let path = snapshot.node.dirs.layout.ledger();
    ledger::read(&snapshot.node.dirs.layout).map_err(|why| {
        Failure::new(Exit::Failed, format!("read the ledger {}: {why}", path.display()))
            .with_place(path.display())
    })
}

fn apply(subject: &Subject<'_>) -> Result<GraduateReport, Failure> {
    let mut snapshot = gather(subject)?;
    let mut decision = require_allowed(decide(&snapshot.facts))?;
    let journal = Journal::new(&snapshot.facts.layout.state_dir);
    let mut run = Run { journal: &journal, changes: Vec::new(), notes: Vec::new() };
    if decision.steps.is_empty() && decision.waits.is_empty() {
        return run.report(&snapshot, decision, GraduateStage::Graduated);
    }
    let mut leaving = RepairPause::start(&snapshot.facts.layout)?;
    run.begin(&snapshot)?;
    let reached = run.stages(subject, &mut snapshot, &mut decision);
    // Until the name of the network is gone, `watch` would write the conf again.
    let is_gone = snapshot.facts.conf.file.symlink_metadata().is_err();
    leaving.stay(is_gone && !matches!(reached, Ok(GraduateStage::Graduated)));
    run.report(&snapshot, decision, reached?)
}

/// One run, and what it has done.
struct Run<'a> {
    journal: &'a Journal,
    changes: Vec<Done>,
    notes: Vec<String>,
}

impl Run<'_> {
    fn begin(&self, snapshot: &NodeSnapshot) -> Result<(), Failure> {
        let from = snapshot.facts.conf.name.clone().unwrap_or_default();
        let to = snapshot.facts.new.as_ref().and_then(|new| new.conf.as_ref().ok());
        let to = to.map_or_else(String::new, |(name, _)| name.clone());
        self.journal.write(Event::Begin { from, to }).map_err(|why| journal_failure(self.journal, &why))
    }

    /// Goes through the stages, as far as nothing has to end first. Before each of them the node is read once more.
    fn stages(
        &mut self,
        subject: &Subject<'_>,
        snapshot: &mut NodeSnapshot,
        decision: &mut Decision,
    ) -> Result<GraduateStage, Failure> {
        for stage in Stage::ALL {
            if stage != Stage::Prepare {
                *snapshot = gather(subject)?;
                *decision = require_allowed(decide(&snapshot.facts))?;
            }
            if !decision.waits.is_empty() && stage == Stage::Leave {
                return Ok(GraduateStage::Waiting);
            }
            self.stage(stage, snapshot, decision)?;
        }
        self.journal.write(Event::End {}).map_err(|why| journal_failure(self.journal, &why))?;
        self.notes.push(
            "Crossfade's package may be removed; what install --bring and --units copied goes with crossfade-bootstrap uninstall --purge \
             --brought"
                .into(),
        );
        self.notes.push(IN_CLUSTER.into());
        self.notes.push(format!("what was moved is in {}", self.journal.aside_dir().display()));
        Ok(GraduateStage::Graduated)
    }

    fn stage(
        &mut self,
        stage: Stage,
        snapshot: &NodeSnapshot,
        decision: &mut Decision,
    ) -> Result<(), Failure> {
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut decision.steps).into_iter().partition(|step| step.stage == stage);
        decision.steps = rest;
        self.notes.append(&mut decision.notes);
        if matches!(stage, Stage::Prepare | Stage::Settle) && !decision.handing.is_empty() {
            let attachments = decision.handing.iter().map(JournalAttachment::from).collect();
            let handing = Event::Handing { attachments };
            self.journal.write(handing).map_err(|why| journal_failure(self.journal, &why))?;
        }
        let root = Root::new(&snapshot.node.root);
        let mut executor =
            Executor::new(&root, GraduationHandler { snapshot, journal: self.journal, notes: Vec::new() });
        for step in due {
            let done = executor.apply(step.change)?;
            // A change that a stage finds done was reported by an earlier stage, or needs no report.
            let is_reported = self.changes.iter().any(|change| change.change.target == done.change.target);
            if !(matches!(done.change.act, Act::Keep) && is_reported) {
                self.changes.push(done);
            }
        }
        self.notes.extend(executor.into_means().notes);
        Ok(())
    }

    fn report(
        self,
        snapshot: &NodeSnapshot,
        decision: Decision,
        stage: GraduateStage,
    ) -> Result<GraduateReport, Failure> {
        let mut notes = self.notes;
        notes.extend(decision.notes);
        notes.dedup();
        Ok(GraduateReport {
            dry_run: false,
            stage,
            changes: self.changes,
            waits: decision.waits,
            ledger: lines(snapshot)?,
            journal: Some(self.journal.path().display().to_string()),
            notes,
        })
    }
}
