//! Chains and rules of iptables, tables of nftables, and sets of addresses.

use std::collections::{BTreeMap, BTreeSet};

use types::profile::{ChainPattern, Leaves};

use crate::change::kernel::{KernelObject, NftChain};
use crate::commands::cleanup::decide::{Decision, Stage, describe_claimant, find_claimant};
use crate::commands::cleanup::facts::CleanupFacts;
use crate::commands::cleanup::firewall::{BackEnd, Chain, FilterRule, RuleId, Table, family_word};

/// The chain in which the standard plugin `portmap` has a rule for each container with a published port. *Source*: containernetworking/plugins:
/// plugins/meta/portmap/portmap.go.
const HOST_PORTS: &str = "CNI-HOSTPORT-DNAT";
/// What the names of its chains for one container begin with.
const OF_CONTAINER: &str = "CNI-DN-";

pub fn decide(facts: &CleanupFacts, leaves: &Leaves, decision: &mut Decision) {
    for table in &facts.kernel.firewall {
        chains(facts, leaves, table, decision);
        if table.name == "nat" {
            host_ports(facts, table, decision);
        }
    }
    for table in &facts.kernel.nft_tables {
        let family = family_word(table.family);
        let has_pattern = |leaves_of: &Leaves| {
            leaves_of
                .nft_tables
                .iter()
                .any(|profile_table| profile_table.family == family && profile_table.name == table.name)
        };
        if !has_pattern(leaves) {
            continue;
        }
        let target = format!("table {family} {} of nftables", table.name);
        match find_claimant(facts, has_pattern) {
            Some(whose) => decision.keep(target, describe_claimant(whose)),
            None => {
                let object = KernelObject::NftTable {
                    family: table.family,
                    name: table.name.clone(),
                    handle: table.handle,
                };
                let reason = format!("{}'s", facts.profile.name);
                decision.kernel(
                    Stage::Chains,
                    object,
                    target,
                    &reason,
                    "the dump of the firewall from before has it",
                );
            }
        }
    }
    for set in &facts.kernel.sets {
        let has_pattern =
            |leaves_of: &Leaves| leaves_of.ipsets.iter().any(|pattern| pattern.matches(&set.name));
        if !has_pattern(leaves) {
            continue;
        }
        let target = format!("ipset {}", set.name);
        match find_claimant(facts, has_pattern) {
            Some(whose) => decision.keep(target, describe_claimant(whose)),
            None => {
                let object = KernelObject::IpSet { name: set.name.clone() };
                let undo = format!("ipset create {} {}", set.name, set.kind);
                decision.kernel(
                    Stage::Sets,
                    object,
                    target,
                    &format!("{}'s {}", facts.profile.name, set.kind),
                    undo,
                );
            }
        }
    }
}

