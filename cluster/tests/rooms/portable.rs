//! People run this program on their own machines, which are Macs and Windows machines, too.

use super::sources;

/// What only some systems have, by the words that name it in Rust.
const OF_ONE_SYSTEM: [&str; 8] =
    ["os::unix", "os::linux", "os::fd", "nix::", "rustix::", "libc::", "UnixStream", "\"/proc/"];

/// Who may name it, since they have another way for each other system: the clock that counts suspended time, the host's name, SIGTERM, and the
/// mode of a file.
const ELSEWHERE_TOO: [&str; 4] =
    ["live/clock.rs", "live/interrupt.rs", "live/lease/identity.rs", "live/store/mirror.rs"];

fn of_one_system(line: &str) -> Option<&'static str> {
    OF_ONE_SYSTEM.into_iter().find(|word| line.contains(word))
}

#[test]
fn nothing_is_of_one_system_only() {
    assert_eq!(of_one_system("use std::os::unix::fs::PermissionsExt;"), Some("os::unix"));
    let all: Vec<_> =
        sources().into_iter().filter(|source| !ELSEWHERE_TOO.contains(&source.path.as_str())).collect();
    assert!(all.len() >= 60, "only {} sources were found", all.len());
    let named = |source: &super::Source| -> Vec<String> {
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
