//! The attachments from before the installation, and the network of each: decisions.

use std::collections::{BTreeMap, BTreeSet};

use shim::host::boot::Moment;
use shim::node::inventory::{Deleter, Entry};
use shim::node::store::Key;
use types::command::problem::Problem;
use types::policy::Side;
use types::text::names::{is_name, validate_ifname};

use crate::runtime::cache::{Cache, CacheEntry};

/// The facts that the decision needs.
#[derive(Debug)]
pub struct InventoryFacts<'a> {
    /// The policy's networks, with the names of their confs.
    pub names: &'a [(Side, String)],
    /// The policy's key `unrecorded`.
    pub unrecorded: Option<Side>,
    /// Names of networks that are neither, and are to be listed as `unrecorded`.
    pub accepted: &'a [String],
    /// Names of networks that are left out: meta-plugins, which keep their own records, and what the caller says.
    pub left_out: &'a [String],
    /// The attachments that have a record.
    pub recorded: &'a BTreeSet<Key>,
    /// The attachments that have an inventory entry.
    pub listed: &'a BTreeSet<Key>,
    /// Who will send the DELs of attachments that the runtime makes without Crossfade.
    pub deleter: Deleter,
    pub now: &'a Moment,
}

/// The decision about the runtime's cache.
#[derive(Debug, Default)]
pub struct InventoryDecision {
    pub entries: Vec<Entry>,
    /// Problems that keep `install` from going on.
    pub findings: Vec<Problem>,
    /// Notes for the person who reads the report.
    pub notes: Vec<String>,
}

/// Decides which attachments of the runtime's cache go into the inventory, and under which network.
///
/// | attachment | becomes |
/// |---|---|
/// | attached through Crossfade, has a record, or has an entry | nothing |
/// | its network is one of the policy's, by name | an entry of that one |
/// | its network was accepted | an entry of `unrecorded`, with its own conf |
/// | its network was left out | nothing |
/// | any other | a finding: `sweep` would close a listed one, and one that is left out would lose its DEL, so a person must decide |
#[must_use]
pub fn take(cache: &Cache, facts: &InventoryFacts<'_>) -> InventoryDecision {
    let mut decision = InventoryDecision::default();
    let mut unknown: BTreeMap<&str, usize> = BTreeMap::new();
    for cached in &cache.attachments {
        let there = facts.recorded.contains(&cached.key) || facts.listed.contains(&cached.key);
        if cached.through_us || there || facts.left_out.contains(&cached.network) {
            continue;
        }
        let named = facts.names.iter().find(|(_, name)| *name == cached.network).map(|(side, _)| *side);
        let accepted = facts.accepted.contains(&cached.network);
        match (named, facts.unrecorded) {
            (Some(side), _) => decision.entries.push(entry(cached, side, facts)),
            (None, Some(_)) if accepted && cached.conf.is_none() => {
                let Key { container_id, ifname } = &cached.key;
                let what = format!(
                    "attachment {container_id} {ifname} of network {:?}: the runtime kept no usable conf of it",
                    cached.network
                );
                let place = format!("attachment {container_id} {ifname}");
                decision.findings.push(Problem::new(what).with_place(place).fix("delete that pod first"));
            }
            (None, Some(side)) if accepted => decision.entries.push(entry(cached, side, facts)),
            (None, _) => *unknown.entry(&cached.network).or_default() += 1,
        }
    }
    for (network, count) in unknown {
        let accepted = facts.accepted.iter().any(|name| name == network);
        decision.findings.push(if accepted {
            let what = format!(
                "policy: unrecorded is missing, and {count} attachments of the accepted network {network:?} need it"
            );
            Problem::new(what).with_place("unrecorded").fix("set unrecorded in policy.json to old or new")
        } else {
            let what = format!(
                "{count} attachments are of network {network:?}, which is neither of the policy's"
            );
            Problem::new(what).with_place(format!("network {network}")).fix(format!(
                "--accept-unknown {network} lists them as unrecorded with the conf they were made with, --ignore-network {network} \
                 leaves them out (for another tool's network, whose DEL never comes here)"
            ))
        });
    }
    for (path, why) in &cache.unreadable {
        note_unreadable(&path.file_name().unwrap_or_default().to_string_lossy(), why, facts, &mut decision);
    }
    decision
}

fn entry(cached: &CacheEntry, side: Side, facts: &InventoryFacts<'_>) -> Entry {
    cached.entry(side, facts.deleter, facts.now)
}

/// A crash leaves empty files. Their name still says whose they are, which is enough for a DEL.
fn note_unreadable(file: &str, why: &str, facts: &InventoryFacts<'_>, decision: &mut InventoryDecision) {
    if file.starts_with("cni-loopback-") || facts.left_out.iter().any(|name| strip(file, name).is_some()) {
        return;
    }
    let guess = facts.names.iter().find_map(|(side, name)| {
        let (container_id, ifname) = strip(file, name)?.rsplit_once('-')?;
        let valid = is_name(container_id) && validate_ifname(ifname).is_ok();
        valid.then(|| (*side, Key::new(container_id, ifname)))
    });
    match guess {
        Some((_, key)) if facts.recorded.contains(&key) || facts.listed.contains(&key) => {}
        Some((side, key)) => {
            decision.notes.push(format!("{file} of the runtime's cache: {why}; listed by its name alone"));
            decision.entries.push(Entry {
                listed_at: Some(facts.now.clone()),
                deleted_by: facts.deleter,
                ..Entry::new(key, side.as_str())
            });
        }
        None => decision.notes.push(format!(
            "{file} of the runtime's cache: {why}; its name is not of a network of the policy, so it is left out"
        )),
    }
}

