//! A module that decides reads no file, no clock and no process: what it needs is gathered before, and handed to it.

use super::{Source, sources};

/// What looks at the world, or changes it, by the words that do so in this code.
const IMPURE: [&str; 34] = [
    "std::fs",
    "fs::read",
    "fs::write",
    "File::open",
    "File::options",
    "OpenOptions",
    "std::env",
    "env::var",
    "std::net",
    "TcpStream",
    "UnixStream",
    "std::process::Command",
    "Command::new",
    "std::process::id",
    "Instant::now",
    "SystemTime::now",
    "Moment::now",
    "thread::sleep",
    ".exists()",
    ".is_file()",
    ".is_dir()",
    ".is_symlink()",
    ".metadata()",
    "symlink_metadata",
    "read_dir(",
    "canonicalize",
    "trust::",
    "file::read",
    "file::write",
    "change::look",
    "::look(",
    "::gather(",
    "::load(",
    "Change::file(",
];

/// Whether its business is to decide: by its name, or because its first line says that it is pure.
fn decides(source: &Source) -> bool {
    let by_name = source.path.ends_with("decide.rs") || source.path.contains("/decide/");
    let first = source.code.lines().next().unwrap_or_default();
    let says = first.starts_with("//!") && first.contains("pure") && !first.contains("pure but");
    by_name || says
}

fn impure(line: &str) -> Option<&'static str> {
    IMPURE.into_iter().find(|word| line.contains(word))
}

#[test]
fn what_decides_looks_at_nothing() {
    let all = sources();
    let deciding: Vec<_> = all.iter().filter(|source| decides(source)).collect();
    assert!(deciding.len() >= 15, "only {} modules were found", deciding.len());
    let mut wrong = Vec::new();
    for source in deciding {
        for (at, line) in source.lines() {
            wrong.extend(impure(line).map(|word| format!("{}:{at}: {word}: {line}", source.path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_look_at_the_world_is_seen() {
    for line in [
        "let bytes = std::fs::read(path)?;",
        "if path.exists() {",
        "let now = Instant::now();",
        "let found = Installed::look(dir);",
        "trust::open(path)",
    ] {
        assert!(impure(line).is_some(), "{line}");
    }
    assert_eq!(impure("let age = facts.now - facts.since;"), None);
}
