//! Usage errors of a command line, for programs that answer with documents.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};

use crate::problem::Problem;

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
        .at(named.unwrap_or_else(|| "the command line".into()))
        .fix(tip.unwrap_or_else(|| "correct the argument; --help lists what the command accepts".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_say_which_format_is_wanted() {
        for (line, wanted) in [
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
            assert_eq!(format(words, &["json", "yaml"]), wanted, "{line}");
        }
        assert_eq!(format(["-o", "yaml"].into_iter().map(OsString::from), &["json"]), None);
    }
}
