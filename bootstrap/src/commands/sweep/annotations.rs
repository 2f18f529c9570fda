//! The last part of a pass: annotations that a CNI's plugin left on Pods whose sandbox is gone.
//!
//! Calico's plugin writes the container id and the address of a sandbox on its Pod, and its DEL under a second ifname leaves both there. On a Pod that stays,
//! because its ADD was undone or its sandbox was made again without that network, they are wrong until they are removed.
//!
//! **Order of the looks.** A sandbox that is being made must not be taken for one that is gone. The Pods are read first. What they name was written during
//! an ADD that had begun by then. If the ADD came through Crossfade, its record was durable before, and it stays until its DELs have succeeded, so the
//! records are read again *after* the Pods: no record means no attachment. If it did not come through Crossfade, because another program has removed the conf,
//! there is no record, and the list with which the pass began may be minutes older than the sandbox. So the runtime is asked again after the Pods, too. It
//! may still not list a sandbox that bypasses Crossfade and is being made at that very moment. Its Pod then loses annotations that name its only
//! address, which kubelet writes into its status right afterwards, where Calico finds it.
//!
//! What any of the looks names may live. So an attachment that this very pass closes is left to the next pass, and a dry run prints what a pass does.
//!
//! The API server may answer from its cache, and a Pod may change at any time. Each patch tests UID, container id and address as they were seen, so that
//! nothing happens to a Pod that has changed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use convergence::change::{Act, Change, StaleAnnotations};
use convergence::commands::sweep::annotations::{DAMAGED, Facts, decide};
use convergence::failure::Failure;
use convergence::node::facts::NodeFacts;
use convergence::runtime::SandboxList;
use shim::node::inventory::{self, Inventory};
use shim::node::store::{DamagedFile, Store};
use types::attachment::Attachment;
use types::policy::Policy;
use types::profile::{PodAnnotations, Profiles};

use super::budget::ANNOTATIONS_SECS;
use crate::change::outcome::{Done, Outcome};
use crate::change::{ChangeHandler, Executor};
use crate::cli::Sweep;
use crate::host::root::Root;
use crate::publish::node_read::ApiReadError;
use crate::publish::pods::annotated::{AnnotatedPods, AnnotationRemoval};
use crate::publish::reporter;

/// What the pass knew when it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassFacts<'a> {
    pub(super) policy: &'a Policy,
    pub(super) records: &'a [Attachment],
    pub(super) damaged: &'a [DamagedFile],
    pub(super) inventory: &'a Inventory,
    /// The list that the pass believes in.
    pub(super) listing: &'a SandboxList,
}

/// What is to be removed, and how. A failure of the API server is a note, and never one of the pass.
#[derive(Debug, Default)]
pub(super) struct RemovalPlan {
    pub(super) changes: Vec<Change>,
    pub(super) notes: Vec<String>,
    pods: Option<AnnotatedPods>,
}

impl RemovalPlan {
    fn note(why: impl Into<String>) -> Self {
        Self {
            notes: vec![format!("annotations that a CNI left on Pods: {}", why.into())],
            ..Self::default()
        }
    }

    /// Removes what is to be removed, as far as the API server lets it.
    pub(super) fn apply(self) -> (Vec<Done>, Vec<String>) {
        let Self { changes, mut notes, pods } = self;
        let Some(pods) = pods else { return (Vec::new(), notes) };
        let root = Root::default();
        let mut executor = Executor::new(&root, AnnotationHandler { pods, failed: Vec::new() });
        let done = executor.apply_each(changes);
        let failed = executor.into_means().failed;
        if let Some(why) = failed.first() {
            notes.extend(Self::note(format!("{} of {} stay: {why}", failed.len(), done.len())).notes);
        }
        (done, notes)
    }
}

/// Gathers the annotations of sandboxes that are gone. Sends no request where no CNI of the node leaves any.
pub(super) fn gather(node: &NodeFacts, args: &Sweep, before: PassFacts<'_>) -> RemovalPlan {
    match plan_removal(node, args, before) {
        Ok(plan) => plan,
        Err(why) => RemovalPlan::note(why),
    }
}

