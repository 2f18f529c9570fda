//! The examples of README.md, docs/policies.md, docs/report.md, docs/roll.md and docs/rotation.md, held to what this program prints; and the figures of README.md,
//! held to docs/numbers.md.
//!
//! In a block of the language `console`, lines after `$ ` are commands, and what follows is their output: `cd` from the repository's root,
//! and `kubectl crossfade`. A pipe into `head -n N` takes the first lines. `UPDATE_GOLDEN=1` writes the outputs anew.

use std::path::{Path, PathBuf};

use crate::run::run_in;

const BEGIN: &str = "```console";
const END: &str = "```";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs the commands of one block in order.
#[derive(Default)]
struct Shell {
    dir: PathBuf,
    commands: usize,
}

impl Shell {
    fn run(&mut self, line: &str) -> String {
        let (command, lines) = match line.split_once(" | head -n ") {
            Some((command, lines)) => (command, lines.parse().expect("a number of lines")),
            None => (line, usize::MAX),
        };
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["cd", dir] => {
                self.dir = root().join(dir);
                String::new()
            }
            ["kubectl", "crossfade", arguments @ ..] => {
                let output = run_in(&self.dir, arguments);
                assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
                self.commands += 1;
                let text = String::from_utf8(output.stdout).expect("UTF-8");
                text.lines().take(lines).map(|line| format!("{line}\n")).collect()
            }
            _ => panic!("{line}: a test cannot run this; use a block of another language"),
        }
    }
}

#[test]
fn what_pages_show_is_what_the_program_prints() {
    let pages = ["README.md", "docs/policies.md", "docs/report.md", "docs/roll.md", "docs/rotation.md"];
    pages.into_iter().for_each(page);
}

/// The cells of the row of a page that begins with these words.
fn row(text: &str, words: &str) -> Vec<String> {
    let row = text.lines().find(|line| line.starts_with(words)).unwrap_or_else(|| panic!("no row {words}"));
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// README.md's table of strategies has the restarts and the seconds of docs/numbers.md.
#[test]
fn the_figures_of_the_readme_are_those_of_the_measurements() {
    let text = |name: &str| std::fs::read_to_string(root().join(name)).expect(name);
    let (readme, numbers) = (text("README.md"), text("docs/numbers.md"));
    let restarts = row(&readme, "| restarts of a pod |");
    let seconds = row(&readme, "| what a node takes beyond the restart of its pods |");
    for (column, strategy) in [(2, "bridge"), (3, "double")] {
        let measured = row(&numbers, &format!("| in place, `{strategy}` | "));
        let middle = measured[3].split(',').next().expect("seconds");
        let expected = format!("{} on three nodes)", measured[4]);
        assert!(restarts[column].ends_with(&expected), "{strategy}: {} and {expected}", restarts[column]);
        let found = seconds[column].split(',').next();
        assert_eq!(found, Some(&*format!("{middle} s")), "{strategy}");
    }
}

fn page(name: &str) {
    let file = root().join(name);
    let kept = std::fs::read_to_string(&file).expect(name);
    let (mut written, mut shell, mut is_console) = (String::new(), Shell::default(), false);
    for line in kept.lines() {
        match line {
            BEGIN => is_console = true,
            END => is_console = false,
            _ => {}
        }
        let command = line.strip_prefix("$ ").filter(|_| is_console);
        if !is_console || line == BEGIN || command.is_some() {
            written.push_str(&format!("{line}\n"));
        }
        written.push_str(&command.map(|command| shell.run(command)).unwrap_or_default());
    }
    assert!(shell.commands > 0, "{name} shows no command");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &written).expect("written");
    } else {
        assert_eq!(kept, written, "look at the outputs in {name}, then UPDATE_GOLDEN=1");
    }
}
