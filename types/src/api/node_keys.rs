//! The keys that the programs write on a Node object: one list, by which every command that leaves a Node removes it.
//!
//! The taint `crossfade/earlier` is not in the list: kubelet's credential, which is what a node has at hand, may not change taints.
//! *Source*: Kubernetes, `plugin/pkg/admission/noderestriction`, `admitNode`.

use crate::api::{observed, step};

/// The label that names the node's phase.
pub const PHASE: &str = "crossfade/phase";

/// The label with the identity of the image that a node was made of: kubelet registers it, as node.json has it.
///
/// Not one of [`LABELS`], for it goes only while the Node reports the same identity: a Node of a later image registers its own.
pub const IMAGE: &str = "crossfade/image";

/// The annotation that asks the node for a phase.
pub const DESIRED: &str = "crossfade/desired";

/// The label that asks for the clean-up of what an old CNI left on the node, and says that it is done.
pub const CLEANUP: &str = "crossfade/cleanup";

/// The condition that says whether pods get the network that the policy names.
pub const READY: &str = "CrossfadeReady";

/// The conditions of a Node's lifecycle that a run publishes: a run's own where the reason begins with [`OWN_REASON`].
pub const LIFECYCLE: [&str; 4] =
    ["MaintenancePlanned", "MaintenanceInProgress", "DrainInProgress", "Drained"];

/// The reasons of conditions that the programs write begin with it.
pub const OWN_REASON: &str = "Crossfade";

/// The annotation by which a run keeps Karpenter from a Node, where the step says that the run set it.
pub const UNDISTURBED: &str = "karpenter.sh/do-not-disrupt";

/// The labels.
pub const LABELS: [&str; 2] = [PHASE, CLEANUP];

/// The annotations.
pub const ANNOTATIONS: [&str; 3] = [observed::KEY, DESIRED, step::KEY];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Keys that are on other objects, and words of the programs' own that look like keys.
    const ELSEWHERE: [(&str, &str); 11] = [
        ("crossfade/earlier", "the taint of a roll, which the roll takes away"),
        ("crossfade/not-ready", "a start-up taint of the provider's node group"),
        ("crossfade/unfit", "a taint of a node's own registration"),
        ("crossfade/attach", "an annotation of Pods"),
        ("crossfade/restart", "an annotation of Pods"),
        ("crossfade/converted-from", "an annotation of network policies"),
        ("crossfade/run", "an annotation of a run's Lease and Events"),
        ("crossfade/plan", "an annotation of a run's Lease and Events"),
        ("crossfade/fence", "a node selector of the old CNI's DaemonSets"),
        ("crossfade/part", "a label of a backup's parts"),
        ("crossfade/r-", "the name of a Lease, with its namespace"),
    ];

    fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() && name != "tests" {
                sources(&path, files);
            } else if name.ends_with(".rs") && name != "tests.rs" && name != "node_keys.rs" {
                files.push(path);
            }
        }
    }

    /// Production code alone: what is behind the first test module of a file is not read.
    #[test]
    fn whatever_is_written_on_a_node_is_in_the_list_of_what_is_taken_away() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let mut files = Vec::new();
        for member in ["types/src", "shim/src", "bootstrap/src", "crates", "cluster/src"] {
            sources(&workspace.join(member), &mut files);
        }
        assert!(files.len() > 300, "{}", files.len());
        let mut written = BTreeSet::new();
        for file in &files {
            let text = std::fs::read_to_string(file).expect("a source");
            let production = text.split("#[cfg(test)]").next().unwrap_or_default();
            let is_of_key = |c: char| c.is_ascii_lowercase() || c == '-';
            for rest in production.split("\"crossfade/").skip(1) {
                let name = &rest[..rest.find(|c| !is_of_key(c)).unwrap_or(rest.len())];
                if !name.is_empty() {
                    written.insert(format!("crossfade/{name}"));
                }
            }
        }
        let ours: BTreeSet<&str> = LABELS.into_iter().chain(ANNOTATIONS).collect();
        for key in &ours {
            assert!(
                written.contains(*key) || [PHASE, CLEANUP, DESIRED].contains(key),
                "{key} is written nowhere"
            );
        }
        let elsewhere: BTreeSet<&str> = ELSEWHERE.into_iter().map(|(key, _)| key).collect();
        written.retain(|key| !ours.contains(key.as_str()) && !elsewhere.contains(key.as_str()));
        assert!(
            written.is_empty(),
            "neither taken away by who leaves nor known to be elsewhere: {written:?}"
        );
    }
}
