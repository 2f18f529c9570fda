//! The walk-throughs of `docs/`, carried out as they are printed.
//!
//! What a fenced block of a page is, its language says:
//!
//! | language | what it is | what a test does |
//! |---|---|---|
//! | `console` | commands and their output | runs each command, and compares what it prints |
//! | `json /PATH`, `yaml PATH` | a file | hands it to [`Walker::write`] |
//! | `sh` | what a test cannot run as it is: a package manager, systemd | hands it to [`Walker::by_hand`], which does the same in the lab |
//! | any other | for people | nothing |
//!
//! In a `console` block, a line that begins with `# ` is a command of root's on a node, and one with `$ ` is one of the operator's. What follows is the
//! command's output, stdout and stderr, up to the next command. A command must end with 0; a page that shows another status prints it by
//! `; echo "exit status $?"`. In outputs, `..` stands for any text within a line, a line `..` for any lines, and blanks count as one. A word that
//! the test declares a name ([`Walk::with_names`]) stands for what the first output has in its place, and for that alone from then on.

mod fits;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::host::deadline::until;
use crate::{build::dist, host::command};

/// The end of a line that no page can have: whether another client changes a Node between a look of `roll` and its act is chance.
const BY_CHANCE: &str = ": the object was changed meanwhile; decided anew";

/// Tells a state that comes from one that does not.
const WITHIN: Duration = Duration::from_secs(120);
/// What changes nothing, and is asked again until it says what the page says: a person looks twice as well.
const LOOKS: [&str; 4] = [
    "kubectl get ",
    "crossfade-bootstrap status",
    "crossfade-bootstrap attachments",
    "kubectl crossfade status",
];

/// Words of a page that stand for something else on each cluster, such as `HASH`; without a value until an output shows it.
type Names = BTreeMap<&'static str, Option<String>>;

/// A block of a page, or one command of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// A command and its output.
    Step(Step),
    /// A file that the reader writes.
    File {
        /// Where, as the page says it.
        path: String,
        text: String,
    },
    /// Lines of shell that only a real machine runs.
    ByHand(String),
}

/// A command and the output that the page prints below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The line of the page, from 1.
    pub line: usize,
    /// Whether it is root's on a node, and not the operator's.
    pub on_node: bool,
    /// As it is typed.
    pub command: String,
    /// Line by line.
    pub output: Vec<String>,
}

/// Who follows a page.
pub trait Walker {
    /// A command of the page, to be run where its reader would run it.
    ///
    /// # Errors
    /// The walker is at no such place.
    fn command(&mut self, step: &Step, line: &str) -> Result<Command>;

    /// Writes a file that the page shows.
    ///
    /// # Errors
    /// The page shows a file that the walker does not know.
    fn write(&mut self, path: &str, text: &str) -> Result<()>;

    /// Does what a block of `sh` says, in the lab's way.
    ///
    /// # Errors
    /// The walker does not know how.
    fn by_hand(&mut self, text: &str) -> Result<()>;
}

/// The parts of a page below `docs/`, of its chapter `heading` alone if one is named; without any is an error.
fn parts(page: &str, heading: Option<&str>) -> Result<Vec<Part>> {
    let path = dist::workspace().join("docs").join(page);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let parts = read(&text, heading).with_context(|| page.to_owned())?;
    ensure!(
        !parts.is_empty(),
        "{page} has nothing to follow{}",
        heading.map_or(String::new(), |h| format!(" in {h:?}"))
    );
    Ok(parts)
}

/// The files that a page shows: where each is, and what is in it.
///
/// # Errors
/// There is no such page, or a block does not end.
pub fn files(page: &str) -> Result<Vec<(String, String)>> {
    let file = |part| match part {
        Part::File { path, text } => Some((path, text)),
        Part::Step(_) | Part::ByHand(_) => None,
    };
    Ok(parts(page, None)?.into_iter().filter_map(file).collect())
}

