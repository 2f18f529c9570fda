//! The exceptions: files that may stay in an image.

use std::path::{Component, Path};

use crate::node::glob::matches;

/// Paths that may stay, and what lies below them.
#[derive(Debug, Clone, Default)]
pub struct Allow(Vec<AllowedEntry>);

#[derive(Debug, Clone)]
struct AllowedEntry {
    pattern: String,
    from: String,
}

impl Allow {
    /// Adds a path; `from` is who names it.
    ///
    /// # Errors
    /// It is not absolute, or not simple.
    pub fn add(&mut self, pattern: &str, from: &str) -> Result<(), String> {
        let simple = |part| matches!(part, Component::RootDir | Component::Normal(_));
        let path = Path::new(pattern);
        if !path.is_absolute() || path.parent().is_none() || !path.components().all(simple) {
            return Err(format!(
                "{from}: expected an absolute path without `..`, with `*` for what is between two slashes, found {pattern:?}"
            ));
        }
        self.0.push(AllowedEntry { pattern: pattern.into(), from: from.into() });
        Ok(())
    }

    /// Adds the lines of a list; what follows a `#` that begins a line or follows a blank is a comment.
    ///
    /// # Errors
    /// The first line that is no path, with its number.
    pub fn add_lines(&mut self, text: &str, from: &str) -> Result<(), String> {
        for (index, line) in text.lines().enumerate() {
            let end = line.find(" #").or_else(|| line.find("\t#")).unwrap_or(line.len());
            let line = line[..end].trim();
            if !line.is_empty() && !line.starts_with('#') {
                self.add(line, &format!("{from}, line {}", index + 1))?;
            }
        }
        Ok(())
    }

    /// Which entry lets `path` stay: one that matches it, or a directory above it.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<usize> {
        self.0.iter().position(|entry| fits(&entry.pattern, path) == Some(PatternMatch::Whole))
    }

    /// Whether an entry may match something below `path`.
    #[must_use]
    pub fn reaches_below(&self, path: &Path) -> bool {
        self.0.iter().any(|entry| fits(&entry.pattern, path) == Some(PatternMatch::Above))
    }

    /// How an entry is spelled, and who named it.
    #[must_use]
    pub fn describe(&self, index: usize) -> String {
        self.0.get(index).map_or_else(String::new, |entry| format!("{} ({})", entry.pattern, entry.from))
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum PatternMatch {
    /// The pattern names the path, or a directory above it.
    Whole,
    /// The pattern goes on below the path.
    Above,
}

fn fits(pattern: &str, path: &Path) -> Option<PatternMatch> {
    let mut parts = Path::new(pattern).components();
    for part in path.components() {
        match parts.next() {
            None => return Some(PatternMatch::Whole),
            Some(pattern_part) => {
                let (pattern_part, part) =
                    (pattern_part.as_os_str().to_string_lossy(), part.as_os_str().to_string_lossy());
                if !matches(&pattern_part, &part) {
                    return None;
                }
            }
        }
    }
    Some(if parts.next().is_none() { PatternMatch::Whole } else { PatternMatch::Above })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_covers_what_is_below_it_and_a_star_one_name() {
        let mut allow = Allow::default();
        for pattern in ["/a/b", "/c/*/d", "/e/*.conf", "/f/"] {
            allow.add(pattern, "--allow").expect("fine");
        }
        for (path, entry, below) in [
            ("/a", None, true),
            ("/a/b", Some(0), false),
            ("/a/b/c/d", Some(0), false),
            ("/a/bc", None, false),
            ("/c/x", None, true),
            ("/c/x/d", Some(1), false),
            ("/c/x/y/d", None, false),
            ("/e/10-x.conf", Some(2), false),
            ("/e/10-x.conflist", None, false),
            ("/f", Some(3), false),
            ("/f/x", Some(3), false),
        ] {
            assert_eq!(
                (allow.find(Path::new(path)), allow.reaches_below(Path::new(path))),
                (entry, below),
                "{path}"
            );
        }
    }

    #[test]
    fn a_list_has_comments_and_names_the_line_that_is_wrong() {
        let mut allow = Allow::default();
        let text = "# why\n\n/a  # the provider's\n  /b#c\n";
        allow.add_lines(text, "/etc/crossfade/seal.allow").expect("fine");
        let texts: Vec<_> = (0..allow.len()).map(|index| allow.describe(index)).collect();
        assert_eq!(
            texts,
            ["/a (/etc/crossfade/seal.allow, line 3)", "/b#c (/etc/crossfade/seal.allow, line 4)"]
        );
        for (text, line) in [("relative", 1), ("/a\n/a/../b", 2), ("/", 1)] {
            let why = Allow::default().add_lines(text, "list").expect_err("wrong");
            assert!(why.starts_with(&format!("list, line {line}: expected an absolute path")), "{why}");
        }
    }
}
