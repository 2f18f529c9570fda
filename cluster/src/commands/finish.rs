//! `finish`: what is left to do once every pod is on the new network, and the removal of the old CNI.

use std::path::{Path, PathBuf};

use migration::check::Scene;
use migration::cni::support::{Cni, Stage, Strategy};
use migration::cni::values;
use migration::config::Config;
use migration::finish::lines::{
    self, Change, Facts, Line, LineName, LineState, Observation, PolicyComparison,
};
use migration::finish::{FinishPlan, Inventory, Pin, Record, plan};
use migration::plan::{Plan, canon};
use migration::roll::run::Run;
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::text::quote::shell_word;

use super::output_file::save;
use super::policies::{self, PolicyInputs};
use super::roll::conduct::call_failure;
use super::source;
use crate::cli::Migration;
use crate::cli::exit::Failure;
use crate::cli::finish::Finish as FinishArgs;
use crate::cli::options::Global;
use crate::cli::policies::Observe;
use crate::input;
use crate::live::{
    self, Approval, BackupFiles, FinishAct, FinishInputs, FinishRequest, FinishView, Patience,
};
use crate::print::{Document, Progress, Report};

/// Most bytes of a backup. *Source*: none; it is as much as a backup of policies may have.
const LARGEST: u64 = 1 << 30;
/// How many objects of a plan people see.
const SHOWN: usize = 200;

/// How far the end of a migration is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct FinishReport {
    /// The CNI that goes.
    pub from: Cni,
    /// The CNI that stays.
    pub to: Cni,
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// SHA-256 of the plan of removal, in hex: what --confirm approves.
    pub hash: String,
    /// What would be removed of what is there.
    pub plan: FinishPlan,
    /// What was approved; none if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    #[serde(skip)]
    next: String,
}

/// The directory that `--backup` names.
struct Directory<'a>(&'a Path);

impl BackupFiles for Directory<'_> {
    fn load(&self, name: &str) -> Option<Vec<u8>> {
        input::read(&self.0.join(name), LARGEST).ok()
    }

    fn save(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        save(&self.0.join(name), |out| out.write_all(bytes))
            .map_err(|problem| problem.fix("name a directory that you can write to: --backup DIR"))
    }
}

/// Runs the command.
///
/// # Errors
/// The settings or the snapshot cannot be read, it is not known between which CNIs the cluster was moved, the approval is of another plan, or a request failed.
pub(crate) fn finish(global: &Global, args: &FinishArgs) -> Result<FinishReport, Failure> {
    let is_live = global.snapshot.is_empty();
    if !is_live && (args.confirm.is_some() || args.undo) {
        let problem = Problem::new("--snapshot: nothing is changed in a file").with_place("--snapshot");
        return Err(Failure::from_problem(Exit::Usage, problem.fix("leave --snapshot out")));
    }
    let mut config = source::settings(global)?;
    // What the new CNI needs in the last stage is what this command is about.
    config.transition.phase = Stage::Finish;
    let files = Directory(&args.backup);
    let progress = Progress::new();
    let mut report_step = |what: &str| progress.note(what);
    let patience = if args.take_over { Patience::UntilExpired } else { Patience::None };
    let named = args.from.zip(args.to);
    let (own, flows) = (global.clone(), args.flows.clone());
    let act = match &args.confirm {
        Some(hash) => {
            let removes =
                args.remove.as_deref().map(|name| require_name(global, name)).transpose()?.is_some();
            Some(FinishAct::CarryOut(Approval { hash: hash.clone(), removes }))
        }
        None => args.undo.then_some(FinishAct::Undo),
    };
    let viewed = if let Some(act) = act {
        // A migration that is not known is refused before the Lease is taken, which writes.
        gather_migration(global, named)?;
        let gather = move || gather(&own, config, named, flows).map_err(first_problem);
        let request = FinishRequest { act, patience };
        live::apply_finish(&global.access, gather, &files, &request, &mut report_step)
    } else {
        let inputs = gather(global, config, named, flows)?;
        if is_live {
            live::view_finish(&global.access, &inputs, &files, &mut report_step)
        } else {
            Ok(offline(&inputs.scene(), &inputs.policies))
        }
    };
    let FinishView { lines, changes, plan, record } = viewed.map_err(call_failure)?;
    if let Some(file) = &args.values {
        write_values(&changes, file)?;
    }
    let hash = plan.hash();
    let next = next_command(global, args, &lines, &hash);
    Ok(FinishReport { from: plan.from, to: plan.to, lines, hash, plan, record, next })
}

