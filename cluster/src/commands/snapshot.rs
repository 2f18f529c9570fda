//! `snapshot`: the cluster as one file, for checks elsewhere and later.

use std::collections::BTreeMap;

use serde::Serialize;
use snapshot::model::{Kind, Reading, Snapshot};
use snapshot::{write, write_compressed};
use types::command::exit::Exit;

use super::output_file::save;
use super::source;
use crate::cli::Snapshot as SnapshotArgs;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::print::{self, Document, Report};

/// What was written.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct SnapshotReport {
    /// The file.
    pub file: String,
    /// How many nodes the snapshot has.
    pub nodes: usize,
    /// How many pods the snapshot has.
    pub pods: usize,
    /// How each kind was read.
    pub kinds: BTreeMap<Kind, Reading>,
}

/// Runs the command. A snapshot that goes to stdout has no report beside it.
///
/// # Errors
/// The cluster cannot be read, or the file cannot be written.
pub(crate) fn snapshot(global: &Global, args: &SnapshotArgs) -> Result<Option<SnapshotReport>, Failure> {
    let snapshot = source::snapshot(global, None)?;
    if args.out.as_os_str() == "-" {
        return print::stream(|out| write(&snapshot, out))
            .map(|()| None)
            .map_err(|e| Failure::from_problem(Exit::Failed, format!("write to stdout: {e}")));
    }
    let file = args.out.display().to_string();
    let is_compressed = file.ends_with(".gz");
    save(
        &args.out,
        |out| if is_compressed { write_compressed(&snapshot, out) } else { write(&snapshot, out) },
    )
    .map_err(|problem| Failure::from_problem(Exit::Failed, problem))?;
    let Snapshot { nodes, pods, readings, .. } = snapshot;
    Ok(Some(SnapshotReport { file, nodes: nodes.len(), pods: pods.len(), kinds: readings }))
}

impl Report for SnapshotReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Snapshot: {}", self.file));
        document.text(format!("{} nodes, {} pods.", self.nodes, self.pods));
        let row = |(kind, reading): (&Kind, &Reading)| match reading {
            Reading::Read => vec![kind.to_string(), "read".into(), String::new()],
            Reading::NotServed => vec![kind.to_string(), "not served".into(), String::new()],
            Reading::Forbidden(why) => vec![kind.to_string(), "forbidden".into(), why.clone()],
            Reading::Incomplete(why) => vec![kind.to_string(), "incomplete".into(), why.clone()],
        };
        document.table(vec!["KIND", "READ", "WHY"], self.kinds.iter().map(row).collect());
        document
    }
}
