//! A command line of a unit: its text, its words, and what they expand to.
//!
//! *Source*: man 5 `systemd.service`, "Command lines" and the table of executable prefixes; man 5 `systemd.unit`, "Specifiers".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::words::{Escapes, is_blank, next_word, split_words};

/// One `ExecStart=` that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecLine {
    /// What follows `ExecStart=`, as written; continued lines are one.
    pub text: String,
    /// The file that says it, as the node sees it.
    pub source: PathBuf,
}

/// One command of an [`ExecLine`], before variables are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The characters before the program: `@`, `-`, `:`, `+`, `!`.
    pub prefixes: String,
    pub program: String,
    /// Its arguments, without what `@` puts in the program's place.
    pub arguments: Vec<String>,
}

/// A word of a command, expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// The variable that it comes from, the first of several.
    pub variable: Option<String>,
}

impl ExecLine {
    /// Its commands, more than one where they are parted by `;`, up to the first that is no command, and why that is none.
    #[must_use]
    pub fn commands(&self) -> (Vec<Command>, Option<String>) {
        let problem = |why: String| Some(format!("ExecStart= in {}: {why}", self.source.display()));
        let mut commands = Vec::new();
        let mut rest = self.text.as_str();
        loop {
            match next_word(rest, Escapes::C) {
                Ok(None) => return (commands, None),
                Ok(Some((word, after))) => match command(&word, after) {
                    Ok((command, after)) => {
                        commands.push(command);
                        rest = after;
                    }
                    Err(why) => return (commands, problem(why)),
                },
                Err(why) => return (commands, problem(why)),
            }
        }
    }
}

/// A command whose first word is `word`; returns what follows its end.
fn command<'t>(word: &str, mut rest: &'t str) -> Result<(Command, &'t str), String> {
    let length = prefixes(word);
    let (prefixes, program) = word.split_at(length);
    if program.is_empty() || program.ends_with('/') || (program.contains('/') && !program.starts_with('/')) {
        return Err(format!("expected a program, by its absolute path or its name, found {word:?}"));
    }
    let mut arguments = Vec::new();
    loop {
        let ends = |text: &str| text.chars().next().is_none_or(is_blank);
        if let Some(after) = rest.strip_prefix(';').filter(|after| ends(after)) {
            rest = after;
            break;
        }
        if let Some(after) = rest.strip_prefix("\\;").filter(|after| ends(after)) {
            arguments.push(";".to_owned());
            rest = after.trim_start_matches(is_blank);
            continue;
        }
        let Some((word, after)) = next_word(rest, Escapes::C)? else {
            break;
        };
        arguments.push(word);
        rest = after;
    }
    if prefixes.contains('@') {
        if arguments.is_empty() {
            return Err("expected a name for the program behind `@`".into());
        }
        arguments.remove(0);
    }
    Ok((Command { prefixes: prefixes.into(), program: program.into(), arguments }, rest))
}

/// How many bytes of a first word are prefixes; each counts once, `!` twice.
fn prefixes(word: &str) -> usize {
    let mut prefix = String::new();
    for c in word.chars() {
        let most = match c {
            '@' | '-' | ':' | '+' | '|' => 1,
            '!' => 2,
            _ => break,
        };
        if prefix.matches(c).count() == most {
            break;
        }
        prefix.push(c);
    }
    prefix.len()
}

