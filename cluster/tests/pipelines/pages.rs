//! Pages for people: what they show of a file is the file, and their links lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directories of pages, and the pages beside them.
const PAGES: [&str; 8] = [
    "docs",
    "docs/pipelines",
    "docs/proof",
    "README.md",
    "CONTRIBUTING.md",
    "deploy/README.md",
    "packer/README.md",
    "packages/README.md",
];

/// The directories of files that a page may show.
const SHOWN: [&str; 2] = ["deploy/", "packer/"];

/// Pages are written for these files.
const EXAMPLES: &str = "deploy/pipelines";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for name in PAGES {
        let path = root().join(name);
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect(name).map(|entry| entry.expect("an entry").path());
            pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
        } else {
            pages.push(path);
        }
    }
    pages.sort();
    assert!(pages.len() > 40, "{pages:?}");
    pages
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The lines of a page and whether each is in a fenced block.
fn lines(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.lines().scan(false, |is_in, line| {
        let is_fence = line.trim_start().starts_with("```");
        let was_in = *is_in;
        *is_in ^= is_fence;
        Some((line, was_in || is_fence))
    })
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).filter(|(line, is_in)| !is_in && line.starts_with('#'));
    headings.map(|(line, _)| anchor(line.trim_start_matches('#'))).collect()
}

/// The targets of the links of a page; a link may be broken over two lines.
fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = lines(text).filter(|(_, is_in)| !is_in).map(|(line, _)| line).collect();
    let prose = prose.join("\n");
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = read(&page);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, heading) =
                link.split_once('#').map_or((&*link, None), |(path, heading)| (path, Some(heading)));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name("").join(path) };
            let leads = match heading {
                Some(heading) => target.is_file() && anchors(&read(&target)).contains(heading),
                None => target.exists(),
            };
            if !leads {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn what_a_page_shows_of_a_file_is_the_file() {
    let mut shown = BTreeSet::new();
    for page in pages() {
        let text = read(&page);
        for block in text.split("\n```").skip(1).step_by(2) {
            let (fence, body) = block.split_once('\n').unwrap_or((block, ""));
            let Some((_, name)) = fence.split_once(' ') else { continue };
            if SHOWN.iter().any(|directory| name.starts_with(directory)) {
                assert_eq!(format!("{body}\n"), read(&root().join(name)), "{} shows {name}", page.display());
                shown.insert(name.to_owned());
            }
        }
    }
    for entry in std::fs::read_dir(root().join(EXAMPLES)).expect(EXAMPLES) {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        assert!(shown.contains(&format!("{EXAMPLES}/{name}")), "no page shows {EXAMPLES}/{name}");
    }
}

/// The commands of `kubectl crossfade` that a text has, each up to the end of its code.
fn commands(text: &str) -> Vec<Vec<String>> {
    let after = text.split("kubectl crossfade ").skip(1);
    let code = after.filter_map(|rest| rest.split(['`', '\n', ';', '|', '&', ')']).next());
    code.map(|code| code.split_whitespace().map(str::to_owned).collect()).collect()
}

fn help(words: &[String]) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-crossfade"));
    let output = command.args(words).arg("--help").output().expect("the program runs");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn commands_have_the_options_that_pages_give_them() {
    let mut checked = 0;
    let examples = std::fs::read_dir(root().join(EXAMPLES))
        .expect(EXAMPLES)
        .map(|entry| entry.expect("an entry").path());
    let is_of_rotations = |page: &PathBuf| {
        page.parent().is_some_and(|parent| parent.ends_with("pipelines")) || page.ends_with("rotation.md")
    };
    for page in pages().into_iter().filter(is_of_rotations).chain(examples) {
        for words in commands(&read(&page)) {
            let is_verb = |word: &&String| word.starts_with(|c: char| c.is_ascii_lowercase());
            let verbs: Vec<String> = words.iter().take_while(is_verb).cloned().collect();
            let text = help(&verbs).unwrap_or_else(|| panic!("{}: no command {words:?}", page.display()));
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let is_known = text.split_whitespace().any(|word| word.trim_end_matches(',') == option);
                assert!(is_known, "{}: {verbs:?} has no {option}", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "{checked} options");
}

#[test]
fn an_anchor_is_that_of_its_heading() {
    assert_eq!(anchor(" A gate for `crossfade/image`, and more"), "a-gate-for-crossfadeimage-and-more");
    assert_eq!(links("[a](b.md#c), [d\ne](f)\n```sh\n[g](h)\n```\n"), ["b.md#c", "f"]);
    assert_eq!(anchors("# A b\n```sh\n# no heading\n```\n").into_iter().collect::<Vec<_>>(), ["a-b"]);
}
