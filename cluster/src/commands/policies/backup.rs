//! `policies backup`: all policies of the cluster in one file.

use std::collections::BTreeMap;
use std::path::Path;

use migration::backup::file::{Backup, ClusterId, Reading, name};
use migration::plan::canon::sha256;
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::show;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::policies::Backup as BackupArgs;
use crate::commands::output_file::save;
use crate::live::{self, Scope};
use crate::print::{Document, Progress, Report};

/// What was kept.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackupReport {
    /// The file.
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    /// It was written now. An earlier call wrote it, if not: the policies are the same.
    pub is_new: bool,
    /// The cluster.
    pub cluster: ClusterId,
    /// How many objects there are.
    pub objects: usize,
    /// How each kind was read.
    pub kinds: BTreeMap<String, Reading>,
}

/// Runs the command.
///
/// # Errors
/// A snapshot is named, a kind cannot be read, or the file cannot be written.
pub(crate) fn backup(global: &Global, args: &BackupArgs) -> Result<BackupReport, Failure> {
    refuse_snapshot(global)?;
    if !args.out.is_dir() {
        let dir = args.out.display().to_string();
        let problem = Problem::new(format!("--out {dir}: there is no such directory")).with_place(&dir);
        return Err(Failure::from_problem(Exit::Usage, problem.fix(format!("make it: mkdir -p {dir}"))));
    }
    let progress = Progress::new();
    let live = live::gather_policies(&global.access, &Scope::Backup, &mut |event| show(&progress, event));
    let live = live.map_err(|(exit, problems)| Failure::all(exit, problems))?;
    let backup = Backup::new(live.cluster, live.kinds, live.objects).map_err(|why| {
        let fix = "report it, with the output of kubectl get for this kind";
        Failure::from_problem(Exit::Failed, Problem::new(why).with_place("the API server").fix(fix))
    })?;
    let bytes = backup.bytes();
    let hash = sha256(&bytes);
    let file = args.out.join(name(&hash));
    let is_new = !is_already_written(&file, &bytes);
    if is_new {
        save(&file, |out| out.write_all(&bytes))
            .map_err(|problem| Failure::from_problem(Exit::Failed, problem))?;
    }
    let Backup { cluster, kinds, objects, .. } = backup;
    Ok(BackupReport {
        file: file.display().to_string(),
        hash,
        is_new,
        cluster,
        objects: objects.len(),
        kinds,
    })
}

/// A snapshot lacks annotations and fields that no check reads, so that what is made of it would not be what was there.
fn refuse_snapshot(global: &Global) -> Result<(), Failure> {
    if global.snapshot.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(
        "--snapshot: a snapshot has only what checks read of policies, so that no backup can be made of it",
    );
    let fix = "leave --snapshot out: policies backup reads the API server";
    Err(Failure::from_problem(Exit::Usage, problem.with_place("--snapshot").fix(fix)))
}

/// Whether an earlier call has written these bytes.
fn is_already_written(file: &Path, bytes: &[u8]) -> bool {
    std::fs::read(file).is_ok_and(|content| content == bytes)
}

impl Report for BackupReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Backup: {}", self.file));
        let new = if self.is_new {
            "The file is new."
        } else {
            "An earlier call wrote the same file: the policies have not changed since."
        };
        document.text(format!("Objects: {}. {new}", self.objects));
        document.fields([
            ("hash", self.hash.clone()),
            ("cluster", format!("{}, {}", self.cluster.uid, self.cluster.api_server)),
        ]);
        let row = |(kind, reading): (&String, &Reading)| match reading {
            Reading::Read { api_version, objects } => {
                vec![kind.clone(), objects.to_string(), api_version.clone()]
            }
            Reading::NotServed {} => vec![kind.clone(), "-".into(), "not served".into()],
        };
        document.table(vec!["KIND", "OBJECTS", "FROM"], self.kinds.iter().map(row).collect());
        document
    }
}
