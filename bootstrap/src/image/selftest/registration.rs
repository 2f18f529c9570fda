//! The checks of kubelet's registration, by the rules of kubelet and of the API server.

use types::node::Node;
use types::problem::Problem;

use super::check::{Check, Fault, decided, ok};
use crate::kubelet::check::{CheckDepth, check};
use crate::node::paths::Root;

const ID: &str = "registration";

/// Everything that `render --check` finds, but for the way to kubelet's command line, which units are asked about.
pub(super) fn checks(root: &Root, node: &Node) -> Vec<Check> {
    match check(root, node, CheckDepth::Unasked) {
        Ok(checked) => {
            let words = checked.arguments();
            ok(
                ID,
                if words.is_empty() {
                    "Crossfade adds nothing to kubelet's command line".into()
                } else {
                    words.join(" ")
                },
            )
        }
        Err(failure) => {
            let fault = |problem: &Problem| {
                let fix =
                    "change node.json, or who else says it, then ask crossfade-bootstrap unit render --check";
                Fault::new(&problem.what, fix)
            };
            decided(ID, failure.problems.iter().map(fault).collect(), "")
        }
    }
}
