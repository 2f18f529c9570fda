//! What the parser of the command line says.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use types::problem::Problem;

use super::{Page, complain, document, refusal};
use crate::cli::exit::Exit;

/// Prints what the parser says: help and version as they are, and a complaint, which quotes the arguments, as safely as everything else.
/// The parser has not come to `--output` then, so the arguments themselves say whether a document is wanted.
pub fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader that went away (`| head`) is no failure.
        let _ = error.print();
        return Exit::Done;
    }
    if wants_document(std::env::args_os().skip(1)) {
        document(&refusal(vec![problem(error)]));
    } else {
        let mut page = Page::new();
        page.text(&error.render().to_string());
        complain(&page);
    }
    Exit::Usage
}

/// Whether these arguments ask for a JSON document.
fn wants_document(arguments: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<String> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let pairs =
        words.windows(2).any(|pair| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == "json");
    pairs || words.iter().any(|word| matches!(word.as_str(), "-ojson" | "-o=json" | "--output=json"))
}

fn problem(error: &clap::Error) -> Problem {
    let text = error.render().to_string();
    let what = text.lines().next().unwrap_or_default();
    let named = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].into_iter().find_map(|kind| {
        match error.get(kind)? {
            ContextValue::String(name) => Some(name.clone()),
            ContextValue::Strings(names) => names.first().cloned(),
            _ => None,
        }
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
    fn the_arguments_say_whether_a_document_is_wanted() {
        for (line, wanted) in [
            ("status -o json", true),
            ("status -ojson", true),
            ("--output json status", true),
            ("status --output=json --sideways", true),
            ("status -o human", false),
            ("status json", false),
            ("", false),
        ] {
            assert_eq!(wants_document(line.split(' ').map(OsString::from)), wanted, "{line}");
        }
    }
}
