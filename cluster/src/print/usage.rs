//! What the parser of the command line says.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use types::problem::Problem;

use super::{complain, refused};
use crate::cli::exit::Exit;
use crate::cli::options::Output;

/// Prints help and version as they are, and a complaint in the format that the arguments ask for.
pub fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader that went away (`| head`) is no failure.
        let _ = error.print();
        return Exit::Done;
    }
    match format(std::env::args_os().skip(1)) {
        Some(output) => refused(output, vec![problem(error)]),
        None => complain(&error.render().to_string()),
    }
    Exit::Usage
}

/// The format for programs that these arguments ask for: the parser has not come to `--output`.
fn format(arguments: impl Iterator<Item = OsString>) -> Option<Output> {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let asks = |name: &str| {
        let pair = |pair: &[String]| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == name;
        let word = |word: &String| {
            ["-o", "-o=", "--output="].iter().any(|option| *word == format!("{option}{name}"))
        };
        words.windows(2).any(pair) || words.iter().any(word)
    };
    [("json", Output::Json), ("yaml", Output::Yaml)]
        .into_iter()
        .find(|(name, _)| asks(name))
        .map(|(_, output)| output)
}

fn problem(error: &clap::Error) -> Problem {
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
        .at(named.unwrap_or_else(|| "the command line".into()))
        .fix(tip.unwrap_or_else(|| "correct the argument; --help lists what the command accepts".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_say_which_format_is_wanted() {
        for (line, wanted) in [
            ("check -o json", Some(Output::Json)),
            ("check -oyaml", Some(Output::Yaml)),
            ("--output=json check", Some(Output::Json)),
            ("check -o table", None),
            ("check json", None),
        ] {
            assert_eq!(format(line.split(' ').map(OsString::from)), wanted, "{line}");
        }
    }
}
