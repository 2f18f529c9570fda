//! One policy rule of the route step: read from the kernel, and written back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::entry::{FIRST, OWNER, PINNED, family, full_prefix, is_ip};

/// The priorities of the kernel's own rules, which look up the tables local, main and default.
const PRIORITIES_OF_KERNEL: [u32; 3] = [0, 32766, 32767];

/// A rule of the route step: packets from `source` are routed by `table` first. The priority of the rule is the number of the table.
///
/// The rule is for packets without a mark. A packet gets its mark from a service mesh, a VPN or the pod's own program, which has a rule for it that
/// may come later (Istio's have the priorities 32764 and 32765).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    /// One of the pod's addresses; the unspecified one in a rule to the table of pinned routes, which is for all packets of the family.
    pub(super) source: IpAddr,
    pub(super) table: u32,
}

impl Rule {
    /// The rule for all packets of a family while a network joins the pod.
    pub(super) fn pin(family: AddressFamily) -> Self {
        let source = match family {
            AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self { source, table: PINNED }
    }

    fn prefix(&self) -> u8 {
        if self.table == PINNED { 0 } else { full_prefix(self.source) }
    }

    /// Parses a dumped rule; None if another program made it: a rule of priority 1001 to another table, a rule for a mark, or one from a whole network.
    pub(super) fn parse(payload: &[u8]) -> Result<Option<Self>, DecodeError> {
        if !is_ip(payload) {
            return Ok(None);
        }
        let message = RuleMessage::parse(payload)?;
        let (mut source, mut table, mut priority, mut mark) = (None, u32::from(message.header.table), 0, 0);
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Source(address) => source = Some(*address),
                RuleAttribute::Table(number) => table = *number,
                RuleAttribute::Priority(number) => priority = *number,
                RuleAttribute::FwMark(number) => mark = *number,
                _ => {}
            }
        }
        let rule = match (table, source) {
            (FIRST | OWNER, Some(source)) => Self { source, table },
            (PINNED, None) => Self::pin(message.header.family),
            _ => return Ok(None),
        };
        let ours = priority == table && mark == 0 && message.header.action == RuleAction::ToTable;
        Ok(Some(rule).filter(|rule| ours && message.header.src_len == rule.prefix()))
    }

    /// The priority of a dumped rule that neither the kernel nor the route step made; None for any other message.
    pub(super) fn parse_foreign(payload: &[u8]) -> Result<Option<u32>, DecodeError> {
        if !is_ip(payload) || Self::parse(payload)?.is_some() {
            return Ok(None);
        }
        let priority = RuleMessage::parse(payload)?.attributes.iter().find_map(|attribute| match attribute {
            RuleAttribute::Priority(number) => Some(*number),
            _ => None,
        });
        Ok(Some(priority.unwrap_or(0)).filter(|priority| !PRIORITIES_OF_KERNEL.contains(priority)))
    }

    /// The message as the kernel takes it in RTM_NEWRULE.
    pub(super) fn message(&self) -> RuleMessage {
        let mut message = self.to_message();
        message.attributes.extend([RuleAttribute::FwMark(0), RuleAttribute::FwMask(u32::MAX)]);
        message
    }

    /// As much of the message as RTM_DELRULE requires. It also names a rule for packets with any mark, as earlier versions made it.
    pub(super) fn to_message(self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = family(self.source);
        message.header.src_len = self.prefix();
        message.header.action = RuleAction::ToTable;
        message.attributes.extend((self.table != PINNED).then_some(RuleAttribute::Source(self.source)));
        message.attributes.extend([RuleAttribute::Priority(self.table), RuleAttribute::Table(self.table)]);
        message
    }

    /// The rule in the words of `ip rule`.
    pub(super) fn describe(&self) -> String {
        let source = if self.table == PINNED { "all".to_owned() } else { self.source.to_string() };
        format!("from {source} to table {}", self.table)
    }
}
