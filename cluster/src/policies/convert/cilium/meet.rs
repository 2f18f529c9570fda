//! Whether two rules can be about one packet. Where the text of the rules does not rule it out, they may. Pure.

use std::collections::BTreeMap;

use crate::cidr::Range;
use crate::model::Text;
use crate::policies::convert::plain::{Chosen, Peer, Plain, Traffic};
use crate::policies::kubernetes::{Block, LabelSelector, PortNumber, Requirement};

/// Some pods are in both lists, or may be.
pub(super) fn subjects(some: &[Chosen], others: &[Chosen]) -> bool {
    some.iter().any(|one| others.iter().any(|other| pods(one, other)))
}

/// The other ends of two rules have somebody in common, or may have.
pub(super) fn peers(some: Option<&[Peer]>, others: Option<&[Peer]>, plain: &Plain) -> bool {
    let (Some(some), Some(others)) = (some, others) else { return true };
    let meet = |one: &Peer, other: &Peer| match (one, other) {
        (Peer::Pods(one), Peer::Pods(other)) => pods(one, other),
        (Peer::Block(one), Peer::Block(other)) => blocks(one, other),
        (Peer::Pods(_), Peer::Block(block)) | (Peer::Block(block), Peer::Pods(_)) => {
            plain.pod_ranges.is_empty() || plain.pod_ranges.iter().any(|range| has_some_of(block, *range))
        }
    };
    some.iter().any(|one| others.iter().any(|other| meet(one, other)))
}

/// The traffic of two rules has something in common, or may have.
pub(super) fn traffic(some: Option<&[Traffic]>, others: Option<&[Traffic]>) -> bool {
    let (Some(some), Some(others)) = (some, others) else { return true };
    let ports = |one: &Option<PortNumber>, other: &Option<PortNumber>| match (one, other) {
        (Some(PortNumber::Range(first, last)), Some(PortNumber::Range(other_first, other_last))) => {
            first <= other_last && other_first <= last
        }
        _ => true,
    };
    let meet = |one: &Traffic, other: &Traffic| {
        let kinds = (one.message.and_then(|one| one.kind), other.message.and_then(|other| other.kind));
        let is_other_kind = matches!(kinds, (Some(one), Some(other)) if one != other);
        one.protocol == other.protocol && ports(&one.to, &other.to) && !is_other_kind
    };
    some.iter().any(|one| others.iter().any(|other| meet(one, other)))
}

/// Every pod of these is one of those, as far as their text says it.
pub(super) fn covered(these: &[Chosen], those: &[Chosen]) -> bool {
    these.iter().all(|one| those.iter().any(|other| one == other || *other == Chosen::default()))
}

fn pods(one: &Chosen, other: &Chosen) -> bool {
    let names = (one.named(), other.named());
    let is_elsewhere =
        matches!(names, (Some(some), Some(others)) if !some.iter().any(|name| others.contains(name)));
    let accounts =
        |of: &Chosen| LabelSelector { match_expressions: of.accounts.clone(), ..LabelSelector::default() };
    !is_elsewhere
        && selectors(&one.of_namespaces(), &other.of_namespaces())
        && selectors(&one.pods, &other.pods)
        && selectors(&accounts(one), &accounts(other))
}

fn blocks(one: &Block, other: &Block) -> bool {
    has_some_of(one, other.range) && has_some_of(other, one.range)
}

/// The block has an address of the range, or may have: exceptions may cover it together.
fn has_some_of(block: &Block, range: Range) -> bool {
    (block.range.contains(range) || range.contains(block.range))
        && !block.except.iter().any(|except| except.contains(range))
}

/// What two selectors ask of one key.
#[derive(Default)]
struct Asked<'s> {
    /// The values of each list of which the label must have one.
    within: Vec<&'s [Text]>,
    without: Vec<&'s Text>,
    exists: bool,
    is_absent: bool,
}

/// Something can have labels for both.
fn selectors(one: &LabelSelector, other: &LabelSelector) -> bool {
    let mut asked: BTreeMap<&Text, Asked<'_>> = BTreeMap::new();
    for selector in [one, other] {
        for (key, value) in &selector.match_labels {
            asked.entry(key).or_default().within.push(std::slice::from_ref(value));
        }
        for Requirement { key, operator, values } in &selector.match_expressions {
            let of = asked.entry(key).or_default();
            match &**operator {
                "In" => of.within.push(values),
                "NotIn" => of.without.extend(values),
                "Exists" => of.exists = true,
                _ => of.is_absent = true,
            }
        }
    }
    asked.values().all(Asked::is_possible)
}

