//! Manual pages and completions, rendered from the command line's own types and kept below `packages/usr`, from where they are
//! packaged; a test says when they are not those of today.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bootstrap::Cli;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

const PROGRAM: &str = "crossfade-bootstrap";
/// System administration; man 1 `man`.
const SECTION: &str = "8";
/// Pages that are written by hand.
const BY_HAND: [&str; 1] = ["crossfade.8"];
/// Where each shell looks, and under which name. *Source*: Debian's and Fedora's packages of the shells; for zsh, Debian has a
/// directory of its own, and a link from there.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/crossfade-bootstrap"),
    (Shell::Fish, "fish/vendor_completions.d/crossfade-bootstrap.fish"),
    (Shell::Zsh, "zsh/site-functions/_crossfade-bootstrap"),
];

fn share() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packages/usr/share")
}

/// One page for each command that people call, by its path below `usr/share`.
fn pages(command: &Command, rendered: &mut BTreeMap<String, Vec<u8>>) {
    let name = command.get_display_name().unwrap_or(PROGRAM).to_owned();
    let man = Man::new(command.clone())
        .title(&name)
        .section(SECTION)
        .source("Crossfade")
        .manual("System Administration")
        // The next word of the page's title would take the place of an empty date.
        .date(" ");
    let mut page = Vec::new();
    man.render(&mut page).expect("a page");
    rendered.insert(format!("man/man{SECTION}/{name}.{SECTION}"), page);
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for command in command.get_subcommands().filter(shown) {
        pages(command, rendered);
    }
}

fn rendered() -> BTreeMap<String, Vec<u8>> {
    let mut command = Cli::command();
    command.build();
    let mut rendered = BTreeMap::new();
    pages(&command, &mut rendered);
    for (shell, path) in COMPLETIONS {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
        rendered.insert(path.to_owned(), script);
    }
    rendered
}

/// `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn manual_pages_and_completions_are_those_of_today() {
    let (share, rendered) = (share(), rendered());
    let pages = share.join("man").join(format!("man{SECTION}"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for name in names(&pages).iter().filter(|name| !BY_HAND.contains(&name.as_str())) {
            fs::remove_file(pages.join(name)).expect("remove");
        }
        for (path, content) in &rendered {
            let path = share.join(path);
            fs::create_dir_all(path.parent().expect("below share")).expect("directory");
            fs::write(path, content).expect("write");
        }
    }
    let stale =
        rendered.iter().filter(|(path, content)| fs::read(share.join(path)).ok().as_ref() != Some(content));
    let stale: Vec<&String> = stale.map(|(path, _)| path).collect();
    assert!(stale.is_empty(), "look at the command line, then UPDATE_GOLDEN=1: {stale:?}");
    let known = |name: &String| {
        BY_HAND.contains(&name.as_str()) || rendered.contains_key(&format!("man/man{SECTION}/{name}"))
    };
    let left: Vec<String> = names(&pages).into_iter().filter(|name| !known(name)).collect();
    assert!(left.is_empty(), "pages of commands that are gone, UPDATE_GOLDEN=1: {left:?}");
}

#[test]
fn every_command_that_is_shown_has_a_page() {
    let rendered = rendered();
    for name in ["crossfade-bootstrap", "crossfade-bootstrap-install", "crossfade-bootstrap-policy-set"] {
        let page =
            rendered.get(&format!("man/man8/{name}.8")).unwrap_or_else(|| panic!("{name} has no page"));
        let page = String::from_utf8_lossy(page);
        assert!(page.contains(&format!(".TH {name} 8")), "{page}");
    }
    assert!(!rendered.keys().any(|path| path.contains("prove")), "a page of a hidden command");
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
