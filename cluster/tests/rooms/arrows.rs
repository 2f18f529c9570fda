//! Which room may use which: commands stand on the rooms below them, and none of them on another.

use super::sources;

/// A room, and which others it may use. Each room may use itself, and a room that is not here nothing else.
const MAY_USE: [(&str, &[&str]); 31] = [
    ("input", &[]),
    ("model", &[]),
    ("capacity", &["model"]),
    ("support", &["model", "scene", "finding"]),
    ("config", &["input", "model", "support"]),
    ("scene", &["model", "config", "support"]),
    ("finding", &["model", "config"]),
    ("network", &["model", "support", "finding"]),
    ("cidr", &["model", "config", "support", "scene", "finding", "network"]),
    ("values", &["model", "config", "support", "scene", "finding", "network", "workload"]),
    ("enforcement", &["model", "support", "scene", "network", "workload"]),
    ("workload", &["model", "capacity", "config", "support", "scene", "finding"]),
    (
        "check",
        &[
            "model",
            "capacity",
            "config",
            "support",
            "scene",
            "finding",
            "cidr",
            "network",
            "values",
            "enforcement",
            "workload",
            "requirements",
            "policies",
        ],
    ),
    ("requirements", &["model", "config", "support", "scene", "finding", "cidr", "values", "network"]),
    // What network policies mean, of whichever CNI: it knows no plan and no run.
    ("policies", &["model", "cidr"]),
    // Policies as files: what one is made of, and what to write; the bytes are those of plans.
    ("backup", &["plan"]),
    ("reach", &[]),
    (
        "plan",
        &[
            "model",
            "capacity",
            "config",
            "support",
            "scene",
            "finding",
            "cidr",
            "enforcement",
            "workload",
            "reach",
            "stragglers",
        ],
    ),
    ("roll", &["model", "capacity", "plan", "reach"]),
    ("status", &["model", "plan", "roll"]),
    ("drive", &["plan", "roll", "status"]),
    ("sim", &["model", "capacity", "support", "scene", "workload", "reach", "plan", "roll", "seen", "drive"]),
    ("stragglers", &["model", "workload"]),
    ("snapshot", &["input", "model"]),
    ("seen", &["model", "capacity", "workload", "plan", "roll"]),
    ("gate", &["plan", "roll"]),
    (
        "live",
        &["model", "config", "snapshot", "cli", "plan", "roll", "seen", "gate", "drive", "status", "backup"],
    ),
    ("cli", &["model", "support", "plan", "finding"]),
    // Tests alone: it describes what commands answer.
    (
        "schema",
        &["commands", "backup", "finding", "live", "plan", "roll", "snapshot", "status", "stragglers"],
    ),
    ("print", &["cli", "model", "finding", "support", "plan"]),
    (
        "commands",
        &[
            "input",
            "cli",
            "model",
            "config",
            "support",
            "scene",
            "finding",
            "cidr",
            "check",
            "values",
            "enforcement",
            "snapshot",
            "live",
            "print",
            "commands::out",
            "commands::source",
            "network",
            "policies",
            "workload",
            "requirements",
            "plan",
            "roll",
            "drive",
            "status",
            "stragglers",
            "sim",
            "backup",
            "commands::status",
            "commands::conduct",
        ],
    ),
];

/// The rooms that a line names: `crate::model::Pod` is `model`.
fn named(line: &str) -> impl Iterator<Item = String> {
    line.split("crate::").skip(1).map(|rest| {
        let path = rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next().unwrap_or("");
        let mut parts = path.split("::").filter(|part| !part.is_empty());
        match (parts.next(), parts.next()) {
            (Some("commands"), Some(command)) => format!("commands::{command}"),
            (room, _) => room.unwrap_or_default().to_owned(),
        }
    })
}

fn may(room: &str, used: &str) -> bool {
    let kind = room.split("::").next().unwrap_or(room);
    let allowed = MAY_USE.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, allowed)| allowed);
    room == used || allowed.contains(&used)
}

#[test]
fn no_room_uses_what_stands_above_or_beside_it() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(room) = source.room() else { continue };
        for (index, line) in source.lines() {
            for used in named(line) {
                seen += 1;
                if !may(&room, &used) {
                    wrong.push(format!("{}:{index}: {room} uses {used}", source.path));
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} uses were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_one_room_knows_kube() {
    for source in sources().iter().filter(|source| source.room().as_deref() != Some("live")) {
        for (index, line) in source.lines() {
            let is_kube = ["kube::", "tokio::", "http::"].iter().any(|name| line.contains(name));
            assert!(!is_kube, "{}:{index}: {line}", source.path);
        }
    }
}

#[test]
fn an_arrow_that_is_not_in_the_table_is_seen() {
    for (room, line, is_right) in [
        ("check", "use crate::cidr::Range;", true),
        ("check", "use crate::snapshot::gather;", false),
        ("model", "use crate::check::ALL;", false),
        ("commands::check", "use crate::commands::source;", true),
        ("commands::check", "use crate::commands::snapshot::take;", false),
        ("new", "use crate::model::Pod;", false),
    ] {
        assert_eq!(named(line).all(|used| may(room, &used)), is_right, "{room}: {line}");
    }
}
