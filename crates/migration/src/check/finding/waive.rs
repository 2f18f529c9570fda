//! Findings that the operator accepts.

use types::text::glob;

use super::{Finding, Rule, Severity, Subject};
use crate::config::Waiver;

/// Marks what the waivers accept. A finding of which only some objects are accepted becomes two. A waiver that accepts nothing is a finding itself,
/// since it may be misspelt or no longer needed.
#[must_use]
pub fn waive(findings: Vec<Finding>, waivers: &[Waiver]) -> Vec<Finding> {
    let mut used = vec![false; waivers.len()];
    let mut all: Vec<Finding> =
        findings.into_iter().flat_map(|finding| split_waived(finding, waivers, &mut used)).collect();
    let unused = waivers.iter().zip(&used).filter(|(_, used)| !**used).map(|(waiver, _)| find_unused(waiver));
    all.extend(unused);
    all
}

fn split_waived(mut finding: Finding, waivers: &[Waiver], used: &mut [bool]) -> Vec<Finding> {
    let mut parts = Vec::new();
    for (waiver, used) in waivers.iter().zip(used).filter(|(waiver, _)| waiver.finding == finding.rule.code) {
        let (accepted, rest): (Vec<Subject>, Vec<Subject>) = match &waiver.object {
            None => (std::mem::take(&mut finding.objects), Vec::new()),
            Some(object) => {
                finding.objects.drain(..).partition(|subject| glob::matches(object, &subject.to_string()))
            }
        };
        let is_whole = rest.is_empty() && (waiver.object.is_none() || !accepted.is_empty());
        finding.objects = rest;
        if !is_whole && accepted.is_empty() {
            continue;
        }
        *used = true;
        parts.push(Finding { objects: accepted, waived: Some(waiver.reason.clone()), ..finding.clone() });
        if is_whole {
            return parts;
        }
    }
    parts.push(finding);
    parts
}

pub(in crate::check) const WAIVER_UNUSED: Rule = Severity::Note.rule(
    "waiver-unused",
    "A waiver accepts a finding that there is not.",
    "The waiver is misspelt, or its finding is gone. Left in the file, it would accept a later finding that no operator has judged.",
    "Correct or remove the waiver in the settings file.",
);

fn find_unused(waiver: &Waiver) -> Finding {
    let object = waiver.object.as_deref().map(|object| format!(" of {object}")).unwrap_or_default();
    Finding::new(&WAIVER_UNUSED)
        .what(format!("A waiver accepts {}{object}, and there is no such finding.", waiver.finding))
}

#[cfg(test)]
mod tests {
    use snapshot::model::Kind;

    use super::*;

    fn finding() -> Finding {
        let nodes = ["a", "b"].map(|name| Subject::new(Kind::NODE, name));
        const X: Rule = Severity::Blocks.rule("x", "", "", "");
        Finding::new(&X).with_objects(nodes)
    }

    fn waiver(finding: &str, object: Option<&str>) -> Waiver {
        Waiver { finding: finding.into(), object: object.map(Into::into), reason: "known".into() }
    }

    /// Code, whether it is accepted, and objects.
    fn summaries(findings: &[Finding]) -> Vec<(&str, bool, Vec<String>)> {
        let describe = |finding: &Finding| finding.objects.iter().map(ToString::to_string).collect();
        findings
            .iter()
            .map(|finding| (finding.rule.code, finding.waived.is_some(), describe(finding)))
            .collect()
    }

    #[test]
    fn a_waiver_accepts_all_objects_or_some() {
        let both = || vec!["Node/a".to_owned(), "Node/b".to_owned()];
        assert_eq!(summaries(&waive(vec![finding()], &[waiver("x", None)])), [("x", true, both())]);
        assert_eq!(summaries(&waive(vec![finding()], &[waiver("x", Some("Node/*"))])), [("x", true, both())]);
        assert_eq!(
            summaries(&waive(vec![finding()], &[waiver("x", Some("Node/a"))])),
            [("x", true, vec!["Node/a".into()]), ("x", false, vec!["Node/b".into()])]
        );
        let each = [waiver("x", Some("Node/a")), waiver("x", Some("Node/b"))];
        assert_eq!(
            summaries(&waive(vec![finding()], &each)),
            [("x", true, vec!["Node/a".into()]), ("x", true, vec!["Node/b".into()])]
        );
    }

    #[test]
    fn a_waiver_that_accepts_nothing_is_a_finding() {
        for waiver in [waiver("y", None), waiver("x", Some("Node/c"))] {
            let findings = waive(vec![finding()], &[waiver]);
            assert_eq!(
                summaries(&findings).iter().map(|output| output.0).collect::<Vec<_>>(),
                ["x", "waiver-unused"]
            );
            assert!(findings[0].blocks());
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, meant) in [
            ("Pod/x/*", "Pod/x/a", true),
            ("*/a", "Pod/x/a", true),
            ("P*x*a", "Pod/x/a", true),
            ("P*y*a", "Pod/x/a", false),
            ("Pod", "Pod/x/a", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob::matches(pattern, name), meant, "{pattern} {name}");
        }
    }
}
