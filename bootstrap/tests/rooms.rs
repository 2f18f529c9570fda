//! Which room of this program may use which, held by reading its sources: commands and image builds stand on the rooms below them, and none of them on
//! another. docs/architecture.md has the picture. What is decided is in the package `convergence`, where the compiler holds the wall.

use std::path::{Path, PathBuf};

/// A room, and what it may use besides itself: `node` is all of that room, `node::policy` one module.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("cli", &[]),
    ("host", &["cli"]),
    ("change", &["cli", "host", "systemd::systemctl"]),
    ("systemd", &["host"]),
    ("kubelet", &["cli", "host", "change", "systemd", "node::switch"]),
    ("runtime", &["cli", "host", "change", "systemd", "kubelet", "node::conf"]),
    ("node", &["cli", "host", "change", "systemd", "kubelet", "runtime"]),
    ("publish", &["cli", "host", "change", "systemd", "node"]),
    ("watch", &["cli", "host", "change", "systemd", "kubelet", "runtime", "node", "publish"]),
    ("commands", &["cli", "host", "change", "systemd", "kubelet", "runtime", "node", "publish"]),
    ("doctor", &["cli", "host", "change", "systemd", "kubelet", "runtime", "node", "publish"]),
    ("image", &["cli", "host", "change", "systemd", "kubelet", "runtime", "node", "publish"]),
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("directory").map(|entry| entry.expect("entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The room of a source file below `src`, and that of what it names: each command and each part of an image build is a room of its own.
fn room(parts: &[&str]) -> String {
    let depth = if matches!(parts[0], "commands" | "image") { 2 } else { 1 };
    parts[..parts.len().min(depth)].join("::")
}

#[test]
fn no_room_uses_what_stands_above_or_beside_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in sources(&src).iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let path = file.strip_prefix(&src).expect("below src").with_extension("");
        let parts: Vec<&str> = path.iter().map(|part| part.to_str().expect("UTF-8")).collect();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == parts[0]) else { continue };
        let text = std::fs::read_to_string(file).expect("source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for named in line.split("crate::").skip(1) {
                let end = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
                let named: Vec<&str> = named.split(end).next().unwrap_or_default().split("::").collect();
                let module = named[..named.len().min(2)].join("::");
                seen += 1;
                if room(&named) != room(&parts)
                    && !allowed.contains(&named[0])
                    && !allowed.contains(&&*module)
                {
                    wrong.push(format!("{}: {line}", path.display()));
                }
            }
        }
    }
    assert!(seen > 500, "only {seen} uses were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