fn plan_removal(node: &NodeFacts, args: &Sweep, before: PassFacts<'_>) -> Result<RemovalPlan, String> {
    let written = written_annotations(before, &node.profiles)?;
    if written.is_empty() {
        return Ok(RemovalPlan::default());
    }
    // Then there is nothing to ask for.
    if !before.damaged.is_empty() {
        return Err(DAMAGED.into());
    }
    let Some(credential) = reporter(&Root::new(&node.root), &node.settings) else {
        return Err(
            "this node does not look for them: it has no kubelet, or node.json says report.node false".into(),
        );
    };
    let until = Instant::now() + Duration::from_secs(ANNOTATIONS_SECS);
    let (pods, bound) = AnnotatedPods::open(&credential, until).map_err(|unseen| match unseen {
        ApiReadError::NoCredential(why) => format!("this node does not look for them: {why}"),
        ApiReadError::Trouble(why) => format!("{why}; the next pass looks again"),
    })?;
    let mut earlier = named_pods(before.records, before.inventory);
    earlier.extend(before.listing.ids());
    let facts =
        Facts { node: pods.node(), annotations: &written, pods: &bound, sandboxes: &earlier, damaged: false };
    if decide(facts)?.is_empty() {
        return Ok(RemovalPlan::default());
    }
    let listed = listed_again(node, args, before.listing)?;
    let store = Store::new(&node.dirs.layout);
    let (records, damaged) = store.load_all().map_err(|e| e.to_string())?;
    let inventory = inventory::load(&node.dirs.layout).map_err(|e| e.to_string())?;
    let mut sandboxes = named_pods(&records, &inventory);
    sandboxes.extend(listed);
    sandboxes.extend(earlier.iter().cloned());
    let changes = decide(Facts { sandboxes: &sandboxes, damaged: !damaged.is_empty(), ..facts })?;
    Ok(RemovalPlan { changes, notes: Vec::new(), pods: Some(pods) })
}

/// What the plugins of the policy's networks write on Pods, and of those that a record is of.
fn written_annotations(
    before: PassFacts<'_>,
    profiles: &Profiles,
) -> Result<BTreeSet<PodAnnotations>, String> {
    let networks = before.policy.networks().map(|(_, network)| network.profile.as_str());
    let legs = before.records.iter().flat_map(|record| &record.intent.legs);
    let names: BTreeSet<&str> = networks.chain(legs.map(|leg| leg.profile.as_str())).collect();
    let mut written = BTreeSet::new();
    for name in names {
        if let Some(why) = profiles.unusable_reason(name) {
            return Err(why.into());
        }
        let Some(profile) = profiles.find(name) else { continue };
        let parts = profile.parts.iter().filter_map(|part| profiles.find(part));
        let all = std::iter::once(profile).chain(parts);
        written.extend(all.filter_map(|profile| profile.pod_annotations.clone()));
    }
    Ok(written)
}

/// The container ids in records and inventory.
fn named_pods(records: &[Attachment], inventory: &Inventory) -> BTreeSet<String> {
    let recorded = records.iter().map(|record| record.intent.container_id.clone());
    recorded.chain(inventory.attachments.iter().map(|entry| entry.container_id.clone())).collect()
}

/// The sandboxes that the runtime lists by now. A list from a file is the whole truth as it is.
fn listed_again(node: &NodeFacts, args: &Sweep, before: &SandboxList) -> Result<BTreeSet<String>, String> {
    if matches!(before, SandboxList::File(_)) {
        return Ok(BTreeSet::new());
    }
    let now = super::listing(&node.runtime.choice, args).map_err(|failure| failure.lines().join("; "))?;
    if now.is_empty_answer() && !before.is_empty_answer() {
        return Err(
            "they stay, because the runtime lists no sandbox any more; the next pass looks again".into()
        );
    }
    Ok(now.ids())
}

/// Removes annotations, and remembers why some were not.
struct AnnotationHandler {
    pods: AnnotatedPods,
    failed: Vec<String>,
}

impl AnnotationHandler {
    fn remove(&mut self, stale: &StaleAnnotations) -> Outcome {
        match self.pods.remove(stale) {
            AnnotationRemoval::Done => {
                let (namespace, pod) = (stale.namespace.as_str(), stale.pod.as_str());
                tracing::info!(namespace, pod, container_id = stale.sandbox.1, "stale annotations removed");
                Outcome::Done
            }
            AnnotationRemoval::Changed => Outcome::Busy,
            AnnotationRemoval::Failed(why) => {
                self.failed.push(why);
                Outcome::Busy
            }
        }
    }
}

impl ChangeHandler for AnnotationHandler {
    fn apply(&mut self, change: &Change) -> Option<Result<Outcome, Failure>> {
        let Act::Unannotate(stale) = &change.act else { return None };
        Some(Ok(self.remove(stale)))
    }
}
