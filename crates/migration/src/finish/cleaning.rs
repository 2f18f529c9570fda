//! The clean-up of the nodes that stay: the label [`CLEANUP`] of a Node asks the DaemonSet of deploy/cleanup.yaml for it, wave by wave as the nodes moved.

use std::collections::{BTreeMap, HashMap};

use snapshot::model::Node;
use types::api::node_keys::CLEANUP;

use crate::plan::Plan;
use crate::workload::{platform, reported_now};

/// The value of the label that asks for the clean-up.
pub const REQUESTED: &str = "requested";
/// The value of the label of a node that was cleaned.
pub const DONE: &str = "done";

/// A pod of the DaemonSet that cleans nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupPod {
    /// Its name.
    pub name: String,
    /// Its node is clean: `crossfade-bootstrap cleanup` ended with 0.
    pub is_ready: bool,
}

/// How far the nodes that stay are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cleaning<'a> {
    /// How many were cleaned.
    pub done: usize,
    /// Those whose pods are ready, so that the label can say that they are done.
    pub cleaned: Vec<&'a str>,
    /// Those that are asked and not clean yet.
    pub open: Vec<&'a str>,
    /// Those that are asked next.
    pub next: Vec<&'a str>,
    /// How many wait for those before them.
    pub later: usize,
}

impl<'a> Cleaning<'a> {
    /// Decides which of the nodes are asked next. Those that report nothing of Crossfade were replaced, and need no clean-up. The pods are by their nodes.
    ///
    /// A node that is not clean yet counts against the limit of its wave, so where the clean-up fails no more than these are asked.
    #[must_use]
    pub fn new(nodes: &'a [Node], pods: Option<&BTreeMap<String, CleanupPod>>, plan: Option<&Plan>) -> Self {
        let is_clean =
            |node: &Node| pods.and_then(|pods| pods.get(node.name())).is_some_and(|pod| pod.is_ready);
        let waves = plan.map_or(&[][..], |plan| &plan.waves);
        let places: HashMap<&str, (usize, usize)> = waves
            .iter()
            .enumerate()
            .flat_map(|(wave, planned)| {
                planned.members().enumerate().map(move |(place, (name, _))| (name, (wave, place)))
            })
            .collect();
        let place = |node: &Node| places.get(node.name()).copied().unwrap_or((waves.len(), 0));
        let stays = |node: &&Node| {
            platform(node).is_none()
                && reported_now(node).is_some_and(|observation| observation.phase.is_some())
        };
        let mut staying: Vec<&Node> = nodes.iter().filter(stays).collect();
        staying.sort_by(|a, b| (place(a), a.name()).cmp(&(place(b), b.name())));
        let mut cleaning = Self::default();
        let mut waiting = Vec::new();
        for node in staying {
            match node.metadata.label(CLEANUP) {
                Some(DONE) => cleaning.done += 1,
                Some(REQUESTED) if is_clean(node) => cleaning.cleaned.push(node.name()),
                Some(REQUESTED) => cleaning.open.push(node.name()),
                Some(_) | None => waiting.push(node),
            }
        }
        // A wave begins once the one before it is clean.
        let begun =
            nodes.iter().filter(|node| cleaning.open.contains(&node.name())).map(|node| place(node).0).min();
        let first = waiting.first().map(|node| place(node).0);
        if let Some(wave) = first.filter(|wave| begun.is_none_or(|begun| begun >= *wave)) {
            let at_once = waves.get(wave).map_or(1, |wave| wave.at_once);
            let at_once = usize::try_from(at_once).unwrap_or(usize::MAX).saturating_sub(cleaning.open.len());
            let of_wave = waiting.iter().filter(|node| place(node).0 == wave);
            cleaning.next = of_wave.take(at_once).map(|node| node.name()).collect();
        }
        cleaning.later = waiting.len() - cleaning.next.len();
        cleaning
    }
}
