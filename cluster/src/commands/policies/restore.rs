//! `policies restore`: policies of a backup, brought back.

use std::path::Path;

use migration::backup::decide::{RestorePlan, SkippedObject, State, decide};
use migration::backup::file::{Backup, ClusterId, Reading, Verification, read};
use migration::backup::{Id, Step};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::{add_outcomes, describe_outcome, show};
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::policies::Restore as RestoreArgs;
use crate::input;
use crate::live::{self, ApplyReport, Scope, WriteOutcome, WriteReport};
use crate::print::{Document, Progress, Report};

/// Most bytes of a backup. *Source*: none; it is as much as a snapshot keeps of policies and other rare objects.
const LARGEST: u64 = 1 << 30;
/// How many lines of a list people see.
const SHOWN: usize = 30;

/// What was brought back.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RestoreReport {
    /// The file.
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    /// Whether the bytes are those that the file's name says.
    pub verified: Verification,
    /// The cluster.
    pub cluster: ClusterId,
    /// Nothing was to be written.
    pub dry_run: bool,
    /// How many objects were there and equal.
    pub equal: usize,
    /// The others, in the order in which they are written.
    pub objects: Vec<WriteReport>,
    /// What is not brought back, and why.
    #[serde(rename = "left")]
    pub skipped: Vec<SkippedObject>,
    /// What is there and not in the backup. Nothing of it is deleted.
    pub extra: Vec<Id>,
    /// What stood in the way; an answer has these beside the report.
    #[serde(skip)]
    pub problems: Vec<Problem>,
    /// How the command ends.
    #[serde(skip)]
    pub exit: Exit,
}

/// Runs the command.
///
/// # Errors
/// The file is no backup of this cluster, or the cluster cannot be read. What the API server refuses is in the answer.
pub(crate) fn restore(global: &Global, args: &RestoreArgs) -> Result<RestoreReport, Failure> {
    if !global.snapshot.is_empty() {
        let problem = Problem::new("--snapshot: policies are brought back into a live cluster")
            .with_place("--snapshot");
        return Err(Failure::from_problem(Exit::Usage, problem.fix("leave --snapshot out")));
    }
    let file = args.file.display().to_string();
    let (backup, hash, verified) = load_backup(&args.file)?;
    let progress = Progress::new();
    let mut event = |event: &live::PolicyEvent<'_>| show(&progress, event);
    let versions = backup.kinds.iter().filter_map(|(resource, reading)| match reading {
        Reading::Read { api_version, .. } => Some((resource.clone(), api_version.clone())),
        Reading::NotServed {} => None,
    });
    let scope = Scope::Compare(versions.collect());
    let live = live::gather_policies(&global.access, &scope, &mut event);
    let live = live.map_err(|(exit, problems)| Failure::all(exit, problems))?;
    let refused = |why: String| {
        Problem::new(why)
            .with_place(&file)
            .fix("nothing was written; remove the cause, then run the same command again")
    };
    let decided = decide(&backup, &live);
    let RestorePlan { steps, equal, skipped, extra } =
        decided.map_err(|all| Failure::all(Exit::No, all.into_iter().map(refused)))?;
    let applied = write(global, &steps, args.dry_run, &mut event)?;
    let ApplyReport { objects, problems, exit } = applied;
    Ok(RestoreReport {
        file,
        hash,
        verified,
        cluster: live.cluster,
        dry_run: args.dry_run,
        equal,
        objects,
        skipped,
        extra,
        problems,
        exit,
    })
}

fn write(
    global: &Global,
    steps: &[Step],
    dry_run: bool,
    event: &mut dyn FnMut(&live::PolicyEvent<'_>),
) -> Result<ApplyReport, Failure> {
    live::apply_steps(&global.access, steps, dry_run, event)
        .map_err(|(exit, problem)| Failure::from_problem(exit, problem))
}

fn load_backup(file: &Path) -> Result<(Backup, String, Verification), Failure> {
    let name = file.display().to_string();
    let wrong = |exit, what: String, fix: &str| {
        Failure::from_problem(exit, Problem::new(format!("{name}: {what}")).with_place(&name).fix(fix))
    };
    let bytes = input::read(file, LARGEST).map_err(|e| {
        wrong(Exit::Usage, e.to_string(), "name the file that kubectl crossfade policies backup wrote")
    })?;
    let base = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fix = "use a copy of the file as kubectl crossfade policies backup wrote it";
    read(&base, &bytes).map_err(|why| wrong(Exit::No, why, fix))
}

impl RestoreReport {
    /// In a sentence, what became of it.
    fn summary(&self) -> String {
        let count_of =
            |became: WriteOutcome| self.objects.iter().filter(|report| report.outcome == became).count();
        let others = [
            WriteOutcome::WouldCreate,
            WriteOutcome::WouldReplace,
            WriteOutcome::AwaitsTier,
            WriteOutcome::Created,
            WriteOutcome::Replaced,
            WriteOutcome::NotWritten,
            WriteOutcome::Unknown,
        ];
        let mut words = vec![format!("{} unchanged", self.equal + count_of(WriteOutcome::Unchanged))];
        let others = others.into_iter().filter(|became| count_of(*became) > 0);
        words.extend(others.map(|became| format!("{} {}", count_of(became), describe_outcome(became))));
        if !self.skipped.is_empty() {
            words.push(format!("{} left to others", self.skipped.len()));
        }
        format!("Objects of the backup: {}.", words.join(", "))
    }
}

impl Report for RestoreReport {
    fn document(&self) -> Document {
        let title = if self.dry_run { "Restore, dry run" } else { "Restore" };
        let mut document = Document::new(format!("{title}: {}", self.file));
        document.text(self.summary());
        if self.verified == Verification::Nothing {
            document.text(format!("The file's name has no hash, so that it is unknown whether the file was changed. Its hash is {}.", self.hash));
        }
        add_outcomes(&mut document, &self.objects, &self.problems);
        if !self.skipped.is_empty() {
            document.heading("Not brought back");
            let line = |object: &SkippedObject| {
                let state = match object.state {
                    State::Missing => "missing",
                    State::Different => "different",
                };
                format!("{} ({state}): {}", object.object, object.why)
            };
            document.list(self.skipped.iter().map(line), SHOWN);
        }
        if !self.extra.is_empty() {
            document.heading("There and not in the backup; nothing of it is deleted");
            document.list(self.extra.iter().map(ToString::to_string), SHOWN);
        }
        document
    }

    fn exit(&self) -> Exit {
        self.exit
    }

    fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
    }
}
