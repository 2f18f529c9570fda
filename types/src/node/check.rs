//! The rules of node.json that are about more than one key.

use super::{DesiredSource, Node};

impl Node {
    /// Refuses settings whose keys do not fit each other.
    ///
    /// # Errors
    /// One line that names the key, what was expected and, where there is one, the remedy.
    pub(super) fn check(&self) -> Result<(), String> {
        for (index, taint) in self.taints.iter().enumerate() {
            if self.taints[..index].iter().any(|earlier| earlier.is_same(taint)) {
                let key = &taint.key;
                return Err(format!(
                    "taints[{index}].key: {key} with this effect is listed twice; expected it once"
                ));
            }
        }
        for (index, phase) in self.allowed.iter().enumerate() {
            if self.allowed[..index].contains(phase) {
                return Err(format!("allowed: {phase} is listed twice; expected it once"));
            }
        }
        if self.desired == DesiredSource::NodeAnnotation && self.allowed.is_empty() {
            return Err(
                "allowed: missing; desired is node-annotation, so name the phases that the node may be flipped to"
                    .into(),
            );
        }
        if self.join_pods && self.desired == DesiredSource::Off {
            return Err("joinPods: true, and the node follows no annotation; expected desired: node-annotation beside it, or joinPods: false".into());
        }
        Ok(())
    }
}
