//! The checks of kubelet's registration, by the rules of kubelet and of the API server.

use types::command::problem::Problem;
use types::node::Node;

use super::check::{Check, Fault, from_faults, pass};
use crate::host::root::Root;
use crate::kubelet::check::{CheckDepth, check};

const ID: &str = "registration";

/// Everything that `render --check` finds, but for the way to kubelet's command line, which units are asked about.
pub(super) fn checks(root: &Root, node: &Node) -> Vec<Check> {
    match check(root, node, CheckDepth::Unasked) {
        Ok(checked) => {
            let words = checked.arguments();
            pass(
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
            from_faults(ID, failure.problems.iter().map(fault).collect(), "")
        }
    }
}
