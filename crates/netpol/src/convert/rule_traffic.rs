//! The traffic of a rule of Calico, with every port that is meant and none that is not.

use super::report::{Outcome, Refusal};
use crate::convert::intermediate::Traffic;
use crate::convert::lowering::Notes;
use crate::engines::calico::{Entity, Port, Rule};
use crate::engines::kubernetes::PortNumber;
use crate::traffic::Ports;

const LAST: u16 = u16::MAX;

/// The traffic that a rule is about. None is all of it, and an empty list none.
///
/// # Errors
/// What has no form without exceptions.
pub(super) fn traffic(rule: &Rule, notes: &mut Notes<'_>) -> Result<Option<Vec<Traffic>>, Refusal> {
    if rule.not_protocol.is_some() {
        return Err(Refusal::new(
            "notProtocol",
            "every other protocol, and targets name the ones that they mean",
        ));
    }
    if rule.not_icmp.is_some() {
        return Err(Refusal::new("notICMP", "every other message, and targets name the ones that they mean"));
    }
    let Some(protocol) = rule.protocol else { return Ok(None) };
    let to = destinations(&rule.destination, notes)?;
    let from = sources(&rule.source, notes)?;
    let to_traffic = |to: &Option<PortNumber>, from: &Option<Ports>| Traffic {
        protocol,
        to: to.clone(),
        from: from.clone(),
        message: rule.icmp,
    };
    Ok(Some(to.iter().flat_map(|to| from.iter().map(move |from| to_traffic(to, from))).collect()))
}

fn destinations(end: &Entity, notes: &mut Notes<'_>) -> Result<Vec<Option<PortNumber>>, Refusal> {
    let has_names = |ports: &[Port]| ports.iter().any(|port| matches!(port, Port::Name(_)));
    if has_names(&end.not_ports) || (has_names(&end.ports) && !end.not_ports.is_empty()) {
        let why = "a port by its name among exceptions: its number is another one in other pods";
        return Err(Refusal::new("destination.notPorts", why));
    }
    if end.ports.is_empty() && end.not_ports.is_empty() {
        return Ok(vec![None]);
    }
    if !end.not_ports.is_empty() {
        notes.add("destination.notPorts", Outcome::Expanded, "all other ports, as ranges");
    }
    let name = |port: &Port| match port {
        Port::Name(name) => Some(PortNumber::Name(name.clone())),
        Port::Range(_) => None,
    };
    let names = end.ports.iter().filter_map(name);
    let numbers =
        remaining_ports(end).into_iter().map(|range| PortNumber::Range(*range.start(), *range.end()));
    Ok(numbers.chain(names).map(Some).collect())
}

fn sources(end: &Entity, notes: &mut Notes<'_>) -> Result<Vec<Option<Ports>>, Refusal> {
    let is_name = |port: &Port| matches!(port, Port::Name(_));
    if end.ports.iter().chain(&end.not_ports).any(is_name) {
        return Err(Refusal::new("source.ports", "a source port by its name, which no target asks for"));
    }
    if end.ports.is_empty() && end.not_ports.is_empty() {
        return Ok(vec![None]);
    }
    if !end.not_ports.is_empty() {
        notes.add("source.notPorts", Outcome::Expanded, "all other ports, as ranges");
    }
    Ok(remaining_ports(end).into_iter().map(Some).collect())
}

/// The ranges of ports that are meant, in order, none of which touches another.
fn remaining_ports(end: &Entity) -> Vec<Ports> {
    let ranges = |ports: &[Port]| -> Vec<Ports> {
        let range = |port: &Port| if let Port::Range(range) = port { Some(range.clone()) } else { None };
        ports.iter().filter_map(range).collect()
    };
    let mut meant = if end.ports.is_empty() { vec![0..=LAST] } else { join_ranges(ranges(&end.ports)) };
    for not in ranges(&end.not_ports) {
        meant = meant.into_iter().flat_map(|range| subtract(&range, &not)).collect();
    }
    meant
}

fn subtract(range: &Ports, not: &Ports) -> impl Iterator<Item = Ports> + use<> {
    let before = not.start().checked_sub(1).map(|last| *range.start()..=last.min(*range.end()));
    let after = not.end().checked_add(1).map(|first| first.max(*range.start())..=*range.end());
    before.into_iter().chain(after).filter(|part| !part.is_empty())
}

/// Ranges in order; those that touch or overlap become one.
fn join_ranges(mut ranges: Vec<Ports>) -> Vec<Ports> {
    ranges.sort_by_key(|range| *range.start());
    let mut all: Vec<Ports> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if u32::from(*range.start()) <= u32::from(*last.end()) + 1 => {
                *last = *last.start()..=(*last.end()).max(*range.end());
            }
            _ => all.push(range),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(ports: &[Ports], not: &[Ports]) -> Entity {
        let ports_of = |ports: &[Ports]| ports.iter().cloned().map(Port::Range).collect();
        Entity { ports: ports_of(ports), not_ports: ports_of(not), ..Entity::default() }
    }

    #[test]
    fn ports_that_are_not_meant_are_cut_out() {
        for (ports, not, expected) in [
            (vec![80..=80], vec![], vec![80..=80]),
            (vec![443..=443, 80..=90, 91..=91], vec![], vec![80..=91, 443..=443]),
            (vec![], vec![80..=80], vec![0..=79, 81..=LAST]),
            (vec![], vec![0..=79, 81..=LAST], vec![80..=80]),
            (vec![80..=90], vec![85..=100, 80..=80], vec![81..=84]),
            (vec![80..=90], vec![1..=100], vec![]),
            (vec![], vec![0..=LAST], vec![]),
        ] {
            assert_eq!(remaining_ports(&end(&ports, &not)), expected, "{ports:?} but {not:?}");
        }
    }
}
