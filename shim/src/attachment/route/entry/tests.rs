//! The kernel's messages that become routes and rules of Crossfade's types.

use netlink_packet_core::Emitable;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};

use super::*;
use crate::attachment::route::rule::Rule;

fn bytes(message: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

#[test]
fn a_rule_is_ours_only_by_both_numbers_and_one_whole_address() {
    let ours = Rule { source: IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2)), table: FIRST };
    let six = Rule { source: IpAddr::V6(Ipv6Addr::LOCALHOST), table: OWNER };
    let pins = [Rule::pin(AddressFamily::Inet), Rule::pin(AddressFamily::Inet6)];
    for rule in [ours, six].into_iter().chain(pins) {
        assert_eq!(Rule::parse(&bytes(&rule.message())).expect("a rule"), Some(rule));
    }
    let changed = |change: fn(&mut RuleMessage)| {
        let mut message = ours.message();
        change(&mut message);
        Rule::parse(&bytes(&message)).expect("a rule")
    };
    assert_eq!(changed(|rule| rule.attributes[1] = RuleAttribute::Priority(900)), None);
    assert_eq!(changed(|rule| rule.attributes[1] = RuleAttribute::Priority(OWNER)), None);
    assert_eq!(changed(|rule| rule.attributes[2] = RuleAttribute::Table(77)), None);
    assert_eq!(changed(|rule| rule.header.src_len = 24), None);
    assert_eq!(changed(|rule| rule.header.action = RuleAction::Prohibit), None);
    assert_eq!(changed(|rule| drop(rule.attributes.remove(0))), None);
    let mut narrow = pins[0].message();
    narrow.attributes.push(RuleAttribute::Source(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(Rule::parse(&bytes(&narrow)).expect("a rule"), None, "a pin is for all packets");
    assert_eq!(Rule::parse(&[]).expect("nothing at all"), None);
    assert_eq!(Rule::parse(&bytes(&RuleHeader::default())).expect("another family"), None);
}

#[test]
fn routes_of_no_interest_are_not_even_decoded() {
    let cidr = "10.1.0.0/16".parse().expect("a CIDR");
    let route = Route::new_on_link(cidr, 2);
    let changed = |change: fn(&mut RouteMessage)| {
        let mut message = route.message().clone();
        change(&mut message);
        Route::parse(&bytes(&message)).expect("a route").len()
    };
    assert_eq!(changed(|_| {}), 1);
    assert_eq!(changed(|route| route.header.flags = RouteFlags::Cloned), 0);
    assert_eq!(changed(|route| route.header.kind = RouteType::Local), 0);
    assert_eq!(changed(|route| route.header.address_family = AddressFamily::Bridge), 0);
    assert_eq!(
        changed(|route| route.attributes.push(RouteAttribute::Table(77))),
        1,
        "the first table counts"
    );
    assert_eq!(Route::parse(&bytes(route.with_table(77).message())).expect("a route").len(), 0);
}
