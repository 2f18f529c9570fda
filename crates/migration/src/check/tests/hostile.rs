//! Holds each finding of a test to what its commands say when a text of the cluster is meant for the shell into which an operator pastes them.

use super::nearest::{CheckInput, paths, snapshot};
use crate::check::Check;
use crate::check::Scene;

/// What no shell may run, behind what ends a word in quotes, and before what no line may begin with.
const HOSTILE: &str = "x'$(id)\nerror: forged";
/// Programs whose command lines fixes have.
const PROGRAMS: [&str; 5] = ["kubectl ", "helm ", "calicoctl ", "crossfade ", "crossfade-bootstrap "];

/// Asserts that no command has a text of the cluster but as one word, and that no such text begins a line.
pub(super) fn hold(check: &Check, input: &CheckInput<'_>) {
    let CheckInput { documents, config, from, to, strategy } = *input;
    for (index, document) in documents.iter().enumerate() {
        for path in
            paths("", document).into_iter().chain(["/metadata/name".into(), "/metadata/namespace".into()])
        {
            let mut documents = documents.to_vec();
            let Some(leaf) = documents[index].pointer_mut(&path) else { continue };
            let Some(text) = leaf.as_str() else { continue };
            *leaf = format!("{text}{HOSTILE}").into();
            let snapshot = snapshot(&documents);
            let scene = Scene { snapshot: &snapshot, config, from, to, strategy };
            for finding in (check.run)(&scene) {
                let (code, fix) = (finding.rule.code, &finding.fix);
                assert!(!fix.contains("\nerror: forged"), "{code} of {path}: {fix}");
                for (place, _) in fix.match_indices("$(id)") {
                    let before = fix[..place].rsplit(". ").next().unwrap_or_default();
                    let is_command = PROGRAMS.iter().any(|program| before.contains(program));
                    assert!(!is_command || before.ends_with(r"'\''"), "{code} of {path}: {fix}");
                }
            }
        }
    }
}
