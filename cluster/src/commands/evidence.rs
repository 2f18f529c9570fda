//! `evidence`: what is kept of a run, as one archive. The same run gives the same bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use migration::backup::file::read;
use migration::plan::canon::{bytes, sha256};
use migration::report::redact::redacted;
use migration::report::report as decide;
use serde::Serialize;
use serde_json::{Value, json};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::output_file::save;
use super::report::{LackingItem, RunAnswer, gather};
use super::source;
use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::cli::report::Evidence as EvidenceArgs;
use crate::input;
use crate::print::{self, Document, Report};

/// How large a backup of policies may be.
const BACKUP: u64 = 1 << 30;
/// The directory that the archive has everything in.
const ROOT: &str = "crossfade-evidence";

/// What was written.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct EvidenceReport {
    /// The archive.
    pub file: String,
    /// SHA-256 of its bytes, in hex.
    pub hash: String,
    /// The run.
    pub run: String,
    /// Names have pseudonyms.
    pub is_redacted: bool,
    /// Its files, with the SHA-256 of each.
    pub items: BTreeMap<String, String>,
    /// What could not be had.
    pub lacking: Vec<LackingItem>,
}

/// Runs the command.
///
/// # Errors
/// There is no such run, nothing of it can be read, or the archive cannot be written.
pub(crate) fn evidence(global: &Global, arguments: &EvidenceArgs) -> Result<EvidenceReport, Failure> {
    let settings = global.config.as_ref().map(|_| source::settings(global)).transpose()?;
    let (mut sources, mut lacking) = gather(global, &arguments.source)?;
    if arguments.redact {
        let (harmless, left_out) = redacted(sources);
        sources = harmless;
        // What is wrong with an item quotes names, and so do commands that help.
        lacking.iter_mut().for_each(|item| item.problem = Problem::new("it cannot be read"));
        lacking.extend(left_out.into_iter().map(|item| lacks(item, "it cannot be written without names")));
    }
    let mut items: BTreeMap<String, Vec<u8>> = BTreeMap::new();
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
        Some(_) if arguments.redact => {
            lacking.push(lacks("settings", "they have patterns, and names cannot be found in these"))
        }
        Some(settings) => drop(items.insert("settings.json".into(), bytes(&settings))),
        None => lacking.push(lacks("settings", "no settings file was named: --config FILE")),
    }
    match arguments.backup.as_deref().map(digest) {
        Some(Ok(digest)) => drop(items.insert("policies-backup.json".into(), bytes(&digest))),
        Some(Err(why)) => lacking.push(lacks("policies-backup", &why)),
        None => lacking.push(lacks("policies-backup", "no backup was named: --backup FILE")),
    }
    let answer = RunAnswer { report: decide(sources), lacking: lacking.clone(), files: Vec::new() };
    items.insert("report.json".into(), print::json_of(&answer).into_bytes());
    items.insert("report.html".into(), print::page(&answer.document()).into_bytes());
    items.insert("errors.json".into(), bytes(&lacking));
    let hashes: BTreeMap<String, String> =
        items.iter().map(|(name, content)| (name.clone(), sha256(content))).collect();
    let sums: String = hashes.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect();
    items.insert("SHA256SUMS".into(), sums.into_bytes());
    let failed = |problem: Problem| Failure::from_problem(Exit::Failed, problem);
    let archive = archive(&items).map_err(|e| failed(Problem::new(format!("make the archive: {e}"))))?;
    save(&arguments.out, |out| out.write_all(&archive)).map_err(failed)?;
    Ok(EvidenceReport {
        file: arguments.out.display().to_string(),
        hash: sha256(&archive),
        run: answer.report.run,
        is_redacted: arguments.redact,
        items: hashes,
        lacking,
    })
}

fn lacks(item: &str, why: &str) -> LackingItem {
    LackingItem { item: item.into(), problem: Problem::new(why) }
}

/// What a backup of policies is, without the policies.
fn digest(file: &Path) -> Result<Value, String> {
    let content = input::read(file, BACKUP).map_err(|e| format!("it cannot be read: {e}"))?;
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let (backup, hash, _) = read(&name, &content).map_err(|e| format!("it is no backup of policies: {e}"))?;
    Ok(json!({"sha256": hash, "cluster": backup.cluster.uid, "objects": backup.objects.len()}))
}

/// A tar archive in gzip, without the time at which it was made and without who made it.
fn archive(items: &BTreeMap<String, Vec<u8>>) -> io::Result<Vec<u8>> {
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

impl Report for EvidenceReport {
    fn document(&self) -> Document {
        let mut document = Document::new(format!("Evidence of run {}: {}", self.run, self.file));
        let names = if self.is_redacted {
            "Names have pseudonyms."
        } else {
            "It has names of the cluster: nodes, workloads, people."
        };
        document.text(format!("{names} No Secret is in it."));
        document.fields([("hash", self.hash.clone())]);
        let row = |(name, hash): (&String, &String)| vec![name.clone(), hash.clone()];
        document.table(vec!["FILE", "SHA-256"], self.items.iter().map(row).collect());
        if !self.lacking.is_empty() {
            document.heading("What could not be had");
            let words = |lacking: &LackingItem| format!("{}: {}", lacking.item, lacking.problem.what);
            document.list(self.lacking.iter().map(words), 100);
        }
        document
    }
}
