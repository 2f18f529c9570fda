//! The environment of a unit's command: `Environment=` and the files of `EnvironmentFile=`.

use super::words::{Escapes, is_blank, split_words};

/// The valid assignments of one `Environment=` line.
///
/// *Source*: man 5 `systemd.exec`, "Environment=".
pub(super) fn assignments(value: &str) -> Vec<(String, String)> {
    let words = split_words(value, Escapes::C).unwrap_or_default();
    words
        .iter()
        .filter_map(|word| word.split_once('='))
        .filter(|(name, _)| is_name(name))
        .map(to_owned_pair)
        .collect()
}

/// The state of the parser within a file of `EnvironmentFile=`.
enum State {
    BeforeKey,
    Key,
    BeforeValue,
    Value,
    Escape,
    Single,
    Double,
    DoubleEscape,
    Comment,
    CommentEscape,
}

/// The valid assignments of a file of `EnvironmentFile=`, in their order.
///
/// Quotes count only where a value, or a part behind another quoted one, begins; `\` takes the next character as it is, within
/// double quotes only `"`, `\`, `` ` `` and `$`; a `\` at the end of a line joins it with the next. A comment that ends in `\`
/// ends there all the same, as from systemd 254 on.
///
/// *Source*: man 5 `systemd.exec`, "EnvironmentFile="; man 5 `os-release`.
// One state machine, read from top to bottom as systemd's own: pieces of it would pass the same five variables around.
pub(super) fn file(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let (mut key, mut value) = (String::new(), String::new());
    // Length of the value without the blanks that an unquoted part ends in.
    let mut valid = 0;
    let mut state = State::BeforeKey;
    for c in text.chars() {
        let newline = matches!(c, '\n' | '\r');
        state = match state {
            State::BeforeKey if matches!(c, '#' | ';') => State::Comment,
            State::BeforeKey if is_blank(c) => State::BeforeKey,
            State::BeforeKey => {
                key = c.to_string();
                (value, valid) = (String::new(), 0);
                State::Key
            }
            State::Key if newline => State::BeforeKey,
            State::Key if c == '=' => State::BeforeValue,
            State::Key => {
                key.push(c);
                State::Key
            }
            State::BeforeValue | State::Value if newline => {
                value.truncate(valid);
                take(&mut all, &key, &value);
                State::BeforeKey
            }
            State::BeforeValue | State::Value if c == '\\' => State::Escape,
            State::BeforeValue if c == '\'' => State::Single,
            State::BeforeValue if c == '"' => State::Double,
            State::BeforeValue if is_blank(c) => State::BeforeValue,
            State::BeforeValue | State::Value => {
                value.push(c);
                if !is_blank(c) {
                    valid = value.len();
                }
                State::Value
            }
            State::Escape => {
                if !newline {
                    value.push(c);
                }
                valid = value.len();
                State::Value
            }
            State::Single if c == '\'' => State::BeforeValue,
            State::Double if c == '"' => State::BeforeValue,
            State::Double if c == '\\' => State::DoubleEscape,
            State::Single => {
                value.push(c);
                valid = value.len();
                State::Single
            }
            State::Double => {
                value.push(c);
                valid = value.len();
                State::Double
            }
            State::DoubleEscape => {
                if !matches!(c, '"' | '\\' | '`' | '$' | '\n') {
                    value.push('\\');
                }
                if c != '\n' {
                    value.push(c);
                }
                valid = value.len();
                State::Double
            }
            State::Comment | State::CommentEscape if newline => State::BeforeKey,
            State::Comment if c == '\\' => State::CommentEscape,
            State::Comment | State::CommentEscape => State::Comment,
        };
    }
    match state {
        State::BeforeKey | State::Key | State::Comment | State::CommentEscape => {}
        State::BeforeValue | State::Value | State::Escape => {
            value.truncate(valid);
            take(&mut all, &key, &value);
        }
        State::Single | State::Double | State::DoubleEscape => take(&mut all, &key, &value),
    }
    all
}

fn take(all: &mut Vec<(String, String)>, key: &str, value: &str) {
    let key = key.trim_end();
    if is_name(key) {
        all.push(to_owned_pair((key, value)));
    }
}

fn to_owned_pair((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Whether systemd takes this for a variable's name.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: Vec<(String, String)>) -> Vec<String> {
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn a_line_of_assignments() {
        let value = r#""ONE=a b" TWO='c d' THREE=$x%y 4=no five FIVE="#;
        assert_eq!(names(assignments(value)), ["ONE=a b", "TWO=c d", "THREE=$x%y", "FIVE="]);
    }

    #[test]
    fn a_file_of_assignments() {
        for (text, pairs) in [
            ("A=b\nC = d e \n", &["A=b", "C=d e"][..]),
            ("# A=no\n; B=no\n  C=yes", &["C=yes"]),
            ("A=\"b c\" d\nE='f\\n'\n", &["A=b cd", "E=f\\n"]),
            ("A=b\"c\"\n", &["A=b\"c\""]),
            (r#"A="a\"b\$c\d""#, &[r#"A=a"b$c\d"#]),
            ("A=a\\\n  b\\ \nB=1", &["A=a  b ", "B=1"]),
            ("A=\"x\ny\"\nB=1", &["A=x\ny", "B=1"]),
            ("A=\"x\\\ny\"", &["A=xy"]),
            ("export A=b\n1A=b\nA B=c\n=x\n", &[]),
            ("A=\nB", &["A="]),
            ("# ends in \\\nA=b", &["A=b"]),
            ("A=--taints=k=v:NoSchedule --x=\"y\"", &["A=--taints=k=v:NoSchedule --x=\"y\""]),
            ("A='unclosed b", &["A=unclosed b"]),
        ] {
            assert_eq!(names(file(text)), pairs, "{text}");
        }
    }
}
