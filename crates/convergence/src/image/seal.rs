//! The fate of each finding in a golden image.
//!
//! While a person has to decide about anything, nothing at all is removed: an image that is refused is looked at, and what lies around in it
//! tells how it came about.
//!
//! | found | named by `--allow` | what happens |
//! |---|---|---|
//! | anything | yes | kept, with the reason that was given |
//! | what can be removed | no | removed, unless something is refused |
//! | what a person has to judge | no | refused, and nothing is removed |

pub mod allow;
pub mod finding;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::change::{Act, Change};
use crate::image::seal::allow::Allow;
use crate::image::seal::finding::{Remedy, SealFinding};

#[derive(Debug)]
pub struct SealFacts {
    /// Everything that must not be in an image, allowed or not; each thing once.
    pub findings: Vec<SealFinding>,
    /// What may stay.
    pub allow: Allow,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

/// Something that a person has to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// What it is about, as the node sees it: a path, or a unit.
    pub path: String,
    /// What it is, and what it would do in an image.
    pub why: String,
    /// What to do.
    pub fix: String,
}

/// What `seal` does, or why it does nothing.
#[derive(Debug)]
pub struct SealDecision {
    /// In order.
    pub changes: Vec<Change>,
    /// What a person has to decide.
    pub findings: Vec<Finding>,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

/// Decides what `seal` keeps, removes and refuses.
#[must_use]
pub fn decide(facts: SealFacts) -> SealDecision {
    let SealFacts { findings, allow, mut notes } = facts;
    let mut used = BTreeSet::new();
    let mut decision = SealDecision { changes: Vec::new(), findings: Vec::new(), notes: Vec::new() };
    for SealFinding { what, fate, why } in findings {
        let target = what.display().to_string();
        match (allow.find(&what), fate) {
            (Some(index), _) => {
                used.insert(index);
                decision.changes.push(Change::new(
                    Act::Keep,
                    target,
                    format!("allowed by {}; {why}", allow.describe(index)),
                ));
            }
            (None, Remedy::Change(act)) => decision.changes.push(Change::new(act, target, why)),
            (None, Remedy::Refuse(fix)) => {
                decision.findings.push(Finding { path: target, why, fix });
            }
        }
    }
    let unused = (0..allow.len()).filter(|index| !used.contains(index));
    notes.extend(unused.map(|index| format!("nothing had to be allowed by {}", allow.describe(index))));
    if decision.findings.is_empty() && decision.changes.iter().all(|change| matches!(change.act, Act::Keep)) {
        notes.push("nothing is in the way of an image".into());
    }
    decision.notes = notes;
    decision
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::allow::Allow;
    use super::*;

    fn removed(path: &str) -> SealFinding {
        let fate =
            Remedy::Change(Act::Remove { path: PathBuf::from("/root").join(&path[1..]), nudge: false });
        SealFinding { what: path.into(), fate, why: "why".into() }
    }

    fn decided(findings: Vec<SealFinding>, allowed: &[&str]) -> SealDecision {
        let mut allow = Allow::default();
        for pattern in allowed {
            allow.add(pattern, "--allow").expect("fine");
        }
        decide(SealFacts { findings, allow, notes: vec!["first".into()] })
    }

    fn lines(decision: &SealDecision) -> Vec<String> {
        decision.changes.iter().map(|change| format!("{} {}", change.act.word(), change.target)).collect()
    }

    #[test]
    fn what_is_allowed_is_kept_whatever_it_is() {
        let all_findings = || {
            vec![
                removed("/a/x"),
                SealFinding::new_refusal("/b", "why", "fix"),
                SealFinding::new_refusal("/c", "why", "fix"),
            ]
        };
        for (allowed, changes, findings) in [
            (&[][..], &["remove /a/x"][..], &["/b", "/c"][..]),
            (&["/c"], &["remove /a/x", "keep /c"], &["/b"]),
            (&["/a"], &["keep /a/x"], &["/b", "/c"]),
            (&["/a", "/*"], &["keep /a/x", "keep /b", "keep /c"], &[]),
        ] {
            let decision = decided(all_findings(), allowed);
            let paths: Vec<_> = decision.findings.iter().map(|finding| finding.path.as_str()).collect();
            assert_eq!(
                (lines(&decision).join(", "), paths.join(", ")),
                (changes.join(", "), findings.join(", "))
            );
        }
    }

    #[test]
    fn an_entry_that_nothing_needs_is_named_and_so_is_a_clean_tree() {
        let clean = "nothing is in the way of an image";
        for (findings, allowed, notes) in [
            (vec![], &[][..], &["first", clean][..]),
            (vec![], &["/a"], &["first", "nothing had to be allowed by /a (--allow)", clean]),
            (vec![removed("/a/x")], &["/a"], &["first", clean]),
            (vec![removed("/a/x")], &[], &["first"]),
            (vec![SealFinding::new_refusal("/b", "why", "fix")], &[], &["first"]),
        ] {
            assert_eq!(decided(findings, allowed).notes, notes, "{allowed:?}");
        }
    }
}
