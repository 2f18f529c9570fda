//! The verdict of a rule on one file.

use convergence::image::seal::finding::SealFinding;

use super::rules::{ContentFilter, Rule, Verdict};
use super::tree::{Item, ItemKind};
use super::{credential, secret};
use crate::image::seal::finding;

impl Rule {
    /// What it says of a thing; none where it is not about it.
    pub(crate) fn judge(&self, item: &Item) -> Option<SealFinding> {
        let content = || item.read().map_err(|error| unreadable(item, &error.to_string()));
        let is_file = item.kind == ItemKind::File;
        let mut why = self.why.to_owned();
        match self.only {
            ContentFilter::Any => {}
            ContentFilter::Files if is_file => {}
            ContentFilter::Holding(words) if is_file => match content() {
                Err(seal_finding) => return Some(seal_finding),
                Ok(bytes) => why = format!("{why} ({})", holds(&bytes, words)?),
            },
            ContentFilter::Other(fine) if is_file => match content() {
                Err(seal_finding) => return Some(seal_finding),
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    if fine.contains(&text.trim()) {
                        return None;
                    }
                }
            },
            // What is no file there is not what it should be.
            ContentFilter::Other(_) => {}
            ContentFilter::Credentials | ContentFilter::Secrets if is_file => match content() {
                Err(seal_finding) => return Some(seal_finding),
                Ok(bytes) => {
                    let find =
                        if self.only == ContentFilter::Secrets { secret::find } else { credential::find };
                    let seal_finding = find(&bytes);
                    if seal_finding.is_empty() {
                        return None;
                    }
                    why = format!("{why} ({})", seal_finding.join(", "));
                }
            },
            ContentFilter::Files
            | ContentFilter::Holding(_)
            | ContentFilter::Credentials
            | ContentFilter::Secrets => return None,
        }
        Some(match self.verdict {
            Verdict::Remove => finding::removed(item, &why),
            Verdict::Empty => finding::emptied(item, &why),
            Verdict::Refuse { fix } => SealFinding::new_refusal(&item.path, why, fix),
        })
    }
}

fn unreadable(item: &Item, why: &str) -> SealFinding {
    SealFinding::new_refusal(&item.path, format!("it cannot be looked into: {why}"), "remove it, or allow it")
}

/// The first of some words that a text has outside of its comments.
fn holds(bytes: &[u8], words: &'static [&'static str]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes);
    let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
    words.iter().find(|word| lines().any(|line| line.contains(**word))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_outside_of_comments() {
        let words: &[&str] = &["KUBE-", "cali-"];
        for (text, word) in [
            (":KUBE-SERVICES - [0:0]\n", Some("KUBE-")),
            ("x\n  -A FORWARD -j cali-FORWARD\n", Some("cali-")),
            ("# KUBE-SERVICES\n  # cali-\n", None),
            ("*filter\nCOMMIT\n", None),
        ] {
            assert_eq!(holds(text.as_bytes(), words), word, "{text}");
        }
    }
}
