//! The words of a line, by systemd's rules.
//!
//! *Source*: man 7 `systemd.syntax`, "Quoting"; man 5 `systemd.service`, "Command lines".

/// What a backslash does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// C's escapes; an unknown one stays as it is. For `ExecStart=` and `Environment=`.
    C,
    /// The next character is taken as it is, and an open quote ends with the text. For the value of a `$VARIABLE`.
    Next,
}

/// Cuts `text` at blanks; quotes hold a word together and are removed.
///
/// # Errors
/// A quote that is not closed, unless that is allowed.
pub(super) fn split_words(text: &str, escapes: Escapes) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((word, after)) = next_word(rest, escapes)? {
        words.push(word);
        rest = after;
    }
    Ok(words)
}

/// The first word of `text`, and what follows it and the blanks behind it.
///
/// # Errors
/// A quote that is not closed, unless that is allowed.
pub(super) fn next_word(text: &str, escapes: Escapes) -> Result<Option<(String, &str)>, String> {
    let text = text.trim_start_matches(is_blank);
    if text.is_empty() {
        return Ok(None);
    }
    let mut word = Vec::new();
    let mut quote = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match (c, quote) {
            ('\\', _) => rest = unescape(rest, escapes, &mut word)?,
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if is_blank(c) => {
                return Ok(Some((to_text_lossy(word), rest.trim_start_matches(is_blank))));
            }
            (c, _) => push(&mut word, c),
        }
    }
    match quote {
        Some(open) if escapes == Escapes::C => Err(format!("a {open} is not closed in: {text}")),
        _ => Ok(Some((to_text_lossy(word), ""))),
    }
}

/// systemd's white space.
pub(super) const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// What follows a backslash; returns what is left.
fn unescape<'t>(rest: &'t str, escapes: Escapes, word: &mut Vec<u8>) -> Result<&'t str, String> {
    let Some(c) = rest.chars().next() else {
        if escapes == Escapes::C {
            word.push(b'\\');
        }
        return Ok("");
    };
    let after = &rest[c.len_utf8()..];
    if escapes == Escapes::Next {
        push(word, c);
        return Ok(after);
    }
    let simple = match c {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        's' => Some(b' '),
        '\\' | '"' | '\'' => u8::try_from(c).ok(),
        _ => None,
    };
    if let Some(byte) = simple {
        word.push(byte);
        return Ok(after);
    }
    let number = |digits: &'t str, count: usize, radix: u32| {
        let digits = digits.get(..count)?;
        let all = digits.chars().all(|digit| digit.is_digit(radix));
        u32::from_str_radix(digits, radix).ok().filter(|number| all && *number != 0)
    };
    let byte = match c {
        'x' => number(after, 2, 16).map(|value| (value, 2)),
        '0'..='7' => number(rest, 3, 8).map(|value| (value, 2)),
        _ => None,
    };
    if let Some((value, length)) = byte.and_then(|(value, length)| Some((u8::try_from(value).ok()?, length)))
    {
        word.push(value);
        return Ok(&after[length..]);
    }
    let letter = match c {
        'u' => number(after, 4, 16).and_then(char::from_u32).map(|letter| (letter, 4)),
        'U' => number(after, 8, 16).and_then(char::from_u32).map(|letter| (letter, 8)),
        _ => None,
    };
    if let Some((letter, length)) = letter {
        push(word, letter);
        return Ok(&after[length..]);
    }
    word.push(b'\\');
    push(word, c);
    Ok(after)
}

fn push(word: &mut Vec<u8>, c: char) {
    word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn to_text_lossy(word: Vec<u8>) -> String {
    String::from_utf8(word).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line() {
        for (text, words) in [
            ("", &[][..]),
            ("  a\tb  ", &["a", "b"]),
            (r#""a b" 'c d'"#, &["a b", "c d"]),
            (r#"--x="a b"c"#, &["--x=a bc"]),
            (r#""" ''"#, &["", ""]),
            (r"a\sb \x41\101 \u00e4 \\ \'", &["a b", "AA", "ä", "\\", "'"]),
            (r"\q \x4 \x00", &[r"\q", r"\x4", r"\x00"]),
            (r#"'a\'b' "c\"d""#, &["a'b", "c\"d"]),
            ("a\\", &["a\\"]),
        ] {
            assert_eq!(
                split_words(text, Escapes::C).as_deref(),
                Ok(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
        assert!(split_words("'a b", Escapes::C).is_err());
    }

    #[test]
    fn words_of_a_variable() {
        for (text, words) in [
            (r#"--a=b "c d" 'e'f"#, &["--a=b", "c d", "ef"][..]),
            (r"a\ b \n", &["a b", "n"]),
            ("'a b", &["a b"]),
            ("a\\", &["a"]),
            ("", &[]),
        ] {
            assert_eq!(
                split_words(text, Escapes::Next).as_deref(),
                Ok(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }
}
