//! What decides reads no file, no clock, no environment and no process: what it needs is gathered before, and handed to it.

use super::{Source, sources};

/// Rooms that decide.
const PURE: [&str; 22] = [
    "model",
    "capacity",
    "support",
    "scene",
    "finding",
    "network",
    "cidr",
    "values",
    "enforcement",
    "workload",
    "check",
    "requirements",
    "policies",
    "backup",
    "reach",
    "plan",
    "roll",
    "status",
    "stragglers",
    "sim",
    "seen",
    "gate",
];

/// What looks at the world, or changes it, by the words that do so in Rust.
const IMPURE: [&str; 22] = [
    "std::fs",
    "fs::read",
    "fs::write",
    "File::open",
    "OpenOptions",
    "std::env",
    "env::var",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "std::process",
    "Command::new",
    "Instant::now",
    "SystemTime::now",
    "thread::sleep",
    ".exists()",
    ".is_file()",
    ".is_dir()",
    ".metadata()",
    "read_dir(",
    "io::stdin",
    "::gather(",
];

fn is_pure(source: &Source) -> bool {
    let first = source.code.lines().next().unwrap_or_default();
    let says = first.starts_with("//!") && first.contains("Pure.");
    says || source.room().is_some_and(|room| PURE.contains(&room.as_str()))
}

fn impure(line: &str) -> Option<&'static str> {
    IMPURE.into_iter().find(|word| line.contains(word))
}

#[test]
fn what_decides_looks_at_nothing() {
    let all = sources();
    let pure: Vec<_> = all.iter().filter(|source| is_pure(source)).collect();
    assert!(pure.len() >= 20, "only {} modules were found", pure.len());
    let mut wrong = Vec::new();
    for source in pure {
        for (index, line) in source.lines() {
            wrong.extend(impure(line).map(|word| format!("{}:{index}: {word}: {line}", source.path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_look_at_the_world_is_seen() {
    for line in ["let bytes = std::fs::read(path)?;", "if path.exists() {", "let now = Instant::now();"] {
        assert!(impure(line).is_some(), "{line}");
    }
    assert_eq!(impure("let age = facts.now - facts.since;"), None);
}

#[test]
fn no_file_is_too_long() {
    for source in sources() {
        assert!(source.code.lines().count() <= 400, "{} is longer than 400 lines", source.path);
    }
}
