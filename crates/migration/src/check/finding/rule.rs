//! Rules: what the findings of a code have in common. Each stands beside the check that finds it, and no other place says what its code means.

use serde::{Serialize, Serializer};
use types::text::nearest::find_nearest;

use super::Severity;
use crate::check::rules;

/// What it means that something is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Names the findings, for waivers and documentation: `cidr-overlap-services`. It never changes its meaning.
    pub code: &'static str,
    /// How bad they are, unless the cluster makes one of them better or worse.
    pub severity: Severity,
    /// What is found, in one sentence. Paragraphs that follow are for the documentation alone.
    pub what: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// How to remove it, in general: a finding names the cluster's objects.
    pub fix: &'static str,
}

impl Rule {
    pub(crate) const fn blocks(
        code: &'static str,
        what: &'static str,
        why: &'static str,
        fix: &'static str,
    ) -> Self {
        Self { code, severity: Severity::Blocks, what, why, fix }
    }

    pub(crate) const fn risk(
        code: &'static str,
        what: &'static str,
        why: &'static str,
        fix: &'static str,
    ) -> Self {
        Self { severity: Severity::Risk, ..Self::blocks(code, what, why, fix) }
    }

    pub(crate) const fn note(
        code: &'static str,
        what: &'static str,
        why: &'static str,
        fix: &'static str,
    ) -> Self {
        Self { severity: Severity::Note, ..Self::blocks(code, what, why, fix) }
    }

    /// What is found, and the paragraphs that follow.
    pub(super) fn paragraphs(&self) -> (&'static str, &'static str) {
        self.what.split_once("\n\n").unwrap_or((self.what, ""))
    }

    /// The rule of a code.
    ///
    /// # Errors
    /// No finding has this code; the text names the nearest one.
    pub fn find(code: &str) -> Result<&'static Self, String> {
        let all = rules();
        all.iter().find(|rule| rule.code == code).copied().ok_or_else(|| {
            let codes: Vec<&str> = all.iter().map(|rule| rule.code).collect();
            let near = find_nearest(code, &codes).map(|near| format!("did you mean {near}?"));
            format!(
                "no finding has the code {code:?}; {}",
                near.unwrap_or_else(
                    || "check prints the code of each finding, and docs/check.md lists all".into()
                )
            )
        })
    }
}

/// A finding names its rule by the code.
impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

/// What a finding's code means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The code.
    pub code: &'static str,
    /// What is found.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// How to remove it, in general: a finding names the cluster's objects.
    pub fix: &'static str,
}

impl From<&Rule> for Explanation {
    fn from(rule: &Rule) -> Self {
        let Rule { code, severity, why, fix, .. } = *rule;
        let (sentence, rest) = rule.paragraphs();
        let what = format!("{sentence} Severity: {severity}.\n\n{rest}").trim_end().to_owned();
        Self { code, what, why, fix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_has_the_severity_after_its_first_sentence() {
        let explained = |what| Explanation::from(&Rule::risk("x", what, "why", "fix")).what;
        assert_eq!(explained("It is bad."), "It is bad. Severity: risk.");
        assert_eq!(
            explained("It is bad.\n\nHere.\n\nThere."),
            "It is bad. Severity: risk.\n\nHere.\n\nThere."
        );
    }

    #[test]
    fn a_code_that_nothing_has_leads_to_the_nearest() {
        let refused = |code: &str| Rule::find(code).expect_err("no such code");
        assert_eq!(
            refused("cidr-to-small"),
            r#"no finding has the code "cidr-to-small"; did you mean cidr-too-small?"#
        );
        assert!(refused("x").contains("docs/check.md"), "{}", refused("x"));
        assert_eq!(Rule::find("cidr-too-small").map(|rule| rule.code), Ok("cidr-too-small"));
    }
}
