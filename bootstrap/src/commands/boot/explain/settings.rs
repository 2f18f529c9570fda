//! The settings files of the node, and the ones that count.

use std::path::PathBuf;

use convergence::node::facts::NodeFacts;
use convergence::node::paths::NODE_FILE;
use convergence::report::Page;
use serde::Serialize;
use shim::node::layout::POLICY_FILE;
use types::policy::Phase;

use crate::host::root::Root;

/// One settings file.
///
/// *Shape*: `{"file":"/etc/crossfade/node.json","masked":["/usr/lib/crossfade/node.json"],"phase":"old","error":null}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SettingsFile {
    /// The file that counts, as the node sees it; none where there is none.
    file: Option<PathBuf>,
    /// Files that exist and that a file in an earlier directory hides.
    masked: Vec<PathBuf>,
    /// The phase of a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    /// Why the file cannot be used.
    error: Option<String>,
    /// What the absence of the file means.
    #[serde(skip)]
    absent: &'static str,
}

impl SettingsFile {
    pub(super) fn node(node: &NodeFacts) -> Self {
        let mut file_places = places(&Root::new(&node.root), NODE_FILE);
        file_places.absent = "every key has its default";
        file_places.error = node.unusable.as_ref().map(|unusable| unusable.why.clone());
        file_places
    }

    /// The policy: the one that the command line or Crossfade's installed conf names, else the first that is there.
    pub(super) fn policy(node: &NodeFacts) -> Self {
        let mut file_places = places(&Root::new(&node.root), POLICY_FILE);
        file_places.absent = "there is no policy, so the gate delays kubelet";
        if let Some(named) = &node.dirs.layout_on_node.policy {
            file_places.masked.splice(0..0, file_places.file.replace(named.clone()));
            file_places.masked.retain(|masked| masked != named);
        }
        match &node.policy {
            _ if file_places.file.is_none() => {}
            Ok(read) => file_places.phase = Some(read.policy.phase()),
            Err(why) => file_places.error = Some(why.what.clone()),
        }
        file_places
    }

    /// The policy of a node without Crossfade's plugin: no program reads it, even if the file exists.
    pub(super) fn without_policy(root: &Root) -> Self {
        let there = places(root, POLICY_FILE);
        let masked = there.file.into_iter().chain(there.masked).collect();
        Self {
            file: None,
            masked,
            phase: None,
            error: None,
            absent: "a final image (confDir none) needs no policy",
        }
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(super) fn render(&self, text: &mut Page, what: &str) {
        let file = self
            .file
            .as_ref()
            .map_or_else(|| format!("none: {}", self.absent), |file| file.display().to_string());
        let phase = self.phase.map(|phase| format!(": phase {phase}")).unwrap_or_default();
        let _ = writeln!(text, "{what:<8} {file}{phase}");
        let why = match self.file {
            Some(_) => "is ignored, because the file above comes first",
            None => "exists, and no program reads it",
        };
        for masked in &self.masked {
            let _ = writeln!(text, "         {} {why}", masked.display());
        }
    }
}

fn places(root: &Root, file: &str) -> SettingsFile {
    let mut there = root.settings_files(file);
    let (file, masked) = (there.next(), there.collect());
    SettingsFile { file, masked, phase: None, error: None, absent: "" }
}
