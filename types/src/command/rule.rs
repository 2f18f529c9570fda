//! Rules: what the findings of a code have in common. Each stands beside what finds it, and no other place says what its code means.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use crate::command::problem::Problem;
use crate::text::nearest::find_nearest;

/// What it means that something is found. A program says with `G` how it grades its findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule<G> {
    /// Names the findings, for waivers and documentation: `cidr-overlap-services`. It never changes its meaning.
    pub code: &'static str,
    /// How bad they are, unless what is found makes one of them better or worse.
    pub grade: G,
    /// What is found, in one sentence. Paragraphs that follow are for the documentation alone.
    pub what: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// How to remove it, in general: a finding names the objects.
    pub fix: &'static str,
}

impl<G> Rule<G> {
    /// What is found, and the paragraphs that follow.
    #[must_use]
    pub fn paragraphs(&self) -> (&'static str, &'static str) {
        self.what.split_once("\n\n").unwrap_or((self.what, ""))
    }
}

/// A finding names its rule by the code.
impl<G> Serialize for Rule<G> {
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

impl<G: Display> From<&Rule<G>> for Explanation {
    fn from(rule: &Rule<G>) -> Self {
        let Rule { code, grade, why, fix, .. } = rule;
        let (sentence, rest) = rule.paragraphs();
        let what = format!("{sentence} Severity: {grade}.\n\n{rest}").trim_end().to_owned();
        Self { code, what, why, fix }
    }
}

/// A text of a rule for a terminal: of each link, its words and the page that it leads to.
#[must_use]
pub fn without_links(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, link)) = rest.split_once("](")
        && let Some((before, words)) = before.rsplit_once('[')
        && let Some((target, after)) = link.split_once(')')
    {
        plain += before;
        plain += words;
        if !target.starts_with('#') {
            plain += &format!(" (docs/{target})");
        }
        rest = after;
    }
    plain + rest
}

/// The rules of a command, and its parser of their codes, which offers all of them to shells that complete one.
#[derive(Debug, Clone, Copy)]
pub struct Catalog<G: 'static> {
    /// All of them, each with a code of its own.
    pub rules: fn() -> Vec<&'static Rule<G>>,
    /// The command that finds: `check`.
    pub command: &'static str,
    /// The page that lists the codes: `docs/check.md`.
    pub page: &'static str,
}

impl<G> Catalog<G> {
    /// The rule of a code.
    ///
    /// # Errors
    /// No finding has this code; the fix names the nearest one.
    pub fn find(&self, code: &str) -> Result<&'static Rule<G>, Problem> {
        let rules = (self.rules)();
        rules.iter().find(|rule| rule.code == code).copied().ok_or_else(|| {
            let codes: Vec<&str> = rules.iter().map(|rule| rule.code).collect();
            let fix = find_nearest(code, &codes).map_or_else(
                || format!("{} prints the code of each finding, and {} lists all", self.command, self.page),
                |nearest| format!("did you mean {nearest}?"),
            );
            Problem::new(format!("no finding has the code {code:?}")).fix(fix)
        })
    }
}

/// clap's own parser would answer a wrong code with all of them.
#[cfg(feature = "clap")]
impl<G: Display + Clone + Send + Sync + 'static> clap::builder::TypedValueParser for Catalog<G> {
    type Value = Explanation;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Explanation, clap::Error> {
        let catalog = self.clone();
        let parser = move |code: &str| catalog.find(code).map(Explanation::from).map_err(String::from);
        clap::builder::TypedValueParser::parse_ref(&parser, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = clap::builder::PossibleValue> + '_>> {
        let codes = (self.rules)().into_iter().map(|rule| rule.code);
        Some(Box::new(codes.map(clap::builder::PossibleValue::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn rule(code: &'static str, what: &'static str) -> Rule<&'static str> {
        Rule { code, grade: "risk", what, why: "why", fix: "fix" }
    }

    #[test]
    fn an_explanation_has_the_severity_after_its_first_sentence() {
        let explained = |what| Explanation::from(&rule("x", what)).what;
        assert_eq!(explained("It is bad."), "It is bad. Severity: risk.");
        assert_eq!(
            explained("It is bad.\n\nHere.\n\nThere."),
            "It is bad. Severity: risk.\n\nHere.\n\nThere."
        );
    }

    #[test]
    fn a_link_is_its_words_and_its_page() {
        for (text, plain) in [
            ("'Subnets[].[Id]' (`x[0]`)", "'Subnets[].[Id]' (`x[0]`)"),
            ("See [add-hangs](#add-hangs).", "See add-hangs."),
            ("[0] ([a b](x.md#a), [y](y.md)) c", "[0] (a b (docs/x.md#a), y (docs/y.md)) c"),
            ("a](b", "a](b"),
        ] {
            assert_eq!(without_links(text), plain);
        }
    }

    #[test]
    fn a_code_that_nothing_has_leads_to_the_nearest() {
        const SMALL: Rule<&str> = rule("cidr-too-small", "");
        const GATEWAY: Rule<&str> = rule("gateway", "");
        let catalog = Catalog { rules: || vec![&GATEWAY, &SMALL], command: "check", page: "docs/check.md" };
        let refused = |code: &str| catalog.find(code).expect_err("no such code").to_string();
        assert_eq!(
            refused("cidr-to-small"),
            r#"no finding has the code "cidr-to-small"; did you mean cidr-too-small?"#
        );
        assert_eq!(
            refused("x"),
            r#"no finding has the code "x"; check prints the code of each finding, and docs/check.md lists all"#
        );
        assert_eq!(catalog.find("cidr-too-small"), Ok(&SMALL));
    }
}