fn read(text: &str, heading: Option<&str>) -> Result<Vec<Part>> {
    let (mut parts, mut is_in, mut lines) = (Vec::new(), heading.is_none(), text.lines().enumerate());
    let mut level = 0;
    while let Some((index, line)) = lines.next() {
        let marks = line.bytes().take_while(|byte| *byte == b'#').count();
        if let (Some(heading), true) = (heading, marks > 0) {
            let is_it = line[marks..].trim() == heading;
            is_in = is_it || (is_in && marks > level);
            level = if is_it { marks } else { level };
        }
        let Some(fence) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut block = Vec::new();
        loop {
            let (index, line) =
                lines.next().with_context(|| format!("line {}: the block does not end", index + 1))?;
            if line.trim() == "```" {
                break;
            }
            block.push((index + 1, line.get(indent..).unwrap_or_default()));
        }
        if is_in {
            of_block(fence, &block, &mut parts)?;
        }
    }
    Ok(parts)
}

fn of_block(fence: &str, block: &[(usize, &str)], parts: &mut Vec<Part>) -> Result<()> {
    let all = || block.iter().fold(String::new(), |all, (_, line)| all + line + "\n");
    match fence.split_once(' ').unwrap_or((fence, "")) {
        ("console", _) => {
            for (index, line) in block {
                let typed = line.strip_prefix("# ").or_else(|| line.strip_prefix("$ "));
                if let Some(command) = typed {
                    let on_node = line.starts_with('#');
                    let (command, output) = (command.to_owned(), Vec::new());
                    parts.push(Part::Step(Step { line: *index, on_node, command, output }));
                } else if let Some(Part::Step(step)) = parts.last_mut().filter(|_| *index != block[0].0) {
                    step.output.push((*line).to_owned());
                } else {
                    bail!("line {index}: an output without a command");
                }
            }
        }
        ("sh", _) => parts.push(Part::ByHand(all())),
        (_, path) if !path.is_empty() => parts.push(Part::File { path: path.to_owned(), text: all() }),
        _ => {}
    }
    Ok(())
}

/// What came of a walk so far.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// What words of the pages stand for.
    names: Names,
    /// Every command, with the prompt of its place, and what it printed.
    printed: Vec<(String, String)>,
    /// Every line that was carried out by other means.
    by_hand: BTreeSet<String>,
    /// Commands that were carried out: a page, and a line of it.
    followed: BTreeSet<(String, usize)>,
}

