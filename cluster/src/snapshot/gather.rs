//! The files of `--snapshot`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use types::problem::Problem;

use super::collect::Collector;
use super::read::read;
use crate::model::{Kind, Snapshot};

/// Endings of the files that are read from a directory.
const ENDINGS: [&str; 8] =
    [".json", ".jsonl", ".yaml", ".yml", ".json.gz", ".jsonl.gz", ".yaml.gz", ".yml.gz"];

/// Reads files into one snapshot: `-` is stdin, and a directory stands for its JSON and YAML files. `dumped` names kinds of which no object may be
/// in the files because the cluster has none.
///
/// # Errors
/// Every file that cannot be read, with the reason.
pub fn gather(files: &[PathBuf], dumped: &[Kind]) -> Result<Snapshot, Vec<Problem>> {
    let mut collector = Collector::new();
    let mut problems = Vec::new();
    for file in files {
        match all_of(file) {
            Ok(files) => problems.extend(files.iter().filter_map(|file| one(&mut collector, file).err())),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(collector.finish(dumped)) } else { Err(problems) }
}

fn one(collector: &mut Collector, file: &Path) -> Result<(), Problem> {
    let name = file.display().to_string();
    let read = if name == "-" {
        read(collector, std::io::stdin().lock())
    } else {
        let open = File::open(file).map_err(|e| e.to_string());
        open.and_then(|open| read(collector, BufReader::with_capacity(1 << 16, open)))
    };
    read.map_err(|why| {
        Problem::new(format!("read {name}: {why}"))
            .at(&name)
            .fix("write the file again: kubectl crossfade snapshot, or kubectl get KINDS -A -o json")
    })
}

/// The file itself, or those of a directory in the order of their names.
fn all_of(file: &Path) -> Result<Vec<PathBuf>, Problem> {
    if !file.is_dir() {
        return Ok(vec![file.to_owned()]);
    }
    let name = file.display().to_string();
    let wrong = |why: String| Problem::new(format!("read directory {name}: {why}")).at(&name);
    let entries = std::fs::read_dir(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut files: Vec<PathBuf> =
        entries.map_err(|e| wrong(e.to_string()))?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| ENDINGS.iter().any(|ending| path.to_string_lossy().ends_with(ending)));
    files.sort();
    if files.is_empty() {
        return Err(wrong("no file of JSON or YAML is in it".into()).fix("name the directory with the dumps"));
    }
    Ok(files)
}
