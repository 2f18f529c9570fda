//! Settings for pods that need the operator's decision.

use serde::{Deserialize, Serialize};

/// What becomes of pods that need a decision. Without one, the run waits at their nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Pods {
    /// Pods without an owner that are deleted when their node's turn comes: `NAMESPACE/NAME`, `*` stands for any text.
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = "^[^/]+/[^/]+$"))))]
    pub delete: Vec<String>,
    /// Pods with an emptyDir are evicted, and its data is lost.
    pub delete_empty_dir: bool,
    /// Pods that ask not to be disrupted and are evicted nevertheless: `NAMESPACE/NAME`, `*` stands for any text.
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = "^[^/]+/[^/]+$"))))]
    pub disrupt: Vec<String>,
    /// Pods of Jobs are evicted once they had `jobSeconds`.
    pub evict_jobs: bool,
    /// Static pods with pod network and other pods that an operator restarts on the node: `NAMESPACE/NAME`, `*` stands for any text.
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = "^[^/]+/[^/]+$"))))]
    pub in_place: Vec<String>,
}

impl Pods {
    /// Whether the values make sense.
    pub(super) fn valid(&self) -> Result<(), String> {
        let lists = [("delete", &self.delete), ("disrupt", &self.disrupt), ("inPlace", &self.in_place)];
        for (key, globs) in lists {
            if let Some(index) = globs.iter().position(|glob| !is_named(glob)) {
                return Err(format!(
                    "roll.pods.{key}[{index}]: expected NAMESPACE/NAME, in which * stands for any text, found {:?}",
                    globs[index]
                ));
            }
        }
        Ok(())
    }
}

/// `NAMESPACE/NAME`.
fn is_named(glob: &str) -> bool {
    let parts = glob.split_once('/');
    parts.is_some_and(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'))
}