/// What follows the network's name in a cache file's name.
fn strip<'a>(file: &'a str, network: &str) -> Option<&'a str> {
    file.strip_prefix(network)?.strip_prefix('-')
}

#[cfg(test)]
mod tests {
    use types::json::raw::to_raw;

    use super::*;

    fn cached(id: &str, network: &str) -> CacheEntry {
        CacheEntry {
            key: Key::new(id, "eth0"),
            network: network.into(),
            netns: String::new(),
            args: None,
            runtime_config: None,
            conf: Some(to_raw(&1)),
            result: None,
            through_us: false,
        }
    }

    struct World {
        cache: Cache,
        unrecorded: Option<Side>,
        accepted: Vec<String>,
        left_out: Vec<String>,
        recorded: BTreeSet<Key>,
        listed: BTreeSet<Key>,
        deleter: Deleter,
    }

    impl World {
        fn new(attachments: Vec<CacheEntry>) -> Self {
            Self {
                cache: Cache { attachments, unreadable: Vec::new() },
                unrecorded: Some(Side::Old),
                accepted: Vec::new(),
                left_out: Vec::new(),
                recorded: BTreeSet::new(),
                listed: BTreeSet::new(),
                deleter: Deleter::Crossfade,
            }
        }

        fn take(&self) -> InventoryDecision {
            let names = [(Side::Old, "oldnet".to_owned()), (Side::New, "newnet".to_owned())];
            take(
                &self.cache,
                &InventoryFacts {
                    names: &names,
                    unrecorded: self.unrecorded,
                    accepted: &self.accepted,
                    left_out: &self.left_out,
                    recorded: &self.recorded,
                    listed: &self.listed,
                    deleter: self.deleter,
                    now: &Moment { boot_id: "b".into(), boottime_ms: 1, wall_secs: 1 },
                },
            )
        }
    }

    fn entries(taken: &InventoryDecision) -> Vec<(&str, &str)> {
        taken.entries.iter().map(|entry| (entry.container_id.as_str(), entry.network.as_str())).collect()
    }

    #[test]
    fn the_network_is_told_by_its_name() {
        let taken = World::new(vec![cached("c1", "oldnet"), cached("c2", "newnet")]).take();
        assert_eq!(entries(&taken), [("c1", "old"), ("c2", "new")]);
        assert!(
            taken.findings.is_empty()
                && taken.entries[0].conf.is_some()
                && taken.entries[0].listed_at.is_some()
        );
    }

    #[test]
    fn what_is_known_already_is_left_alone() {
        let mut ours = cached("c3", "oldnet");
        ours.through_us = true;
        let mut world = World::new(vec![cached("c1", "oldnet"), cached("c2", "oldnet"), ours]);
        world.recorded.insert(Key::new("c1", "eth0"));
        world.listed.insert(Key::new("c2", "eth0"));
        let taken = world.take();
        assert!(taken.entries.is_empty() && taken.findings.is_empty(), "{taken:?}");
    }

    #[test]
    fn every_entry_says_who_sends_its_del() {
        let mut world = World::new(vec![cached("c1", "oldnet")]);
        world.cache.unreadable.push(("/cache/oldnet-c2-eth0".into(), "empty".into()));
        let deleters =
            |world: &World| world.take().entries.iter().map(|entry| entry.deleted_by).collect::<Vec<_>>();
        assert_eq!(deleters(&world), [Deleter::Crossfade; 2]);
        world.deleter = Deleter::Runtime;
        assert_eq!(deleters(&world), [Deleter::Runtime; 2]);
    }

    #[test]
    fn an_unknown_network_is_a_finding_until_the_operator_says_what_it_is() {
        let mut world = World::new(vec![cached("c1", "podman"), cached("c2", "podman")]);
        let taken = world.take();
        assert!(taken.entries.is_empty() && taken.findings.len() == 1, "{taken:?}");
        assert!(
            taken.findings[0].what.contains("2 attachments") && taken.findings[0].what.contains("\"podman\"")
        );
        world.accepted = vec!["podman".into()];
        assert_eq!(entries(&world.take()), [("c1", "old"), ("c2", "old")]);
        world.unrecorded = None;
        assert!(world.take().findings[0].what.contains("unrecorded is missing"));
        world.accepted.clear();
        world.left_out = vec!["podman".into()];
        let taken = world.take();
        assert!(taken.entries.is_empty() && taken.findings.is_empty());
    }

    #[test]
    fn an_accepted_network_without_a_conf_stays_a_finding() {
        let mut lost = cached("c1", "podman");
        lost.conf = None;
        let mut world = World::new(vec![lost]);
        world.accepted = vec!["podman".into()];
        let taken = world.take();
        assert!(taken.entries.is_empty() && taken.findings[0].what.contains("c1 eth0"), "{taken:?}");
    }

    #[test]
    fn an_empty_file_is_listed_by_its_name() {
        let mut world = World::new(Vec::new());
        for file in ["oldnet-c-1-eth0", "cni-loopback-c1-lo", "other-c9-eth0"] {
            world.cache.unreadable.push((format!("/cache/{file}").into(), "empty".into()));
        }
        let taken = world.take();
        assert_eq!(entries(&taken), [("c-1", "old")]);
        assert_eq!(taken.entries[0].ifname, "eth0");
        assert_eq!(taken.notes.len(), 2, "{taken:?}");
    }
}
