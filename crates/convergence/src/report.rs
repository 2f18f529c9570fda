//! The report of a command, and text for the terminal: control characters from elsewhere are escaped.
//!
//! Names of files, pods, networks and units come from others, and so do errors that quote them. In them a control character could
//! move the cursor, hide or repaint a line, or answer for the person at the keyboard (ECMA-48; the C1 set counts, too, for
//! terminals obey it in UTF-8), and a change of direction could make a line read as another one (Unicode TR 36, 3.2). All of these
//! are shown by their number instead. Only what a command itself ends a line with ends one.

use std::fmt::{self, Write as _};

use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::text::escape::escape;

pub use types::text::escape::{json, line};

/// What a command found or did.
pub trait Report: Serialize {
    /// Lines for people.
    fn human(&self) -> Page;

    /// The exit status.
    fn exit(&self) -> Exit {
        Exit::Done
    }

    /// What is not as it should be. Where the exit status is not 0 and the report names nothing here, its own lines are the reason.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
}

/// Lines for people; every one of them is safe to print.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page(String);

impl Page {
    /// Without a line.
    #[must_use]
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// For `writeln!` and `write!`, one line each: of the line breaks in it only the one at its end is one.
    ///
    /// # Errors
    /// None, if none of what is formatted has one.
    pub fn write_fmt(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        let mut text = String::new();
        text.write_fmt(line)?;
        match text.strip_suffix('\n') {
            Some(line) => {
                self.0.push_str(&escape(line, |_| false));
                self.0.push('\n');
            }
            None => self.0.push_str(&escape(&text, |_| false)),
        }
        Ok(())
    }

    /// Adds a text of several lines that is shown as it was written: a file, or a page made before.
    pub fn text(&mut self, text: &str) {
        self.0.push_str(&escape(text, |c| matches!(c, '\n' | '\t')));
    }

    /// Adds problems, each with the next step.
    pub fn problems(&mut self, problems: &[Problem]) {
        for problem in problems {
            let _ = writeln!(self, "problem: {}", problem.what);
            let _ = writeln!(self, "  fix: {}", problem.fix);
        }
    }

    /// What was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_by_its_number() {
        for (name, expected) in [
            ("web-1", "web-1"),
            ("größe 網 🙂 \\", "größe 網 🙂 \\"),
            ("\u{1b}]0;x\u{7}", r"\u{1b}]0;x\u{7}"),
            ("a\nb\r\tc", r"a\nb\r\tc"),
            ("\u{7f}\u{9b}2J\u{85}", r"\u{7f}\u{9b}2J\u{85}"),
            ("\u{202e}txt.exe\u{2066}\u{2069}", r"\u{202e}txt.exe\u{2066}\u{2069}"),
            ("a\u{2028}b\u{2029}\u{feff}\u{200b}\u{e0041}", r"a\u{2028}b\u{2029}\u{feff}\u{200b}\u{e0041}"),
        ] {
            let mut page = Page::new();
            writeln!(page, "name {name}").expect("written");
            assert_eq!(page.as_str(), format!("name {expected}\n"));
            // What was shown once is not shown anew.
            let mut second = Page::new();
            second.text(page.as_str());
            assert_eq!(second, page);
        }
    }

    #[test]
    fn a_text_keeps_its_lines_and_nothing_else() {
        let mut page = Page::new();
        assert!(page.is_empty());
        page.text("{\n\t\"a\": \"\u{1b}[2J\u{9b}\"\n}\n");
        assert_eq!(page.as_str(), "{\n\t\"a\": \"\\u{1b}[2J\\u{9b}\"\n}\n");
    }
}
