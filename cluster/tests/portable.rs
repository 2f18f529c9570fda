//! People run this program on their own machines, which are Macs and Windows machines, too.

use std::path::{Path, PathBuf};

/// A source file of this program.
struct Source {
    /// Below its package's `src`, with slashes.
    path: String,
    /// Its text, up to its tests.
    code: String,
}

/// All of them, tests left out.
fn sources() -> Vec<Source> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages =
        [".", "../crates/snapshot", "../crates/netpol", "../crates/migration", "../crates/simulation"];
    let mut sources = Vec::new();
    for src in packages.map(|name| package.join(name).join("src")) {
        let mut files = Vec::new();
        collect(&src, &mut files);
        sources.extend(files.iter().map(|file| {
            let path = file.strip_prefix(&src).expect("below src").to_str().expect("UTF-8").to_owned();
            let text = std::fs::read_to_string(file).expect("source");
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
            Source { path, code }
        }));
    }
    sources.retain(|source| !source.path.contains("tests"));
    sources
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
    /// The lines that are code, each with its number.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        lines.filter(|(_, line)| !line.starts_with("//"))
    }
}

/// What only some systems have, by the words that name it in Rust.
const OF_ONE_SYSTEM: [&str; 8] =
    ["os::unix", "os::linux", "os::fd", "nix::", "rustix::", "libc::", "UnixStream", "\"/proc/"];

/// Who may name it, since they have another way for each other system: the clock that counts suspended time, the host's name, SIGTERM, and the
/// mode of a file.
const ELSEWHERE_TOO: [&str; 4] =
    ["live/session/clock.rs", "live/interrupt.rs", "live/lease/identity.rs", "live/store/mirror.rs"];

fn of_one_system(line: &str) -> Option<&'static str> {
    OF_ONE_SYSTEM.into_iter().find(|word| line.contains(word))
}

#[test]
fn nothing_is_of_one_system_only() {
    assert_eq!(of_one_system("use std::os::unix::fs::PermissionsExt;"), Some("os::unix"));
    let all: Vec<_> =
        sources().into_iter().filter(|source| !ELSEWHERE_TOO.contains(&source.path.as_str())).collect();
    assert!(all.len() >= 400, "only {} sources were found", all.len());
    let named = |source: &Source| -> Vec<String> {
        let lines = source.lines();
        let words = lines.filter_map(|(index, line)| Some((index, of_one_system(line)?)));
        words.map(|(index, word)| format!("{}:{index}: {word}", source.path)).collect()
    };
    let wrong: Vec<String> = all.iter().flat_map(named).collect();
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn who_names_one_system_has_a_way_for_the_others() {
    for path in ELSEWHERE_TOO {
        let all = sources();
        let source = all.iter().find(|source| source.path == path).expect("a source");
        let has = |words: &str| source.lines().any(|(_, line)| line == words);
        assert!(has("#[cfg(unix)]") && has("#[cfg(not(unix))]"), "{path}");
    }
}
