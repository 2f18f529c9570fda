//! The help of a command line with its commands in groups, and its usage errors for programs that answer with documents.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, FromArgMatches};

use crate::command::problem::Problem;

/// Which of `formats` the arguments of a program ask for by `-o` or `--output`; none if they ask for none of them.
///
/// A parser that complains has not come to `--output`, so the arguments themselves must say it.
pub fn format<'a>(arguments: impl Iterator<Item = OsString>, formats: &[&'a str]) -> Option<&'a str> {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    formats.iter().copied().find(|name| {
        let pair = |pair: &[String]| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == *name;
        let word = |word: &String| {
            ["-o", "-o=", "--output="].iter().any(|option| word.strip_prefix(option) == Some(*name))
        };
        words.windows(2).any(pair) || words.iter().any(word)
    })
}

/// The complaint as a problem: what is wrong, at which argument, and the parser's tip if it has one.
pub fn problem(error: &clap::Error) -> Problem {
    let text = error.render().to_string();
    let what = text.lines().next().unwrap_or_default();
    let kinds = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    let named = kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(name) => Some(name.clone()),
        ContextValue::Strings(names) => names.first().cloned(),
        _ => None,
    });
    let tip = text.lines().find_map(|line| line.trim_start().strip_prefix("tip: ")).map(str::to_owned);
    Problem::new(what.strip_prefix("error: ").unwrap_or(what))
        .with_place(named.unwrap_or_else(|| "the command line".into()))
        .fix(tip.unwrap_or_else(|| "correct the argument; --help lists what the command accepts".into()))
}

/// Reads the arguments of this process. The help of the program lists its commands in groups, see [`group`].
///
/// # Errors
/// Help and version, which are asked for, and a complaint.
pub fn parse<P: CommandFactory + FromArgMatches>(groups: &[(&str, &[&str])]) -> Result<P, clap::Error> {
    let parse = |mut command: Command| {
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        P::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    };
    parse(P::command()).or_else(|error| match error.kind() {
        // It is put together only where it is printed: each call of a unit would wait for it.
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            parse(group(P::command(), groups))
        }
        _ => Err(error),
    })
}

/// The same command, whose help lists the commands below it in groups: a heading, and the names below it.
///
/// clap can only sort them.
pub fn group(command: Command, groups: &[(&str, &[&str])]) -> Command {
    let names = groups.iter().flat_map(|(_, names)| *names);
    let width = names.map(|name| name.len()).max().unwrap_or_default();
    let style = *command.get_styles().get_header();
    let literal = *command.get_styles().get_literal();
    let mut list = String::new();
    for (heading, names) in groups {
        let _ = writeln!(list, "{style}{heading}:{style:#}");
        for subcommand in names.iter().filter_map(|name| command.find_subcommand(name)) {
            let (name, about) = (subcommand.get_name(), subcommand.get_about().cloned().unwrap_or_default());
            let _ = writeln!(list, "  {literal}{name:width$}{literal:#}  {about}");
        }
        list.push('\n');
    }
    let part = |command: Command, template: &'static str| {
        command.help_template(template).render_long_help().ansi().to_string()
    };
    let head = part(command.clone(), "{before-help}{about-with-newline}\n{usage-heading} {usage}\n\n");
    let mut options = command.clone().mut_subcommands(|subcommand| subcommand.hide(true));
    options.build();
    // -h and --help print the same.
    let tail = part(options.mut_arg("help", |help| help.help("Print help")), "{all-args}{after-help}");
    command.override_help(format!("{}\n\n{list}{}\n", head.trim_end(), tail.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_in_their_groups_and_options_after_them() {
        let command =
            Command::new("x").about("Does it").arg(clap::Arg::new("o").long("option").help("Which"));
        let names = ["one", "other", "third"];
        let command = command.subcommands(names.map(|name| Command::new(name).about(format!("The {name}"))));
        let mut command = group(command, &[("Later", &["third", "one"]), ("Now", &["other"])]);
        assert_eq!(
            command.render_help().to_string(),
            "Does it\n\nUsage: x [OPTIONS] [COMMAND]\n\n\
             Later:\n  third  The third\n  one    The one\n\nNow:\n  other  The other\n\n\
             Options:\n      --option <o>\n          Which\n\n  -h, --help\n          Print help\n"
        );
    }

    #[test]
    fn the_arguments_say_which_format_is_wanted() {
        for (line, expected) in [
            ("status -o json", Some("json")),
            ("status -ojson", Some("json")),
            ("check -oyaml", Some("yaml")),
            ("--output json status", Some("json")),
            ("status --output=json --sideways", Some("json")),
            ("status -o human", None),
            ("check json", None),
            ("", None),
        ] {
            let words = line.split(' ').map(OsString::from);
            assert_eq!(format(words, &["json", "yaml"]), expected, "{line}");
        }
        assert_eq!(format(["-o", "yaml"].into_iter().map(OsString::from), &["json"]), None);
    }
}
