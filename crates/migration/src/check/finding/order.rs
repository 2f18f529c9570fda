//! The order in which findings are reported.

use super::Finding;

/// Sorts findings: what somebody accepted comes last, else the worst first, then by code and first object.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.waived.is_some(), finding.severity, finding.code);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.objects.first().cmp(&b.objects.first()))
            .then_with(|| a.what.cmp(&b.what))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::finding::Severity;

    #[test]
    fn the_worst_comes_first_and_what_is_accepted_last() {
        let finding = |code, severity| Finding::new(code, severity, "", "", "");
        let mut accepted = finding("a", Severity::Blocks);
        accepted.waived = Some("known".into());
        let mut all = [
            accepted,
            finding("d", Severity::Note),
            finding("c", Severity::Blocks),
            finding("b", Severity::Blocks),
        ];
        sort(&mut all);
        assert_eq!(all.iter().map(|finding| finding.code).collect::<String>(), "bcda");
    }
}
