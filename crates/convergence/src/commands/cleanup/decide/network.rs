//! Interfaces, routes and routing rules.

use std::collections::BTreeSet;

use ipnetwork::IpNetwork;
use types::profile::{Leaves, LinkPattern, LinkRole, RoutePattern, RulePattern};

use crate::change::kernel::KernelObject;
use crate::commands::cleanup::decide::{Decision, Stage, describe_claimant, find_claimant};
use crate::commands::cleanup::facts::CleanupFacts;
use crate::commands::cleanup::kernel::{LOCAL, LinkFact, RouteFact, RuleFact};

pub fn decide(facts: &CleanupFacts, leaves: &Leaves, decision: &mut Decision) {
    let gone = links(facts, leaves, decision);
    routes(facts, leaves, &gone, decision);
    rules(facts, leaves, decision);
    for hint in &leaves.look {
        for link in facts.kernel.links.iter().filter(|link| hint.name.matches(&link.name)) {
            let why = format!("probably of {}, and its name is not that CNI's alone", facts.profile.name);
            decision.look_at(format!("interface {}", link.name), why);
        }
    }
}

/// Decides about interfaces, and returns the indices of those that are removed.
fn links(facts: &CleanupFacts, leaves: &Leaves, decision: &mut Decision) -> BTreeSet<u32> {
    let mut gone = BTreeSet::new();
    for link in &facts.kernel.links {
        let Some(profile_link) =
            leaves.links.iter().find(|profile_link| profile_link.name.matches(&link.name))
        else {
            continue;
        };
        let target = format!("interface {}", link.name);
        let name = &facts.profile.name;
        if let Some(why) = foreign_reason(facts, profile_link, link) {
            decision.keep(target, why);
            continue;
        }
        let reason = format!("{name}'s {}", profile_link.kind);
        let undo =
            format!("ip link add {} {}{}", link.name, link.details, if link.up { ", set up" } else { "" });
        let remove = KernelObject::Link { index: link.index, name: link.name.clone() };
        match profile_link.role {
            LinkRole::Own | LinkRole::Pod | LinkRole::Bridge => {
                gone.insert(link.index);
                decision.kernel(Stage::Links, remove, target, &reason, undo);
            }
            LinkRole::Down if link.up || !link.addresses.is_empty() => {
                let addresses: Vec<_> =
                    link.addresses.iter().map(|address| address.address.to_string()).collect();
                let undo = format!(
                    "ip link set {0} up; ip address add {1} dev {0}",
                    link.name,
                    addresses.join(", ")
                );
                let down = KernelObject::LinkDown {
                    index: link.index,
                    name: link.name.clone(),
                    addresses: link.addresses.iter().map(|address| address.body.clone()).collect(),
                };
                decision.kernel(
                    Stage::Links,
                    down,
                    target,
                    &format!("{reason}, which the kernel keeps"),
                    undo,
                );
            }
            LinkRole::Down | LinkRole::Switch => {}
        }
    }
    gone
}

/// Why an interface of the right name is not the CNI's to remove.
fn foreign_reason(facts: &CleanupFacts, profile_link: &LinkPattern, link: &LinkFact) -> Option<String> {
    if link.kind.as_deref() != Some(profile_link.kind.as_str()) {
        let kind = link.kind.as_deref().unwrap_or("of no kind");
        return Some(format!("it is {kind}, and {}'s is {}", facts.profile.name, profile_link.kind));
    }
    let same = |other: &Leaves| {
        other
            .links
            .iter()
            .any(|other_link| other_link.name.matches(&link.name) && other_link.kind == profile_link.kind)
    };
    // A switch is only inspected, so its users do not matter here.
    if profile_link.role != LinkRole::Switch
        && let Some(whose) = find_claimant(facts, same)
    {
        return Some(describe_claimant(whose));
    }
    if profile_link.within && !link.addresses.iter().any(|address| is_within(facts, address.address)) {
        return Some("none of its addresses is in the network's cidrs of the policy".into());
    }
    if profile_link.role == LinkRole::Bridge && is_foreign_bridge(facts, &link.name) {
        return Some("a conf of another network names it".into());
    }
    // While a port is there a pod lives, and everything is refused.
    None
}

/// Whether another network's conf has the plugin `bridge` make an interface of this name.
pub fn is_foreign_bridge(facts: &CleanupFacts, name: &str) -> bool {
    facts.confs.iter().any(|conf| !conf.is_own && conf.bridges.iter().any(|bridge| bridge == name))
}

fn is_within(facts: &CleanupFacts, network: IpNetwork) -> bool {
    facts.cidrs.iter().any(|cidr| cidr.prefix() <= network.prefix() && cidr.contains(network.ip()))
}

