//! The comparison of an output with the one that a page prints.

use anyhow::{Context, Result};

use super::Names;

/// Any text, or any lines.
const ANY: &str = "..";

/// A command with the values of its names.
///
/// # Errors
/// A name has no value yet.
pub(super) fn named(command: &str, names: &Names) -> Result<String> {
    let mut line = command.to_owned();
    for (name, value) in names {
        if line.contains(name) {
            let value = value.as_deref().with_context(|| format!("no output has shown {name}"))?;
            line = line.replace(name, value);
        }
    }
    Ok(line)
}

/// The names with what the output says of them, if it is the expected one.
pub(super) fn output(expected: &[String], message: &str, names: &Names) -> Option<Names> {
    let tidy = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected: Vec<String> = expected.iter().map(|line| tidy(line)).collect();
    let message: Vec<String> = message.lines().map(tidy).collect();
    lines(&expected, &message, names)
}

fn lines(expected: &[String], message: &[String], names: &Names) -> Option<Names> {
    let Some((first, rest)) = expected.split_first() else {
        return message.is_empty().then(|| names.clone());
    };
    if first == ANY {
        return (0..=message.len()).find_map(|skipped| lines(rest, &message[skipped..], names));
    }
    let (line, after) = message.split_first()?;
    lines(rest, after, &text(first, line, names)?)
}

fn text(expected: &str, message: &str, names: &Names) -> Option<Names> {
    if let Some(rest) = expected.strip_prefix(ANY) {
        let mut ends = message.char_indices().map(|(end_index, _)| end_index).chain([message.len()]);
        return ends.find_map(|end_index| text(rest, &message[end_index..], names));
    }
    let name = names.iter().find_map(|(name, value)| Some((*name, value, expected.strip_prefix(name)?)));
    match name {
        Some((_, Some(value), rest)) => text(rest, message.strip_prefix(value.as_str())?, names),
        Some((name, None, rest)) => {
            let end = message.find(char::is_whitespace).unwrap_or(message.len());
            let ends = message.char_indices().map(|(end_index, _)| end_index).chain([message.len()]);
            let mut longest: Vec<usize> = ends.filter(|end_index| (1..=end).contains(end_index)).collect();
            longest.reverse();
            longest.into_iter().find_map(|end_index| {
                let mut known = names.clone();
                known.insert(name, Some(message[..end_index].to_owned()));
                text(rest, &message[end_index..], &known)
            })
        }
        None => match (expected.chars().next(), message.chars().next()) {
            (None, None) => Some(names.clone()),
            (Some(first), Some(second)) if first == second => {
                text(&expected[first.len_utf8()..], &message[second.len_utf8()..], names)
            }
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(expected: &str, message: &str) -> Option<Names> {
        let expected: Vec<String> = expected.lines().map(str::to_owned).collect();
        output(&expected, message, &Names::from([("HASH", None), ("NODE", Some("n1".into()))]))
    }

    #[test]
    fn two_dots_stand_for_text_or_lines_and_blanks_for_one() {
        for (expected, message) in [
            ("one  two", "one two\n"),
            ("pod web-.. goes", "pod web-5-x goes"),
            ("one\n..\nfour", "one\nfour"),
            ("one\n..\nfour", "one\ntwo\nthree\nfour"),
            ("..", ""),
        ] {
            assert!(fits(expected, message).is_some(), "{expected:?} {message:?}");
        }
        for (expected, message) in [
            ("one two", "one  tow"),
            ("pod web-.. goes", "pod web-5 stays"),
            ("one\n..\nfour", "one\nfour\nfive"),
            ("", "one"),
            ("one", ""),
        ] {
            assert!(fits(expected, message).is_none(), "{expected:?} {message:?}");
        }
    }

    #[test]
    fn a_name_is_what_it_was_at_first() {
        let names = fits("hash: HASH\nroll --plan HASH on NODE", "hash: 4be1\nroll --plan 4be1 on n1")
            .expect("it fits");
        assert_eq!(names["HASH"].as_deref(), Some("4be1"));
        assert_eq!(named("roll HASH NODE", &names).expect("values"), "roll 4be1 n1");
        assert!(fits("hash: HASH\nroll --plan HASH", "hash: 4be1\nroll --plan 4be2").is_none());
        assert!(fits("on NODE", "on n2").is_none());
        assert!(named("roll HASH", &Names::from([("HASH", None)])).is_err());
    }
}
