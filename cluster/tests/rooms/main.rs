//! The shape of this crate, held by reading its sources: which room may use which, and that what decides looks at nothing but what it was
//! handed. docs/architecture.md has the picture.

mod arrows;
mod portable;
mod pure;
mod quiet;

use std::path::{Path, PathBuf};

/// A source file of this crate.
struct Source {
    /// Below `src`, with slashes.
    path: String,
    /// Its text, up to its tests.
    code: String,
}

/// All of them, tests left out.
fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    let source = |file: &PathBuf| {
        let path = file.strip_prefix(&src).expect("below src").to_str().expect("UTF-8").to_owned();
        let text = std::fs::read_to_string(file).expect("source");
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
        Source { path, code }
    };
    files.iter().map(source).filter(|source| !source.path.contains("tests")).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("directory").map(|entry| entry.expect("entry").path()) {
        match entry.extension() {
            _ if entry.is_dir() => collect(&entry, files),
            Some(extension) if extension == "rs" => files.push(entry),
            _ => {}
        }
    }
}

impl Source {
    /// The room that it is in: `model`, `commands::check`, ..; none for the crate's own files.
    fn room(&self) -> Option<String> {
        let mut parts = self.path.trim_end_matches(".rs").split('/');
        match (parts.next()?, parts.next()) {
            ("main" | "lib", None) => None,
            ("commands", None) => None,
            ("commands", Some(command)) => Some(format!("commands::{command}")),
            (room, _) => Some(room.to_owned()),
        }
    }

    /// The lines that are code, each with its number.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        lines.filter(|(_, line)| !line.starts_with("//"))
    }
}