/// The chains of the CNI in one table, and the rules by which packets come there.
fn chains(facts: &CleanupFacts, leaves: &Leaves, table: &Table, decision: &mut Decision) {
    let mut own: BTreeMap<&str, &ChainPattern> = BTreeMap::new();
    for chain in table.chains.iter().filter(|chain| !chain.built_in) {
        let has_pattern = |leaves_of: &Leaves| {
            leaves_of.chains.iter().any(|profile_chain| chain_is(profile_chain, table, &chain.name))
        };
        let Some(profile_chain) =
            leaves.chains.iter().find(|profile_chain| chain_is(profile_chain, table, &chain.name))
        else {
            continue;
        };
        match find_claimant(facts, has_pattern) {
            Some(whose) => decision.keep(chain_words(table, &chain.name), describe_claimant(whose)),
            None => drop(own.insert(&chain.name, profile_chain)),
        }
    }
    let mut foreign_jumps = BTreeSet::new();
    for chain in table.chains.iter().filter(|chain| !own.contains_key(chain.name.as_str())) {
        for rule in &chain.rules {
            let target = rule.jump.as_deref().and_then(|jump| own.get_key_value(jump));
            let is_its_jump = target.is_some_and(|(_, profile_chain)| {
                chain.built_in && profile_chain.jumps.contains(&chain.name)
            });
            let is_its = |leaves_of: &Leaves| is_commented(leaves_of, table, chain, rule);
            let whose = find_claimant(facts, is_its).filter(|_| is_its(leaves));
            if let Some(whose) = whose {
                decision.keep(rule_words(table, chain, rule), describe_claimant(whose));
            } else if is_its_jump || is_its(leaves) {
                let undo = rule_undo(table, chain, rule);
                let words = rule_words(table, chain, rule);
                let reason = match target {
                    Some((jump, _)) => format!("leads to {}'s {jump}", facts.profile.name),
                    None => format!("{}'s, by its comment", facts.profile.name),
                };
                decision.kernel(Stage::Jumps, rule_object(table, chain, rule), words, &reason, undo);
            } else if let Some((jump, _)) = target {
                foreign_jumps.insert(*jump);
                let why = format!(
                    "the rule {} of the chain {}, which is not {}'s, leads there",
                    rule.words(),
                    chain.name,
                    facts.profile.name
                );
                decision.keep(chain_words(table, jump), why);
            }
        }
    }
    // What a chain that stays leads to stays, too.
    let mut todo: Vec<&str> = foreign_jumps.iter().copied().collect();
    while let Some(name) = todo.pop() {
        let of_it = table.chains.iter().filter(|chain| chain.name == name).flat_map(|chain| &chain.rules);
        for (jump, _) in of_it.filter_map(|rule| own.get_key_value(rule.jump.as_deref()?)) {
            if foreign_jumps.insert(jump) {
                decision.keep(chain_words(table, jump), format!("the chain {name} stays, and leads there"));
                todo.push(jump);
            }
        }
    }
    for chain in table.chains.iter().filter(|chain| own.contains_key(chain.name.as_str())) {
        if foreign_jumps.contains(chain.name.as_str()) {
            continue;
        }
        let words = chain_words(table, &chain.name);
        let reason = format!("{}'s", facts.profile.name);
        if !chain.rules.is_empty() {
            let leaves_of = format!("{reason}, {} rules", chain.rules.len());
            let undo =
                chain.rules.iter().map(|rule| rule_undo(table, chain, rule)).collect::<Vec<_>>().join("; ");
            decision.kernel(
                Stage::Contents,
                chain_object(table, &chain.name, "-F"),
                words.clone(),
                &leaves_of,
                undo,
            );
        }
        let undo = format!("{} -N {}", program(table), chain.name);
        decision.kernel(Stage::Chains, chain_object(table, &chain.name, "-X"), words, &reason, undo);
    }
}

fn chain_is(profile_chain: &ChainPattern, table: &Table, chain: &str) -> bool {
    profile_chain.tables.contains(&table.name) && profile_chain.name.matches(chain)
}

fn is_commented(leaves: &Leaves, table: &Table, chain: &Chain, rule: &FilterRule) -> bool {
    chain.built_in
        && leaves.comments.iter().any(|profile_comment| {
            profile_comment.tables.contains(&table.name)
                && profile_comment.chains.contains(&chain.name)
                && rule.comments.iter().any(|comment| profile_comment.comment.matches(comment))
        })
}

/// The rules of `portmap` for containers of the CNI's networks that are gone: `portmap` itself finds them only at a DEL, which never came.
fn host_ports(facts: &CleanupFacts, table: &Table, decision: &mut Decision) {
    let Some(ports) = table.chains.iter().find(|chain| chain.name == HOST_PORTS) else { return };
    let stale = |rule: &&FilterRule| rule.comments.iter().any(|comment| is_stale(facts, comment));
    let stale_rules: Vec<_> = ports.rules.iter().filter(stale).collect();
    if facts.live.is_none() && !stale_rules.is_empty() {
        let why = "the runtime was not asked which sandboxes live, so it is unknown whose ports these are";
        decision.keep(format!("{} rules of portmap in {}", stale_rules.len(), table.words()), why);
        return;
    }
    for rule in &stale_rules {
        let words = rule_words(table, ports, rule);
        let reason =
            format!("a published port of a sandbox that is gone, on a network of {}", facts.profile.name);
        let undo = rule_undo(table, ports, rule);
        decision.kernel(Stage::Jumps, rule_object(table, ports, rule), words, &reason, undo);
    }
    // Once the rule is gone, only the journal knows whose the chain is.
    let goes = |name: &str| {
        facts.earlier.chains.contains(name)
            || stale_rules.iter().any(|rule| rule.jump.as_deref() == Some(name))
    };
    for chain in table.chains.iter().filter(|chain| chain.name.starts_with(OF_CONTAINER) && goes(&chain.name))
    {
        let is_found = |rule: &FilterRule| stale_rules.iter().any(|found_rule| found_rule.id == rule.id);
        let leads = |rule: &FilterRule| rule.jump.as_deref() == Some(chain.name.as_str()) && !is_found(rule);
        if table.chains.iter().flat_map(|from| &from.rules).any(leads) {
            continue;
        }
        let words = chain_words(table, &chain.name);
        let reason = "the published ports of a sandbox that is gone";
        let undo = format!("{} -N {}", program(table), chain.name);
        if !chain.rules.is_empty() {
            let rules =
                chain.rules.iter().map(|rule| rule_undo(table, chain, rule)).collect::<Vec<_>>().join("; ");
            let object = chain_object(table, &chain.name, "-F");
            decision.kernel(Stage::Contents, object, words.clone(), reason, rules);
        }
        decision.kernel(Stage::Chains, chain_object(table, &chain.name, "-X"), words, reason, undo);
    }
}