/// The migration of the cluster, and its last run with that run's plan.
///
/// # Errors
/// The run cannot be read, or nothing says between which CNIs the cluster was moved.
fn gather_migration(
    global: &Global,
    named: Option<(Cni, Cni)>,
) -> Result<(Migration, Option<(Run, Plan)>), Failure> {
    let is_live = global.snapshot.is_empty();
    let last_run = if is_live { live::last_run(&global.access).map_err(call_failure)? } else { None };
    let pair = named.or_else(|| last_run.as_ref().map(|(_, plan)| (plan.from, plan.to)));
    let (from, to) = pair.ok_or_else(unknown_pair)?;
    let strategy = last_run.as_ref().map_or(Strategy::Double, |(_, plan)| plan.strategy);
    Ok((Migration { from, to, strategy }, last_run))
}

/// Reads the last run, what the cluster has, how the policies of both CNIs compare, and what they make of recorded flows.
///
/// # Errors
/// The snapshot or a record cannot be read, or nothing says between which CNIs the cluster was moved.
fn gather(
    global: &Global,
    config: Config,
    named: Option<(Cni, Cni)>,
    flows: Vec<PathBuf>,
) -> Result<FinishInputs, Failure> {
    let (migration, last_run) = gather_migration(global, named)?;
    let Migration { from, to, .. } = migration;
    let snapshot = source::snapshot(global, Some(&migration))?;
    let (inputs, missing) = PolicyInputs::over(config, snapshot, from, to);
    let mut policies = compared(&inputs, from, to, &missing);
    if !flows.is_empty() && missing.is_empty() {
        policies.observation = Some(observe(&inputs, &Observe { from, to, flows, policies: Vec::new() })?);
    }
    let PolicyInputs { config, snapshot, .. } = inputs;
    Ok(FinishInputs { config, snapshot, from, to, policies, last_run })
}

/// What a snapshot says.
fn offline(scene: &Scene<'_>, policies: &PolicyComparison) -> FinishView {
    let inventory: Inventory = plan::inventory(scene);
    let plan = FinishPlan::new(scene, &inventory);
    let facts = Facts {
        scene,
        inventory: &inventory,
        plan: &plan,
        record: None,
        backup: None,
        policies,
        run_plan: None,
        open_run: None,
        now: None,
    };
    FinishView { lines: lines::lines(&facts), changes: lines::changes(&facts), plan, record: None }
}

/// How the policies of both CNIs compare.
fn compared(inputs: &PolicyInputs, from: Cni, to: Cni, missing: &[Problem]) -> PolicyComparison {
    let unknown =
        |problems: &[Problem]| PolicyComparison { unknown: problems.to_vec(), ..PolicyComparison::default() };
    if !missing.is_empty() {
        return unknown(missing);
    }
    policies::in_cluster(inputs, from, to).unwrap_or_else(|failure| unknown(&failure.problems))
}

/// What the policies in the cluster make of recorded flows.
fn observe(inputs: &PolicyInputs, args: &Observe) -> Result<Observation, Failure> {
    let report = policies::observe_in(inputs, args)?;
    let time = |text: &Option<snapshot::model::Text>| text.as_ref()?.parse().ok();
    let open = report.judgement.unjudged.iter().filter(|flows| flows.why.is_open());
    Ok(Observation {
        problems: report.problems().into_iter().map(|problem| problem.what).collect(),
        allowed: report.judgement.allowed,
        open: open.fold(0, |all, flows| all.saturating_add(flows.flows)),
        lost: report.judgement.lost,
        window: time(&report.judgement.first).zip(time(&report.judgement.last)),
    })
}

fn write_values(changes: &[Change], file: &Path) -> Result<(), Failure> {
    let sets: Vec<(&str, &str)> = changes.iter().map(|change| (change.set, change.value)).collect();
    let text = values::file(&sets);
    save(file, |out| out.write_all(text.as_bytes())).map_err(|problem| {
        Failure::from_problem(Exit::Failed, problem.fix("name a file that you can write: --values FILE"))
    })
}

/// Refuses a name that is not the one of the cluster.
fn require_name(global: &Global, name: &str) -> Result<(), Failure> {
    if global.access.server.is_some() {
        let problem =
            Problem::new("--remove names a cluster of the kubeconfig, and --server another address");
        let fix =
            "leave --server out, and name the cluster by its context: --context NAME; nothing was changed";
        return Err(Failure::from_problem(Exit::Usage, problem.with_place("--server").fix(fix)));
    }
    let own = live::cluster_name(&global.access);
    if name == own {
        return Ok(());
    }
    let problem = Problem::new(format!("--remove {name}: the kubeconfig calls this cluster {own}"));
    let fix = "look which cluster is meant: kubectl config current-context; nothing was changed";
    Err(Failure::from_problem(Exit::No, problem.with_place("--remove").fix(fix)))
}

fn unknown_pair() -> Failure {
    let what = "the cluster has no run that says between which CNIs it was moved";
    Failure::from_problem(
        Exit::Usage,
        Problem::new(what).with_place("--from").fix("name them: --from CNI --to CNI"),
    )
}

/// A live cluster that cannot be read is one problem.
fn first_problem(failure: Failure) -> (Exit, Problem) {
    let problem = failure.problems.into_iter().next();
    (failure.exit, problem.unwrap_or_else(|| Problem::new("the cluster cannot be read")))
}