impl Asked<'_> {
    fn is_possible(&self) -> bool {
        let Some((first, rest)) = self.within.split_first() else { return !(self.exists && self.is_absent) };
        let fits =
            |value: &&Text| rest.iter().all(|values| values.contains(value)) && !self.without.contains(value);
        !self.is_absent && first.iter().any(|value| fits(&value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::calico::{Message, parse};
    use crate::policies::convert::choose::chosen;

    fn of(text: &str) -> Vec<Chosen> {
        chosen(&parse(text).expect("a selector")).expect("label selectors")
    }

    #[test]
    fn selectors_that_exclude_each_other_do_not_meet() {
        for (one, other, expected) in [
            ("app == 'a'", "role == 'b'", true),
            ("app == 'a'", "app == 'b'", false),
            ("app == 'a'", "app != 'a'", false),
            ("app in {'a', 'b'}", "app in {'b', 'c'}", true),
            ("app in {'a', 'b'}", "app in {'b', 'c'} && app != 'b'", false),
            ("app in {'a', 'b'}", "app in {'c'}", false),
            ("has(app)", "!has(app)", false),
            ("app == 'a'", "!has(app)", false),
            ("app != 'a'", "!has(app)", true),
            ("app == 'a' || app == 'b'", "app == 'b'", true),
            ("all()", "app == 'b'", true),
            ("projectcalico.org/namespace == 'a'", "projectcalico.org/namespace == 'b'", false),
            ("projectcalico.org/namespace == 'a'", "projectcalico.org/namespace != 'a'", false),
            ("pcns.team == 'a'", "pcns.team == 'b'", false),
            ("pcns.team == 'a'", "team == 'b'", true),
            ("projectcalico.org/serviceaccount == 'a'", "projectcalico.org/serviceaccount == 'b'", false),
        ] {
            assert_eq!(subjects(&of(one), &of(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn ranges_meet_pods_and_each_other() {
        let range = |text: &str| Range::read(text).expect("a range").0;
        let block = |text: &str, except: &[&str]| {
            Peer::Block(Block { range: range(text), except: except.iter().map(|text| range(text)).collect() })
        };
        let plain = Plain { pod_ranges: vec![range("10.244.0.0/16")], ..Plain::default() };
        let somebody = Peer::Pods(Chosen::default());
        for (one, other, expected) in [
            (block("10.0.0.0/8", &[]), block("10.1.0.0/16", &[]), true),
            (block("10.0.0.0/8", &["10.1.0.0/16"]), block("10.1.2.0/24", &[]), false),
            (block("10.0.0.0/8", &["10.1.0.0/17"]), block("10.1.0.0/16", &[]), true),
            (block("10.0.0.0/8", &[]), block("11.0.0.0/8", &[]), false),
            (block("10.0.0.0/8", &[]), somebody.clone(), true),
            (block("10.0.0.0/8", &["10.244.0.0/16"]), somebody.clone(), false),
            (block("172.16.0.0/12", &[]), somebody, false),
        ] {
            assert_eq!(
                peers(Some(std::slice::from_ref(&one)), Some(std::slice::from_ref(&other)), &plain),
                expected,
                "{one:?} {other:?}"
            );
        }
        assert!(peers(None, Some(&[block("172.16.0.0/12", &[])]), &plain));
    }

    #[test]
    fn traffic_meets_by_protocol_port_and_type() {
        let of = |protocol: u8, to: Option<PortNumber>, kind: Option<u8>| Traffic {
            protocol,
            to,
            from: None,
            message: kind.map(|kind| Message { kind: Some(kind), code: None }),
        };
        let range = |first: u16, last: u16| Some(PortNumber::Range(first, last));
        for (one, other, expected) in [
            (of(6, None, None), of(17, None, None), false),
            (of(6, None, None), of(6, range(80, 80), None), true),
            (of(6, range(80, 90), None), of(6, range(90, 99), None), true),
            (of(6, range(80, 90), None), of(6, range(91, 99), None), false),
            (of(6, range(80, 90), None), of(6, Some(PortNumber::Name("web".into())), None), true),
            (of(1, None, Some(8)), of(1, None, Some(3)), false),
            (of(1, None, Some(8)), of(1, None, None), true),
        ] {
            assert_eq!(
                traffic(Some(std::slice::from_ref(&one)), Some(std::slice::from_ref(&other))),
                expected,
                "{one:?} {other:?}"
            );
        }
    }
}
