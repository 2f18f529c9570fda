//! `bake`: an image's policy, node settings and identity, in /usr/lib/crossfade, where /etc and /run count before them.
//!
//! Gather ([`gather`]) -> decide ([`convergence::image::bake`]) -> apply -> report. What is written is read by the very parsers of the programs
//! before anything is touched, so that an image with unusable settings is never built.

mod gather;

use convergence::change::{Change, Write};
use convergence::failure::Failure;
use convergence::image::bake::BakeOptions;
use convergence::image::bake::decide::{BakeDecision, decide};
use convergence::node::paths::NODE_FILE;
use convergence::report::{Page, Report};
use serde::Serialize;
use serde_json::Value;
use shim::node::layout::{POLICY_FILE, SETTINGS_DIRS};
use types::api::node_keys::IMAGE;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::change::outcome::{ChangeReport, finish};
use crate::cli::{Bake, Global};
use crate::host::root::Root;

/// Mode of both files: they hold no secret.
const MODE: u32 = 0o644;

/// What was written; in a dry run also the files themselves.
///
/// *Shape*: as [`ChangeReport`], and `"files":[{"path":"/usr/lib/crossfade/node.json","content":{..}}]`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct BakeReport {
    #[serde(flatten)]
    changes: ChangeReport,
    /// The identity of the image: the label crossfade/image of its nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<File>,
}

/// A file as it would be.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct File {
    /// As the node will see it.
    path: String,
    content: Value,
    #[serde(skip)]
    text: String,
}

impl File {
    fn new(path: &str, bytes: &[u8]) -> Self {
        let content = serde_json::from_slice(bytes).unwrap_or_default();
        Self { path: path.into(), content, text: String::from_utf8_lossy(bytes).into_owned() }
    }
}

impl Report for BakeReport {
    fn human(&self) -> Page {
        let mut text = self.changes.human();
        if let Some(image) = &self.image {
            text.text(&format!("image    {image}: its nodes register the label {IMAGE}={image}\n"));
        }
        for file in &self.files {
            text.text(&format!("\n{}:\n{}", file.path, file.text));
        }
        text
    }

    fn exit(&self) -> Exit {
        self.changes.exit()
    }

    fn problems(&self) -> Vec<Problem> {
        self.changes.problems()
    }
}

/// Writes both files, or says what they would be.
///
/// # Errors
/// All findings, before anything is touched: 2 for options that make no sense together, 78 for unusable settings, 3 for a
/// file that would hide what is baked.
pub(crate) fn bake(global: &Global, args: &Bake) -> Result<BakeReport, Failure> {
    let root = Root::new(&global.root);
    let facts = crate::image::bake::gather::gather(global, args)?;
    let BakeDecision { policy, node, image, notes } = decide(options(args), &facts)?;
    let place = |file: &str| format!("{}/{file}", SETTINGS_DIRS[2]);
    let (policy_place, node_place) = (place(POLICY_FILE), place(NODE_FILE));
    let mut changes = Vec::new();
    match &policy {
        Some(bytes) => changes.push(file(&root, &policy_place, bytes, "who gives a pod its network")),
        None if root.entry(&policy_place).symlink_metadata().is_ok() => changes.push(Change::remove(
            root.entry(&policy_place),
            false,
            "a final image has the new network alone, so there is nothing to choose",
        )),
        None => {}
    }
    changes.push(file(&root, &node_place, &node, "how a node of this image takes part"));
    let mut files = Vec::new();
    if global.dry_run {
        files.extend(policy.iter().map(|bytes| File::new(&policy_place, bytes)));
        files.push(File::new(&node_place, &node));
    }
    Ok(BakeReport { changes: finish(global, changes, notes)?, image, files })
}

fn file(root: &Root, place: &str, bytes: &[u8], why: &str) -> Change {
    Change::ensure(Write { path: root.entry(place), bytes: bytes.to_vec(), mode: MODE, nudge: false }, why)
}

fn options(args: &Bake) -> BakeOptions<'_> {
    BakeOptions {
        image: args.image,
        old: args.old.as_deref(),
        new: args.new.as_deref(),
        old_conf: &args.old_conf,
        new_conf: &args.new_conf,
        old_cidrs: &args.old_cidrs,
        new_cidrs: &args.new_cidrs,
        phase: args.phase,
        labels: &args.labels,
        taints: &args.taints,
        readiness_taint: args.readiness_taint,
        require_all_networks: args.require_all_networks,
        bare: args.bare,
        mode: args.mode,
        has_policy_file: args.from_policy.is_some(),
    }
}

#[cfg(test)]
mod tests;
