//! A module that decides reads no file, no clock and no process: what it needs is gathered before, and handed to it.

use super::{Source, sources};

/// What looks at the world, or changes it, by the words that do so in this code.
const IMPURE: [&str; 39] = [
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
    "settings_file(",
    "root.at(",
    "root.entry(",
    "root.inside(",
    "root.at_or_inside(",
    ".search(",
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

/// The bodies of functions that are called `decide`, in a module that does other things as well.
fn deciding_bodies(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    source.code.lines().enumerate().filter_map(move |(at, line)| {
        let begins =
            line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").starts_with("fn decide");
        inside = (inside || begins) && line != "}";
        inside.then_some((at + 1, line.trim()))
    })
}

#[test]
fn what_decides_looks_at_nothing() {
    let all = sources();
    let (deciding, others): (Vec<_>, Vec<_>) = all.iter().partition(|source| decides(source));
    assert!(deciding.len() >= 15, "only {} modules were found", deciding.len());
    let bodies =
        others.iter().flat_map(|source| deciding_bodies(source).map(|line| (source.path.as_str(), line)));
    let modules = deciding.iter().flat_map(|source| source.lines().map(|line| (source.path.as_str(), line)));
    let mut wrong = Vec::new();
    for (path, (at, line)) in modules.chain(bodies) {
        wrong.extend(impure(line).map(|word| format!("{path}:{at}: {word}: {line}")));
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
