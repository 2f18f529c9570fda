//! Files of a run: its ConfigMaps as kubectl wrote them, journals that its holders have kept, and what probes measured.

use std::path::{Path, PathBuf};

use migration::report::Piece;
use migration::report::measure::Measurements;
use serde::Deserialize as _;
use serde_json::Value;
use types::command::problem::Problem;

use crate::input;

/// How large a file may be.
const MOST: u64 = 256 << 20;
/// How large a file of measurements may be.
const MEASURED: u64 = 4 << 20;
/// What writes the ConfigMaps.
const DUMP: &str = "write it again: kubectl -n crossfade get configmaps -o json";

/// The objects of files in JSON or YAML. A directory stands for its files of these endings.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn objects(files: &[PathBuf]) -> Result<Vec<Value>, Problem> {
    let mut objects = Vec::new();
    for file in files {
        let wrong = |e: std::io::Error| unreadable(file, &e.to_string(), DUMP);
        let files = if file.is_dir() {
            let entries = std::fs::read_dir(file).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
            let mut files: Vec<PathBuf> =
                entries.map_err(wrong)?.into_iter().map(|entry| entry.path()).collect();
            files.retain(|file| has_ending(file, &["json", "yaml", "yml"]));
            files.sort();
            files
        } else {
            vec![file.clone()]
        };
        for file in files {
            objects.extend(objects_of(&file)?);
        }
    }
    Ok(objects)
}

fn has_ending(file: &Path, endings: &[&str]) -> bool {
    file.extension().is_some_and(|ending| endings.iter().any(|other| ending == *other))
}

/// The objects of a file: those of a list, or the only one.
fn objects_of(file: &Path) -> Result<Vec<Value>, Problem> {
    let wrong = |why: &str| unreadable(file, why, DUMP);
    let name = if file.as_os_str() == "-" { Path::new("/dev/stdin") } else { file };
    let bytes = input::read(name, MOST).map_err(|e| wrong(&e.to_string()))?;
    let document = match serde_json::from_slice::<Value>(&bytes) {
        Ok(document) => document,
        Err(e) if bytes.trim_ascii_start().starts_with(b"{") => return Err(wrong(&e.to_string())),
        Err(_) => {
            let text = std::str::from_utf8(&bytes).map_err(|e| wrong(&e.to_string()))?;
            serde_saphyr::from_str(text).map_err(|e| wrong(&e.to_string()))?
        }
    };
    Ok(match document {
        Value::Object(mut map) if map.contains_key("items") => {
            let items = map.remove("items").unwrap_or_default();
            Vec::deserialize(items).map_err(|e| wrong(&e.to_string()))?
        }
        Value::Object(map) => vec![Value::Object(map)],
        _ => return Err(wrong("it is no object of the API, and no list of them")),
    })
}

/// A journal that a holder has kept. What is no UTF-8 in it is a damaged line.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn journal(file: &Path) -> Result<Piece, Problem> {
    let fix = "name the file that a holder keeps: ~/.local/state/crossfade/RUN.jsonl";
    let bytes = input::read(file, MOST).map_err(|e| unreadable(file, &e.to_string(), fix))?;
    Ok(Piece { number: None, lines: String::from_utf8_lossy(&bytes).into_owned() })
}

/// What a probe measured, and the bytes of the file.
///
/// # Errors
/// The file cannot be read, or has another shape.
pub(crate) fn measurements(file: &Path) -> Result<Measurements, Problem> {
    let fix = "docs/report.md has the shape of such a file";
    let bytes = input::read(file, MEASURED).map_err(|e| unreadable(file, &e.to_string(), fix))?;
    Measurements::parse(&bytes).map_err(|why| unreadable(file, &why, fix))
}

fn unreadable(file: &Path, why: &str, fix: &str) -> Problem {
    let name = file.display().to_string();
    Problem::new(format!("read {name}: {why}")).with_place(&name).fix(fix)
}
