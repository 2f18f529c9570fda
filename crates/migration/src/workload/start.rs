//! Taints that a node bears until its network is ready.

use std::collections::BTreeSet;

use snapshot::model::Taint;
use types::api::taint::READINESS_KEY;

use super::futures;
use crate::check::Scene;
use crate::cni::support::Cni;

/// Keys of the start-up taints that Crossfade's documentation uses: one that needs a named lifter, and that of the shipped NodeReadinessRule.
pub const OWN_TAINTS: [&str; 2] = ["crossfade/not-ready", READINESS_KEY];
/// The key of Cilium's start-up taint, which Cilium's operator removes. *Source*: Cilium 1.18, `Documentation/installation/taints.rst`.
pub const START_TAINT_CILIUM: &str = "node.cilium.io/agent-not-ready";

/// Whether a taint with this key is one that nodes bear until they are ready, whatever sets it.
#[must_use]
pub fn is_startup(key: &str) -> bool {
    let ends = ["not-ready", "/unregistered", "/uninitialized", "/network-unavailable", "crossfade/unfit"];
    OWN_TAINTS.contains(&key)
        || key == START_TAINT_CILIUM
        || key.starts_with("readiness.k8s.io/")
        || ends.iter().any(|end| key.ends_with(end))
}

/// The start-up taints of this migration: those of the settings, and those that nodes or pools bear. Values do not matter, so they are empty.
#[must_use]
pub fn startup_taints(scene: &Scene<'_>) -> BTreeSet<Taint> {
    let named = &scene.config.startup_taints;
    let is_startup = |taint: &Taint| {
        OWN_TAINTS.contains(&taint.key.as_ref())
            || scene.to == Cni::Cilium && taint.key.as_ref() == START_TAINT_CILIUM
            || named.iter().any(|named| *named.key == *taint.key)
    };
    let bare = |taint: &Taint| Taint { value: "".into(), ..taint.clone() };
    let mut all: BTreeSet<Taint> = scene
        .snapshot
        .nodes
        .iter()
        .flat_map(|node| &node.spec.taints)
        .filter(|taint| is_startup(taint))
        .map(bare)
        .collect();
    all.extend(
        futures(scene).iter().flat_map(|pool| &pool.taints).filter(|taint| is_startup(taint)).map(bare),
    );
    all.extend(named.iter().map(|named| Taint {
        key: named.key.as_str().into(),
        value: "".into(),
        effect: named.effect.as_str().into(),
    }));
    all
}
