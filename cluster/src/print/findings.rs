//! Findings as part of a document.

use migration::check::finding::{Finding, Severity, Subject};

use super::{Document, Row};

/// What stands before and after lines to paste in the text of a fix.
const FENCE: &str = "```";
/// How many objects of one finding are shown to people.
const SHOWN: usize = 12;

/// Adds a table of all findings, and then each of them in full.
pub(crate) fn add(document: &mut Document, findings: &[Finding]) {
    if findings.is_empty() {
        document.text("Nothing was found that stands in the way.");
        return;
    }
    let row = |finding: &Finding| {
        let objects = finding.objects.len();
        let cells = vec![
            severity(finding),
            finding.rule.code.to_owned(),
            // One without objects is about the cluster as a whole.
            if objects == 0 { String::new() } else { objects.to_string() },
            finding.what.clone(),
        ];
        Row { severity: counted_severity(finding), cells }
    };
    document.table_of(vec!["SEVERITY", "FINDING", "OBJECTS", "WHAT"], findings.iter().map(row).collect());
    for finding in findings {
        document
            .heading_of(counted_severity(finding), format!("{}: {}", severity(finding), finding.rule.code));
        document.text(finding.what.clone());
        document.list(finding.objects.iter().map(subject), SHOWN);
        fix(document, finding);
    }
}

/// Why a finding matters and how to remove it: each step in a line of its own, and manifests as they are.
fn fix(document: &mut Document, finding: &Finding) {
    let mut parts = finding.fix.split(FENCE);
    let mut lines = parts.next().unwrap_or_default().trim().lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let mut fields = vec![("why", finding.why.clone())];
    fields.extend(finding.waived.iter().map(|reason| ("waived", reason.clone())));
    fields.push(("fix", first));
    document.fields(fields);
    lines.for_each(|line| document.text(line));
    for (index, part) in parts.enumerate() {
        if index % 2 == 0 {
            document.code(part.trim_start_matches('\n'));
        } else {
            part.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| document.text(line));
        }
    }
}

/// How bad a finding is; none if the operator accepts it.
fn counted_severity(finding: &Finding) -> Option<Severity> {
    finding.waived.is_none().then_some(finding.severity)
}

fn severity(finding: &Finding) -> String {
    counted_severity(finding).map_or_else(|| "waived".into(), |severity| severity.to_string())
}

fn subject(subject: &Subject) -> String {
    if subject.detail.is_empty() { subject.to_string() } else { format!("{subject}: {}", subject.detail) }
}