/// The command that does the next line; empty if this program does nothing for it.
fn next_command(global: &Global, args: &FinishArgs, lines: &[Line], hash: &str) -> String {
    let pair =
        args.from.zip(args.to).map(|(from, to)| format!(" --from {from} --to {to}")).unwrap_or_default();
    let backup = match args.backup.to_string_lossy() {
        here if here == "." => String::new(),
        directory => format!(" --backup {}", shell_word(&directory)),
    };
    // It is the hash of the objects that are shown: the record is one that others can write.
    // Pasted, it must go to the cluster of this call.
    let access = global.access.flags();
    let confirm = format!("finish{pair} --confirm {}{backup}{access}", canon::shorten_hash(hash));
    match lines::next(lines) {
        Some(Line { line: LineName::Removal, state: LineState::Ready, .. }) => {
            let name = live::cluster_name(&global.access);
            global.next_command(&format!("{confirm} --remove {}", shell_word(&name)))
        }
        Some(Line { state: LineState::Ready, .. }) => global.next_command(&confirm),
        Some(_) | None => String::new(),
    }
}

impl Report for FinishReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Finish: {} goes, {} stays", self.from, self.to));
        let row = |line: &Line| {
            let evidence = line.evidence.join("; ");
            vec![line.line.to_string(), line.state.into_str().to_owned(), evidence, line.help.clone()]
        };
        document.table(
            vec!["LINE", "STATE", "WHAT SHOWS IT", "WHAT HELPS"],
            self.lines.iter().map(row).collect(),
        );
        let title = |pin: &Pin| format!("{} {}", pin.target, pin.uid);
        if !self.plan.delete.is_empty() {
            document.heading("What the removal deletes, in this order, each by its UID");
            document.list(self.plan.delete.iter().map(title), SHOWN);
        }
        if !self.plan.vanish.is_empty() {
            document.heading("What goes with these");
            document.list(self.plan.vanish.iter().map(title), SHOWN);
        }
        document.fields([("hash", self.hash.clone())]);
        if let Some(record) = &self.record {
            let Record { plan, approved_by, approved_at, .. } = record;
            document.text(format!(
                "Plan {} was approved by {approved_by} at {approved_at}.",
                canon::shorten_hash(plan)
            ));
            if *plan != self.hash {
                document.text("What is there now differs from that plan, and has the hash above.");
            }
        }
        if !self.next.is_empty() {
            document.text(format!("Next: {}", self.next));
        }
        document
    }

    fn exit(&self) -> Exit {
        match lines::next(&self.lines).map(|line| line.state) {
            None | Some(LineState::Ready | LineState::Done) => Exit::Done,
            Some(LineState::Waits) => Exit::TryLater,
            Some(LineState::Refused) => Exit::No,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let next = lines::next(&self.lines).filter(|line| !matches!(line.state, LineState::Ready));
        let problem = |line: &Line| {
            let what = format!("{} {}: {}", line.line, line.state.into_str(), line.evidence.join("; "));
            Problem::new(what).with_place(format!("the line {}", line.line)).fix(line.help.clone())
        };
        next.map(problem).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parsed(arguments: &[&str]) -> (Global, FinishArgs) {
        let all = ["kubectl-crossfade", "finish"].iter().chain(arguments).copied();
        let Cli { global, command } = Cli::try_parse_from(all).expect("arguments");
        let Command::Finish(args) = command else { panic!("another command") };
        (global, args)
    }

    #[test]
    fn a_name_of_the_kubeconfig_does_not_go_with_another_address() {
        let (global, _) = parsed(&["--cluster", "blue"]);
        assert!(require_name(&global, "blue").is_ok());
        assert!(require_name(&global, "green").is_err_and(|failure| failure.exit == Exit::No));
        let (global, _) = parsed(&["--cluster", "blue", "--server", "https://127.0.0.1"]);
        let failure = require_name(&global, "blue").expect_err("another address");
        assert_eq!((failure.exit, failure.problems[0].place.as_str()), (Exit::Usage, "--server"));
    }

    #[test]
    fn the_command_that_comes_next_goes_to_the_same_cluster() {
        let (global, args) = parsed(&["--cluster", "blue", "--context", "east", "--as", "alice"]);
        let line = |line, state| Line { line, state, evidence: Vec::new(), help: String::new() };
        let next = |lines: &[Line]| next_command(&global, &args, lines, &"0".repeat(64));
        let confirm =
            "kubectl crossfade finish --confirm 000000000000 --context east --cluster blue --as alice";
        assert_eq!(next(&[line(LineName::Fence, LineState::Ready)]), confirm);
        assert_eq!(next(&[line(LineName::Removal, LineState::Ready)]), format!("{confirm} --remove blue"));
        assert_eq!(next(&[line(LineName::Soak, LineState::Waits)]), "");
    }
}