impl Command {
    /// Whether variables stay as they are written.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        self.prefixes.contains(':')
    }

    /// Program and arguments as they are started by the unit `unit` with `environment`.
    #[must_use]
    pub fn expand(&self, unit: &str, environment: &BTreeMap<String, String>) -> Vec<Word> {
        let plain = |text| Word { text, variable: None };
        let mut words = vec![plain(specify(&self.program, unit))];
        for argument in &self.arguments {
            let argument = specify(argument, unit);
            if self.is_verbatim() {
                words.push(plain(argument));
                continue;
            }
            match braced_variable(&argument) {
                // An unknown variable is no word at all.
                Some(name) => {
                    let value = environment.get(name).map(String::as_str).unwrap_or_default();
                    let parts = split_words(value, Escapes::Next).unwrap_or_default();
                    words.extend(parts.into_iter().map(|text| Word { text, variable: Some(name.into()) }));
                }
                None => words.push(expand_variables(&argument, environment)),
            }
        }
        words
    }

    /// The program's file name.
    #[must_use]
    pub fn name(&self) -> &str {
        Path::new(&self.program).file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// The variable's name, where a word is `$NAME` and nothing else.
pub(super) fn braced_variable(word: &str) -> Option<&str> {
    word.strip_prefix('$').filter(|name| !name.starts_with(['{', '$']))
}

/// A word with every `${NAME}` replaced, and `$$` by `$`; any other `$` stays.
fn expand_variables(word: &str, environment: &BTreeMap<String, String>) -> Word {
    let mut variable = None;
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(position) = rest.find('$') {
        text.push_str(&rest[..position]);
        let tail = &rest[position..];
        if let Some(after) = tail.strip_prefix("$$") {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = tail.strip_prefix("${").and_then(|tail| tail.split_once('}')) {
            text.push_str(environment.get(name).map(String::as_str).unwrap_or_default());
            variable.get_or_insert_with(|| name.to_owned());
            rest = after;
        } else {
            text.push('$');
            rest = &tail[1..];
        }
    }
    Word { text: text + rest, variable }
}

/// The specifiers that depend on the unit's name alone, or that are constants of the system manager; any other stays as it is,
/// for none of them says anything about a Node's labels and taints.
pub(super) fn specify(word: &str, unit: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(position) = rest.find('%') {
        text.push_str(&rest[..position]);
        let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
        let meaning = match rest[position + 1..].chars().next() {
            Some('%') => Some("%"),
            Some('n') => Some(unit),
            Some('N' | 'p') => Some(stem),
            Some('t') => Some("/run"),
            Some('S') => Some("/var/lib"),
            Some('C') => Some("/var/cache"),
            Some('L') => Some("/var/log"),
            Some('E') => Some("/etc"),
            Some('h') => Some("/root"),
            _ => None,
        };
        let length = if meaning.is_some() { 2 } else { 1 };
        text.push_str(meaning.unwrap_or("%"));
        rest = &rest[position + length..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> ExecLine {
        ExecLine { text: text.into(), source: "/u".into() }
    }

    fn expanded(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (commands, _) = line(text).commands();
        let words = commands[0].expand("kubelet.service", &environment);
        words.into_iter().map(|word| word.text).collect()
    }

    /// *Source*: the examples of man 5 `systemd.service`, "Command lines", and what systemd 252 was seen to do.
    #[test]
    fn variables_are_expanded_as_the_manual_says() {
        let variables = [("ONE", "one"), ("TWO", "two two"), ("THREE", ""), ("Q", r#"--a="b c" 'd e' f\ g"#)];
        for (text, words) in [
            ("/bin/echo $ONE $TWO ${TWO}", &["/bin/echo", "one", "two", "two", "two two"][..]),
            ("/bin/echo ${ONE} ${TWO} ${THREE}", &["/bin/echo", "one", "two two", ""]),
            ("/bin/echo $ONE $TWO $THREE", &["/bin/echo", "one", "two", "two"]),
            ("/x $NONE ${NONE} a${NONE}b", &["/x", "", "ab"]),
            ("/x --a=$ONE --a=${ONE}", &["/x", "--a=$ONE", "--a=one"]),
            ("/x $$ONE $${ONE} a$$b", &["/x", "$ONE", "${ONE}", "a$b"]),
            ("/x $Q", &["/x", "--a=b c", "d e", "f g"]),
            ("/x \"$Q\"", &["/x", "--a=b c", "d e", "f g"]),
            ("/x ${Q", &["/x", "${Q"]),
            ("/x $ONE$TWO", &["/x"]),
            (":/x $ONE ${ONE} $$", &["/x", "$ONE", "${ONE}", "$$"]),
            ("/x %% %n %p %t %Z a%", &["/x", "%", "kubelet.service", "kubelet", "/run", "%Z", "a%"]),
        ] {
            assert_eq!(expanded(text, &variables), words, "{text}");
        }
    }

    #[test]
    fn prefixes_and_several_commands() {
        for (text, output) in [
            ("-/x a", &["-|/x|a"][..]),
            ("@/x name a b", &["@|/x|a b"]),
            ("-@+/x name", &["-@+|/x|"]),
            ("!!/x", &["!!|/x|"]),
            ("/x a ; /y b", &["|/x|a", "|/y|b"]),
            (r"/x a \; b ;c", &["|/x|a ; b ;c"]),
            ("/x a ;", &["|/x|a"]),
        ] {
            let (commands, why) = line(text).commands();
            assert_eq!(why, None);
            let commands = commands.into_iter().map(|command| {
                format!("{}|{}|{}", command.prefixes, command.program, command.arguments.join(" "))
            });
            assert_eq!(commands.collect::<Vec<_>>(), output, "{text}");
        }
        for (text, good) in
            [("-", 0), ("@/x", 0), ("/x 'a", 0), ("/usr/bin/", 0), ("bin/x", 0), ("/x ; 'b", 1)]
        {
            let (commands, why) = line(text).commands();
            assert!(commands.len() == good && why.is_some(), "{text}: {commands:?}");
        }
    }
}
