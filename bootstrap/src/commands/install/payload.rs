//! The payload of a pod: files that it installs on its node, and removes again.
//!
//! A pod's settings are in a ConfigMap and its programs in its image, while everything on the node reads the node's own files. So
//! `install --bring DIR` writes policy.json and node.json to /etc/crossfade, and `--units` the programs and their units below /usr:
//! load (what the pod has) -> [`mod@decide`] (pure, against what the node has) -> carry out -> remember ([`record`]), so that an upgrade
//! knows its own files from an administrator's, and a removal takes away just them.

pub(crate) mod load;
pub(crate) mod record;
pub(crate) mod removal;

use std::path::Path;

use convergence::change::{Act, Change, Write};
use convergence::commands::install::payload::{PlaceOnNode, decide};
use convergence::failure::Failure;
use convergence::node::digest;
use convergence::node::paths::{BROUGHT, NODE_FILE};
use shim::host::file::PRIVATE;
use shim::host::lock;
use shim::node::layout::Layout;
use types::command::exit::Exit;
use types::node::Node;

use self::load::Load;
use self::record::PayloadRecord;
use crate::change;
use crate::change::outcome::{Done, apply};
use crate::host::root::Root;

/// What bringing files to the node changes.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The changes to files, in order.
    pub changes: Vec<Change>,
    /// Notes for the person who reads the report.
    pub notes: Vec<String>,
    /// What is remembered while the files are written, and afterwards.
    records: [PayloadRecord; 2],
}

impl Plan {
    /// Compares what the pod brings with what the node has.
    ///
    /// # Errors
    /// Every file of another owner.
    pub(crate) fn decide(load: &Load, overwrite: bool) -> Result<Self, Failure> {
        let before =
            PayloadRecord::read(Path::new(BROUGHT)).map_err(|why| Failure::all(Exit::BadSettings, [why]))?;
        let mut plan = Self {
            changes: Vec::new(),
            notes: Vec::new(),
            records: [before.clone().unwrap_or_default(), before.unwrap_or_default()],
        };
        let mut findings = Vec::new();
        for item in &load.items {
            let last = plan.records[0].files.get(&item.path).cloned();
            match decide(item, &place_on_node(&item.path), last.as_ref(), overwrite) {
                Ok(decided) => {
                    plan.notes.extend(decided.note);
                    if let Some([during, after]) = decided.entries {
                        plan.records[0].files.insert(item.path.clone(), during);
                        plan.records[1].files.insert(item.path.clone(), after);
                    }
                    plan.changes.push(decided.change);
                }
                Err(why) => findings.push(why),
            }
        }
        plan.records.iter_mut().for_each(|record| record.units |= load.units);
        if findings.is_empty() { Ok(plan) } else { Err(Failure::all(Exit::No, findings)) }
    }

    /// The node.json that the pod brings, where it is to be written: it counts from then on, whatever is wrong with the one that it
    /// replaces.
    #[must_use]
    pub(crate) fn node(&self) -> Option<Node> {
        Node::parse(self.content_for(NODE_FILE)?).ok()
    }

    /// What the plan writes into a file.
    #[must_use]
    pub(crate) fn content_for(&self, file: &str) -> Option<&[u8]> {
        self.changes.iter().find_map(|change| {
            let Act::Write(write) = &change.act else { return None };
            write.path.ends_with(file).then_some(write.bytes.as_slice())
        })
    }

    /// Whether the plan writes at least one file.
    #[must_use]
    pub(crate) fn writes(&self) -> bool {
        self.changes.iter().any(|change| !matches!(change.act, Act::Keep))
    }

    /// Writes the files.
    ///
    /// # Errors
    /// The first that cannot be written; what was written is remembered all the same.
    pub(crate) fn apply(self) -> Result<Vec<Done>, Failure> {
        let [during, after] = self.records;
        let changes = self.changes;
        // Remembered before: a file that is written and not remembered would be an administrator's the next time.
        remember(&during)?;
        let layout = Layout::default();
        // The lock keeps the policy from being flipped in between.
        let done = lock::exclusively(&layout, "policy", || Ok(apply(&Root::default(), changes)));
        let done = done.map_err(|e| {
            Failure::try_later(format!("lock of the policy: {e}")).with_place(layout.policy_file().display())
        })??;
        remember(&after)?;
        Ok(done)
    }
}

fn remember(record: &PayloadRecord) -> Result<(), Failure> {
    let failed =
        |e: std::io::Error| Failure::new(Exit::Failed, format!("write {BROUGHT}: {e}")).with_place(BROUGHT);
    shim::host::file::create_private_dir(&Layout::default().state_dir).map_err(failed)?;
    let write = Write { path: BROUGHT.into(), bytes: record.bytes(), mode: PRIVATE, nudge: false };
    apply(&Root::default(), vec![Change::ensure(write, "what a pod has brought")]).map(drop)
}

/// What is at `path` now.
#[must_use]
pub(crate) fn place_on_node(path: &Path) -> PlaceOnNode {
    match change::read_with_mode(path) {
        Some((bytes, mode)) => PlaceOnNode::File { sha256: digest::sha256(&bytes), mode },
        None if path.symlink_metadata().is_ok() => PlaceOnNode::Other,
        None => PlaceOnNode::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use types::node::Mode;

    use super::*;

    #[test]
    fn a_node_json_that_is_brought_counts_before_the_one_that_it_replaces() {
        let plan = |path: &str, act: fn(Write) -> Act| {
            let bytes = br#"{"version":1,"confDir":"private"}"#.to_vec();
            let write = Write { path: path.into(), bytes, mode: 0o644, nudge: false };
            let changes = vec![Change::new(act(write), path, "brought")];
            Plan { changes, notes: Vec::new(), records: [PayloadRecord::default(), PayloadRecord::default()] }
        };
        let node = plan("/etc/crossfade/node.json", Act::Write).node().expect("it is brought");
        assert_eq!(node.conf_dir, Mode::Private);
        assert!(plan("/etc/crossfade/node.json", |_| Act::Keep).node().is_none(), "it is there already");
        assert!(plan("/etc/crossfade/policy.json", Act::Write).node().is_none());
    }
}