impl Walk {
    /// A walk on which these words stand for something.
    pub fn with_names(names: &[&'static str]) -> Self {
        Self { names: names.iter().map(|name| (*name, None)).collect(), ..Self::default() }
    }

    /// Holds when each command of a page was carried out.
    ///
    /// # Errors
    /// One was not; the message names its line.
    pub fn expect_whole(&self, page: &str) -> Result<()> {
        for part in parts(page, None)? {
            let Part::Step(step) = part else { continue };
            let is_followed = self.followed.contains(&(page.to_owned(), step.line));
            ensure!(is_followed, "docs/{page}:{}: no test has followed: {}", step.line, step.command);
        }
        Ok(())
    }

    /// Carries out the parts of a page, or of its chapter `heading`, in their order.
    ///
    /// # Errors
    /// The first command that ends otherwise or prints something else; the message has everything that was printed until then.
    pub fn follow(&mut self, page: &str, heading: Option<&str>, walker: &mut impl Walker) -> Result<()> {
        let parts = parts(page, heading)?;
        let outcome = parts.iter().try_for_each(|part| match part {
            Part::File { path, text } => walker.write(path, text).with_context(|| format!("the file {path}")),
            Part::ByHand(text) => {
                self.by_hand.extend(text.lines().map(str::to_owned));
                walker.by_hand(text).with_context(|| text.clone())
            }
            Part::Step(step) => {
                self.followed.insert((page.to_owned(), step.line));
                let place = || format!("docs/{page}:{}: {}", step.line, step.command);
                self.step(step, walker).with_context(place)
            }
        });
        // What went wrong comes first, for the rest is long.
        outcome.map_err(|error| {
            let printed =
                self.printed.iter().fold(String::new(), |all, (line, text)| all + line + "\n" + text + "\n");
            anyhow::anyhow!("{error:#}\nuntil then:\n{printed}")
        })
    }

    /// Holds a chapter to what was carried out so far, by another page: each of its commands was, and printed what this page says as well.
    ///
    /// # Errors
    /// The first command that was not carried out, or printed something else each time; or the chapter has a file.
    pub fn hold(&mut self, page: &str, heading: &str) -> Result<()> {
        for part in parts(page, Some(heading))? {
            match part {
                Part::Step(step) => {
                    let line = prompted(&step, &fits::named(&step.command, &self.names)?);
                    let is_it = |(other, text): &(String, String)| {
                        *other == line && fits::output(&step.output, text, &self.names).is_some()
                    };
                    let place = format!("docs/{page}:{}", step.line);
                    ensure!(self.printed.iter().any(is_it), "{place}: nothing has printed this: {line}");
                    self.followed.insert((page.to_owned(), step.line));
                }
                Part::ByHand(text) => {
                    let missing = text.lines().find(|line| !self.by_hand.contains(*line));
                    ensure!(missing.is_none(), "docs/{page}: no other page has {missing:?}");
                }
                Part::File { path, .. } => bail!("docs/{page}: the file {path} is written by no other page"),
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, walker: &mut impl Walker) -> Result<()> {
        let line = fits::named(&step.command, &self.names)?;
        let mut outcome = (None, String::new());
        let mut once = || -> Result<Option<Names>> {
            outcome = command::status_and_text(&mut walker.command(step, &line)?)?;
            let (status, text) = &outcome;
            let text: Vec<&str> = text.lines().filter(|line| !line.ends_with(BY_CHANCE)).collect();
            Ok(fits::output(&step.output, &text.join("\n"), &self.names).filter(|_| *status == Some(0)))
        };
        let looks = LOOKS.iter().any(|look| line.starts_with(look));
        let names =
            if looks { until("this output", WITHIN, once) } else { once()?.context("another output") };
        let (status, text) = outcome;
        self.printed.push((prompted(step, &line), text.clone()));
        self.names = names.with_context(|| format!("{status:?}, expected {:#?}\n{text}", step.output))?;
        Ok(())
    }
}

/// A command as a page shows it.
fn prompted(step: &Step, line: &str) -> String {
    format!("{} {line}", if step.on_node { "#" } else { "$" })
}

/// A command of the page by the shell: `program` is one, with its environment, that ends in `bash`.
pub fn shell(mut program: Command, line: &str) -> Command {
    program.args(["-c", &format!("exec 2>&1; {line}")]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A page\n\n```console\n$ first\n```\n## Steps\n\n1. Do it:\n\n   ```console\n   # one\n   says ..\n   $ two\n   ```\n\
        2. A file:\n\n   ```json /etc/x.json\n   {}\n   ```\n### More\n```sh\napt\n```\n```text\n$ no command\n```\n## Other\n```console\n# last\n```\n";

    fn step(line: usize, on_node: bool, command: &str, output: &[&str]) -> Part {
        let output = output.iter().map(|line| (*line).to_owned()).collect();
        Part::Step(Step { line, on_node, command: command.into(), output })
    }

    #[test]
    fn a_chapter_is_read_with_its_own_chapters_alone() {
        let parts = read(PAGE, Some("Steps")).expect("parts");
        let file = Part::File { path: "/etc/x.json".into(), text: "{}\n".into() };
        let expected = [
            step(11, true, "one", &["says .."]),
            step(13, false, "two", &[]),
            file,
            Part::ByHand("apt\n".into()),
        ];
        assert_eq!(parts, expected);
        assert_eq!(read(PAGE, None).expect("parts").len(), 6);
        assert!(read(PAGE, Some("Nowhere")).expect("parts").is_empty());
    }

    #[test]
    fn a_block_without_an_end_or_an_output_without_a_command_is_an_error() {
        assert!(read("```console\n# one\n", None).is_err());
        assert!(read("```console\nsays\n```\n", None).is_err());
        assert!(read("```console\n# one\n```\n```console\nsays\n```\n", None).is_err());
    }

    /// Prints what it was given.
    struct Echo;

    impl Walker for Echo {
        fn command(&mut self, _: &Step, line: &str) -> Result<Command> {
            Ok(shell(Command::new("bash"), line))
        }

        fn write(&mut self, path: &str, _: &str) -> Result<()> {
            bail!("{path}")
        }

        fn by_hand(&mut self, text: &str) -> Result<()> {
            bail!("{text}")
        }
    }

    fn follows(output: &[&str], command: &str) -> Result<()> {
        let Part::Step(step) = step(1, true, command, output) else { bail!("a step") };
        Walk::with_names(&["HASH"]).step(&step, &mut Echo)
    }

    #[test]
    fn what_a_page_prints_is_what_the_command_says() {
        follows(&["one", "..", "six"], "seq -f %g 1 5 >/dev/null; echo one; echo two; echo six")
            .expect("it fits");
        follows(&["exit status 3"], "(exit 3); echo \"exit status $?\"").expect("it fits");
        follows(&["one"], &format!("echo 'node n1: claimed{BY_CHANCE}'; echo one")).expect("it fits");
        assert!(follows(&["one"], "echo two").is_err(), "another output");
        assert!(follows(&["one"], "echo one; exit 3").is_err(), "another status");
        assert!(follows(&["one"], "echo one; echo two").is_err(), "more output");
        assert!(follows(&["one", "two"], "echo one").is_err(), "less output");
        assert!(follows(&[], "echo HASH").is_err(), "a name that no step has printed");
    }

    /// Two pages of one walk have commands in common, of which some change what is there and cannot be run twice.
    #[test]
    fn a_chapter_is_held_to_what_another_page_has_printed() {
        let page = "finish.md";
        let heading = "3. Fence the old agents off";
        let command = "kubectl crossfade finish --confirm HASH --backup kept --config crossfade.yaml; echo \"exit status $?\"";
        let fence = "fence: DaemonSet/kube-flannel/kube-flannel-ds: selects no node";
        let done = "fence done DaemonSet/kube-flannel/kube-flannel-ds selects no node, and has no pod";
        let walk = |line: &str, text: String| {
            let mut walk = Walk::with_names(&["HASH"]);
            walk.names.insert("HASH", Some("12ab".into()));
            walk.printed.push((line.replace("HASH", "12ab"), text));
            walk
        };
        let text = format!("a\n{fence}\nb\n{done}\nc\nexit status 75\n");
        let mut held = walk(&format!("$ {command}"), text.clone());
        held.hold(page, heading).expect("it was carried out");
        assert!(!held.followed.is_empty());
        for mut other in [
            walk(&format!("# {command}"), text.clone()),
            walk("$ kubectl crossfade finish", text.clone()),
            walk(&format!("$ {command}"), text.replace("selects no node, and", "is there, and")),
        ] {
            assert!(other.hold(page, heading).is_err() && other.followed.is_empty());
        }
        let problem =
            Walk::default().hold(page, "7. Clean the nodes that stay").expect_err("not by hand either");
        assert!(format!("{problem:#}").contains("no other page has"), "{problem:#}");
    }

    #[test]
    fn a_page_is_whole_when_each_of_its_commands_was_followed() {
        let page = "move-pods.md";
        let mut walk = Walk::default();
        assert!(walk.expect_whole(page).is_err(), "no test has followed it");
        for part in parts(page, None).expect("the page") {
            if let Part::Step(step) = part {
                walk.followed.insert((page.to_owned(), step.line));
            }
        }
        walk.expect_whole(page).expect("all of it");
    }
}