fn routes(facts: &CleanupFacts, leaves: &Leaves, gone: &BTreeSet<u32>, decision: &mut Decision) {
    let name = |index: u32| {
        facts.kernel.links.iter().find(|link| link.index == index).map(|link| link.name.as_str())
    };
    for route in &facts.kernel.routes {
        let device = route.interface.and_then(name);
        let is_route = |profile_route: &RoutePattern| route_is(facts, profile_route, route, device);
        // The kernel removes the routes of an interface with the interface.
        if !leaves.routes.iter().any(is_route) || route.interface.is_some_and(|index| gone.contains(&index)) {
            continue;
        }
        let words =
            device.map_or_else(|| route.words.clone(), |device| format!("{} dev {device}", route.words));
        let target = format!("route {words}");
        if route.destination.prefix() == 0 && route.table == 254 {
            decision.keep(target, "it is the node's default route");
        } else if let Some(whose) = find_claimant(facts, |other| {
            other.routes.iter().any(|profile_route| route_is(facts, profile_route, route, device))
        }) {
            decision.keep(target, describe_claimant(whose));
        } else {
            let object = KernelObject::Route { body: route.body.clone() };
            let family = if route.destination.is_ipv4() { "-4" } else { "-6" };
            let reason = format!("{}'s", facts.profile.name);
            decision.kernel(Stage::Routes, object, target, &reason, format!("ip {family} route add {words}"));
        }
    }
}

fn route_is(
    facts: &CleanupFacts,
    profile_route: &RoutePattern,
    route: &RouteFact,
    device: Option<&str>,
) -> bool {
    route.table != LOCAL
        && profile_route.protocol.is_none_or(|protocol| protocol == route.protocol)
        && profile_route.table.is_none_or(|table| table == route.table)
        && profile_route.link.as_ref().is_none_or(|link| device.is_some_and(|device| link.matches(device)))
        && (!profile_route.within || (route.destination.prefix() > 0 && is_within(facts, route.destination)))
}

fn rules(facts: &CleanupFacts, leaves: &Leaves, decision: &mut Decision) {
    for rule in &facts.kernel.rules {
        let target = format!("routing rule {}{}", family(rule), rule.words);
        let moved = leaves.local_rule.is_some_and(|priority| rule.priority == priority) && rule.is_local();
        if !moved && !leaves.rules.iter().any(|profile_rule| rule_is(profile_rule, rule)) {
            continue;
        }
        let same = |other: &Leaves| {
            other.rules.iter().any(|profile_rule| rule_is(profile_rule, rule))
                || (moved && other.local_rule == leaves.local_rule)
        };
        if let Some(whose) = find_claimant(facts, same) {
            decision.keep(target, describe_claimant(whose));
            continue;
        }
        if moved && !has_other_local(facts, leaves, rule) {
            let object = KernelObject::LocalRule { family: rule.family };
            let restored = format!("routing rule {}from all lookup 255 pref 0", family(rule));
            let undo = format!("ip {}rule delete from all lookup 255 pref 0", family(rule));
            let reason = format!("the kernel's own, which {} moved to {}", facts.profile.name, rule.priority);
            decision.kernel(Stage::LocalRule, object, restored, &reason, undo);
        }
        let object = KernelObject::Rule { body: rule.body.clone() };
        let undo = format!("ip {}rule add {}", family(rule), rule.words);
        decision.kernel(Stage::Rules, object, target, &format!("{}'s", facts.profile.name), undo);
    }
}

/// Whether this node's own addresses are looked up by another rule as well: the kernel's own, or one that a CNI in use has moved.
fn has_other_local(facts: &CleanupFacts, leaves: &Leaves, moved: &RuleFact) -> bool {
    let stays = |priority: u32| {
        priority == 0
            || facts.in_use.iter().flat_map(|cni| &cni.leaves).any(|other| other.local_rule == Some(priority))
    };
    facts.kernel.rules.iter().any(|rule| {
        rule.family == moved.family
            && rule.is_local()
            && Some(rule.priority) != leaves.local_rule
            && stays(rule.priority)
    })
}

fn family(rule: &RuleFact) -> &'static str {
    if rule.bits() == 32 { "-4 " } else { "-6 " }
}

fn rule_is(profile_rule: &RulePattern, rule: &RuleFact) -> bool {
    let (first, last) = profile_rule.tables;
    !rule.more
        && rule.priority == profile_rule.priority
        && (first..=last).contains(&rule.table)
        && rule.mark == profile_rule.mark
        && profile_rule.from.takes(rule.from_prefix, rule.bits())
        && profile_rule.to.takes(rule.to_prefix, rule.bits())
        && match (&profile_rule.iif, &rule.iif) {
            (None, None) => true,
            (Some(pattern), Some(name)) => pattern.matches(name),
            _ => false,
        }
}
