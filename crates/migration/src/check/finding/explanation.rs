//! The explanation of each code, as docs/check.md prints it; no other place has one.

use serde::Serialize;
use types::text::nearest::find_nearest;

const PAGE: &str = include_str!("../../../../../docs/check.md");

/// What a finding's code means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The code.
    pub code: &'static str,
    /// What is found.
    pub what: String,
    /// Why it matters.
    pub why: String,
    /// How to remove it, in general: a finding names the cluster's objects.
    pub fix: String,
}

impl Explanation {
    /// The explanations of all codes, in the order of the page.
    pub fn all() -> impl Iterator<Item = Self> {
        PAGE.split("\n### `").skip(1).filter_map(Self::section)
    }

    fn section(text: &'static str) -> Option<Self> {
        let text = text.split("\n## ").next()?;
        let (code, text) = text.split_once("`\n")?;
        let (what, text) = text.split_once("\n- Why it matters: ")?;
        let (why, fix) = text.split_once("\n- Fix: ")?;
        // Lines of the page end where it is wide enough, which means nothing.
        let sentences = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(Self { code, what: sentences(what), why: sentences(why), fix: sentences(fix) })
    }

    /// The explanation of a code.
    ///
    /// # Errors
    /// No finding has this code; the text names the nearest one.
    pub fn find(code: &str) -> Result<Self, String> {
        Self::all().find(|explanation| explanation.code == code).ok_or_else(|| {
            let codes: Vec<&str> = Self::all().map(|explanation| explanation.code).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the page's texts, none has the end of another in it.
    #[test]
    fn the_page_is_read_part_by_part() {
        let explanation = Explanation::find("cidr-overlap-closed-pool").expect("a code of the page");
        assert_eq!(
            explanation.what,
            "A range of the new network is in a pool of the old one that gives no more addresses."
        );
        assert_eq!(explanation.why, "This is safe while the pool stays disabled.");
        assert_eq!(explanation.fix, "Leave the pool disabled until the old network is gone.");
        assert_eq!(Explanation::all().count(), PAGE.matches("\n### ").count());
        for explanation in Explanation::all() {
            let texts = [&explanation.what, &explanation.why, &explanation.fix];
            assert!(
                texts.iter().all(|text| !text.is_empty() && !text.contains("##") && !text.contains("- Fix:")),
                "{explanation:?}"
            );
        }
    }

    #[test]
    fn a_code_that_nothing_has_leads_to_the_nearest() {
        let refused = |code: &str| Explanation::find(code).expect_err("no such code");
        assert_eq!(
            refused("cidr-to-small"),
            r#"no finding has the code "cidr-to-small"; did you mean cidr-too-small?"#
        );
        assert!(refused("x").contains("docs/check.md"), "{}", refused("x"));
    }
}
