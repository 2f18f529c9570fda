//! Which room may use which: commands and image builds stand on the rooms below them, and none of them on another.

use super::sources;

/// A room, and what it may use of others: `node` is all of that room, `node::policy` one module. Itself is always among it.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("cli", &[]),
    ("host", &["cli", "node::policy"]),
    ("change", &["cli", "host", "systemd::systemctl"]),
    ("systemd", &["host"]),
    ("kubelet", &["cli", "host", "change", "systemd", "node::switch"]),
    ("runtime", &["cli", "host", "change", "systemd", "kubelet", "node::conf"]),
    ("publish", &["cli", "host", "change", "systemd", "node"]),
    ("node", &["cli", "host", "change", "systemd", "kubelet", "runtime"]),
    ("watch", &["cli", "host", "change", "systemd", "kubelet", "runtime", "node", "publish"]),
    ("commands", &["cli", "host", "change", "systemd", "kubelet", "runtime", "node", "publish"]),
    ("doctor", &["cli", "host", "change", "systemd", "kubelet", "runtime", "node", "publish"]),
    ("image", &["cli", "host", "change", "systemd", "kubelet", "runtime", "node", "publish"]),
];

/// The rooms and modules that a line names: `crate::host::paths::Root` is `host::paths`.
fn named(line: &str) -> impl Iterator<Item = String> {
    line.split("crate::").skip(1).map(|rest| {
        let path = rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next().unwrap_or("");
        let mut parts = path.split("::").filter(|part| !part.is_empty());
        match (parts.next(), parts.next()) {
            (Some(room), Some(module)) => format!("{room}::{module}"),
            (Some(room), None) => room.to_owned(),
            (None, _) => String::new(),
        }
    })
}

fn may(room: &str, used: &str) -> bool {
    let is = |allowed: &str| {
        used == allowed || used.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::"))
    };
    let kind = room.split("::").next().unwrap_or(room);
    let allowed = MAY_USE.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, allowed)| allowed);
    is(room) || allowed.iter().any(|allowed| is(allowed))
}

#[test]
fn no_room_uses_what_stands_above_or_beside_it() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(room) = source.room() else { continue };
        for (at, line) in source.lines() {
            for used in named(line) {
                seen += 1;
                if !may(&room, &used) {
                    wrong.push(format!("{}:{at}: {room} uses {used}", source.path));
                }
            }
        }
    }
    assert!(seen > 500, "only {seen} uses were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_arrow_that_is_not_in_the_table_is_seen() {
    for (room, line, is_right) in [
        ("commands::boot", "use crate::host::paths::Root;", true),
        ("commands::boot", "use crate::commands::boot::gather;", true),
        ("commands::boot", "use crate::commands::install::facts;", false),
        ("commands::boot", "let x = crate::watch::observe::Usual::default();", false),
        ("runtime", "use crate::host::paths::{Root, STATUS};", true),
        ("runtime", "use crate::node::settings::directories::Directories;", false),
        ("node", "use crate::image::seal::seal;", false),
    ] {
        assert_eq!(named(line).all(|used| may(room, &used)), is_right, "{room}: {line}");
    }
}
