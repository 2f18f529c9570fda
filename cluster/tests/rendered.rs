//! Manual pages, rendered from the command line's own types and kept in `cluster/man`; a test says when they are not those of today. The node's
//! packages, which have their pages below `packages/usr`, do not contain this program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use cluster::Cli;

const PROGRAM: &str = "kubectl-crossfade";
/// Commands of users; man 1 `man`.
const SECTION: &str = "1";

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

/// One page for each command that people call, by its file's name.
fn pages(command: &Command, name: &str, rendered: &mut BTreeMap<String, Vec<u8>>) {
    let man = Man::new(command.clone())
        .title(name)
        .section(SECTION)
        .source("Crossfade")
        .manual("User Commands")
        // The next word of the page's title would take the place of an empty date.
        .date(" ");
    let mut page = Vec::new();
    man.render(&mut page).expect("a page");
    rendered.insert(format!("{name}.{SECTION}"), page);
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for command in command.get_subcommands().filter(shown) {
        pages(command, &format!("{name}-{}", command.get_name()), rendered);
    }
}

/// `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn manual_pages_are_those_of_today() {
    let mut command = Cli::command();
    command.build();
    let mut rendered = BTreeMap::new();
    pages(&command, PROGRAM, &mut rendered);
    let dir = dir();
    let kept = || -> Vec<String> {
        let entries = fs::read_dir(&dir).into_iter().flatten();
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
    };
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&dir).expect("directory");
        for name in kept() {
            fs::remove_file(dir.join(name)).expect("remove");
        }
        for (name, page) in &rendered {
            fs::write(dir.join(name), page).expect("write");
        }
    }
    let stale = rendered.iter().filter(|(name, page)| fs::read(dir.join(name)).ok().as_ref() != Some(page));
    let stale: Vec<&String> = stale.map(|(name, _)| name).collect();
    assert!(stale.is_empty(), "look at the command line, then UPDATE_GOLDEN=1: {stale:?}");
    let mut names = kept();
    names.sort();
    assert_eq!(names, rendered.keys().cloned().collect::<Vec<_>>(), "pages of commands that are gone");
}
