//! The archive of all that is kept of a run. The same run gives the same bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use migration::backup::file::read;
use migration::config::Config;
use migration::plan::canon::{bytes, sha256};
use migration::report::Sources;
use serde::Serialize;
use serde_json::{Value, json};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::super::output_file::save;
use super::{LackingItem, RunAnswer};
use crate::cli::exit::Failure;
use crate::cli::report::Report as ReportArgs;
use crate::input;
use crate::print::{self, Document, Report as _};

/// How large a backup of policies may be.
const BACKUP: u64 = 1 << 30;
/// The directory that the archive has everything in.
const ROOT: &str = "crossfade-evidence";

/// An archive that was written.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct ArchiveSummary {
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    /// Names have pseudonyms.
    pub is_redacted: bool,
    /// Its files, with the SHA-256 of each.
    pub items: BTreeMap<String, String>,
}

/// The files of an archive, by their names.
pub(super) type Items = BTreeMap<String, Vec<u8>>;

/// A file for each source that there is, all but the report. What there is not is added to `lacking`.
pub(super) fn gather(
    sources: &Sources,
    settings: Option<&Config>,
    arguments: &ReportArgs,
    lacking: &mut Vec<LackingItem>,
) -> Items {
    let mut items = Items::new();
    if let Some((_, plan)) = &sources.plan {
        items.insert("plan.json".into(), bytes(plan));
    }
    if let Some(run) = &sources.run {
        items.insert("run.json".into(), bytes(run));
    }
    for (index, piece) in sources.journal.iter().enumerate() {
        let name = match piece.number {
            Some(number) => format!("journal/{number:04}.jsonl"),
            None => format!("journal/kept-{index:04}.jsonl"),
        };
        items.insert(name, piece.lines.clone().into_bytes());
    }
    items.insert("gates.json".into(), bytes(&sources.gates));
    for (index, measured) in sources.measured.iter().enumerate() {
        items.insert(format!("measured/{index:04}.json"), bytes(measured));
    }
    match settings {
        Some(_) if arguments.redact => lacking
            .push(LackingItem::new("settings", "they have patterns, and names cannot be found in these")),
        Some(settings) => drop(items.insert("settings.json".into(), bytes(settings))),
        None => lacking.push(LackingItem::new("settings", "no settings file was named: --config FILE")),
    }
    match arguments.backup.as_deref().map(digest) {
        Some(Ok(digest)) => drop(items.insert("policies-backup.json".into(), bytes(&digest))),
        Some(Err(why)) => lacking.push(LackingItem::new("policies-backup", &why)),
        None => lacking.push(LackingItem::new("policies-backup", "no backup was named: --backup FILE")),
    }
    items
}

/// What a backup of policies is, without the policies.
fn digest(file: &Path) -> Result<Value, String> {
    let content = input::read(file, BACKUP).map_err(|e| format!("it cannot be read: {e}"))?;
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let (backup, hash, _) = read(&name, &content).map_err(|e| format!("it is no backup of policies: {e}"))?;
    Ok(json!({"sha256": hash, "cluster": backup.cluster.uid, "objects": backup.objects.len()}))
}

/// Writes the items and the report as one archive.
pub(super) fn write(
    file: &Path,
    mut items: Items,
    answer: &RunAnswer,
    is_redacted: bool,
) -> Result<ArchiveSummary, Failure> {
    items.insert("report.json".into(), print::json_of(answer).into_bytes());
    items.insert("report.html".into(), print::page(&answer.document()).into_bytes());
    items.insert("errors.json".into(), bytes(&answer.lacking));
    let hashes: BTreeMap<String, String> =
        items.iter().map(|(name, content)| (name.clone(), sha256(content))).collect();
    let sums: String = hashes.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect();
    items.insert("SHA256SUMS".into(), sums.into_bytes());
    let failed = |problem: Problem| Failure::from_problem(Exit::Failed, problem);
    let archive = pack(&items).map_err(|e| failed(Problem::new(format!("make the archive: {e}"))))?;
    save(file, |out| out.write_all(&archive)).map_err(failed)?;
    Ok(ArchiveSummary {
        file: file.display().to_string(),
        hash: sha256(&archive),
        is_redacted,
        items: hashes,
    })
}

/// A tar archive in gzip, without the time at which it was made and without who made it.
fn pack(items: &Items) -> io::Result<Vec<u8>> {
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for (name, content) in items {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(0);
        tar.append_data(&mut header, format!("{ROOT}/{name}"), content.as_slice())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

impl ArchiveSummary {
    /// Adds the archive to the document of a report.
    pub(super) fn render(&self, document: &mut Document) {
        document.heading("Archive");
        let names = if self.is_redacted {
            "Names have pseudonyms."
        } else {
            "It has names of the cluster: nodes, workloads, people."
        };
        document.text(format!("{}: {names} No Secret is in it.", self.file));
        document.fields([("hash", self.hash.clone())]);
        let row = |(name, hash): (&String, &String)| vec![name.clone(), hash.clone()];
        document.table(vec!["FILE", "SHA-256"], self.items.iter().map(row).collect());
    }
}