/// Whether a comment is that of `portmap` for a network of the CNI's and a sandbox that does not live. Without knowing who lives, every one
/// of such a network counts. *Source*: containernetworking/plugins: plugins/meta/portmap/utils.go (`dnat name: "NAME" id: "ID"`).
fn is_stale(facts: &CleanupFacts, comment: &str) -> bool {
    let parts = comment.strip_prefix("dnat name: \"").and_then(|rest| rest.strip_suffix('"'));
    let Some((network, id)) = parts.and_then(|rest| rest.split_once("\" id: \"")) else { return false };
    facts.networks.contains(network) && facts.live.as_ref().is_none_or(|live| !live.contains(id))
}

fn chain_words(table: &Table, chain: &str) -> String {
    format!("chain {chain} of {}", table.words())
}

fn rule_words(table: &Table, chain: &Chain, rule: &FilterRule) -> String {
    format!("rule {} {} of {}", chain.name, rule.words(), table.words())
}

/// The program by which a person changes a table.
fn program(table: &Table) -> String {
    let six = if table.family == 10 { "6" } else { "" };
    match &table.back_end {
        BackEnd::Nft => format!("ip{six}tables-nft -t {}", table.name),
        BackEnd::Legacy(_) => format!("ip{six}tables-legacy -t {}", table.name),
    }
}

fn rule_undo(table: &Table, chain: &Chain, rule: &FilterRule) -> String {
    match &rule.id {
        RuleId::Spec(_) => {
            let position =
                chain.rules.iter().position(|candidate| candidate == rule).map_or(1, |index| index + 1);
            format!("{} -I {} {position} {}", program(table), chain.name, rule.words())
        }
        RuleId::Handle(_) => format!("{}, as the dump of the firewall from before has it", rule.words()),
    }
}

fn rule_object(table: &Table, chain: &Chain, rule: &FilterRule) -> KernelObject {
    match (&table.back_end, &rule.id) {
        (BackEnd::Legacy(program), RuleId::Spec(spec)) => KernelObject::Legacy {
            program: program.clone(),
            table: table.name.clone(),
            arguments: [&["-D".to_owned(), chain.name.clone()][..], spec].concat(),
        },
        (_, id) => {
            let handle = if let RuleId::Handle(handle) = id { *handle } else { 0 };
            KernelObject::NftRule { chain: nft_chain(table, &chain.name), handle }
        }
    }
}

fn chain_object(table: &Table, chain: &str, verb: &str) -> KernelObject {
    match &table.back_end {
        BackEnd::Legacy(program) => KernelObject::Legacy {
            program: program.clone(),
            table: table.name.clone(),
            arguments: vec![verb.to_owned(), chain.to_owned()],
        },
        BackEnd::Nft if verb == "-F" => KernelObject::NftFlush(nft_chain(table, chain)),
        BackEnd::Nft => KernelObject::NftChain(nft_chain(table, chain)),
    }
}

fn nft_chain(table: &Table, chain: &str) -> NftChain {
    NftChain { family: table.family, table: table.name.clone(), name: chain.to_owned() }
}
