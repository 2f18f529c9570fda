//! The completion that kubectl asks for when a user presses the tab key after `kubectl crossfade`.
//!
//! kubectl runs `kubectl_complete-crossfade` with the words of the line, the last of which is not complete. It expects one candidate in each line,
//! each with a description after a tab, and at the end a colon and a number. *Source*: kubectl's `pkg/cmd/plugin/plugin_completion.go`.

use clap::{Arg, Command};

/// The name under which kubectl calls this program for completion.
pub(crate) const NAME: &str = "kubectl_complete-crossfade";

/// The name of this program on its own.
const PROGRAM: &str = "kubectl-crossfade";

/// kubectl does not offer files where the program offers something. *Source*: cobra, `ShellCompDirectiveNoFileComp`.
const NO_FILES: u32 = 4;
/// kubectl offers files. *Source*: cobra, `ShellCompDirectiveDefault`.
const FILES: u32 = 0;

/// The script with which a shell completes this program by its own name.
#[must_use]
pub(crate) fn script(mut root: Command, shell: clap_complete::Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut root, PROGRAM, &mut text);
    text
}

/// What to answer for these words.
#[must_use]
pub(crate) fn answer(root: &Command, words: &[String]) -> String {
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut command = root;
    for word in before {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let valued = before.last().and_then(|word| option(root, command, word)).filter(|arg| takes_value(arg));
    let (candidates, directive) = match valued {
        Some(arg) => values(arg),
        None if last.starts_with('-') => (options(root, command), NO_FILES),
        None => (commands(command), NO_FILES),
    };
    let mut text: String = candidates.iter().filter(|(name, _)| name.starts_with(last)).map(line).collect();
    text.push_str(&format!(":{directive}\n"));
    text
}

fn line((name, about): &(String, String)) -> String {
    if about.is_empty() { format!("{name}\n") } else { format!("{name}\t{about}\n") }
}

/// The option that a word is; the root's options hold for every command.
fn option<'a>(root: &'a Command, command: &'a Command, word: &str) -> Option<&'a Arg> {
    let is_named = |arg: &&Arg| {
        let long = word.strip_prefix("--").is_some_and(|name| arg.get_long() == Some(name));
        let short = word.strip_prefix('-').is_some_and(|name| {
            arg.get_short().is_some_and(|short| name.len() == short.len_utf8() && name.starts_with(short))
        });
        long || short
    };
    command.get_arguments().chain(root.get_arguments()).find(is_named)
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn values(arg: &Arg) -> (Vec<(String, String)>, u32) {
    let values: Vec<_> =
        arg.get_possible_values().iter().map(|value| (value.get_name().to_owned(), String::new())).collect();
    let directive = if values.is_empty() { FILES } else { NO_FILES };
    (values, directive)
}

fn options(root: &Command, command: &Command) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = command
        .get_arguments()
        .chain(root.get_arguments())
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| Some((format!("--{}", arg.get_long()?), first_line(arg.get_help()))))
        .collect();
    all.sort();
    all.dedup_by(|a, b| a.0 == b.0);
    all
}

fn commands(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| (command.get_name().to_owned(), first_line(command.get_about()))).collect()
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// The names that are offered, and the number at the end.
    fn offered(line: &str) -> (Vec<String>, String) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let text = answer(&crate::cli::Cli::command(), &words);
        let mut lines: Vec<String> =
            text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect();
        let directive = lines.pop().unwrap_or_default();
        (lines, directive)
    }

    #[test]
    fn commands_options_and_values_are_offered() {
        let names = |line: &str| offered(line).0;
        assert_eq!(names("che"), ["check"]);
        assert_eq!(names("policies che"), ["check"]);
        assert_eq!(names("check --fr"), ["--from"]);
        assert_eq!(names("check --from c"), ["calico", "canal", "cilium"]);
        assert_eq!(names("check --explain cidr-t"), ["cidr-too-small", "cidr-two-halves"]);
        assert_eq!(names("check -o "), ["table", "json", "yaml", "markdown"]);
        assert!(names("check --").contains(&"--kubeconfig".to_owned()), "options of every command");
        assert!(names("").contains(&"snapshot".to_owned()));
    }

    #[test]
    fn files_are_offered_where_a_file_is_wanted() {
        assert_eq!(offered("check --snapshot "), (Vec::new(), ":0".to_owned()));
        assert_eq!(offered("check --from ").1, ":4");
        assert_eq!(offered("nonsense"), (Vec::new(), ":4".to_owned()));
    }
}
