//! One policy rule of the route step: read from the kernel, and written back.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::entry::{FIRST, OWNER, family, full_prefix, is_ip};

/// A rule of the route step: packets from `source` are routed by `table` first. The priority of the rule is the number of the table.
///
/// The rule is for packets without a mark. A packet gets its mark from a service mesh, a VPN or the pod's own program, which has a rule for it that
/// may come later (Istio's have the priorities 32764 and 32765).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    pub(super) source: IpAddr,
    pub(super) table: u32,
}

impl Rule {
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
        let ours = [FIRST, OWNER].contains(&table)
            && priority == table
            && mark == 0
            && message.header.action == RuleAction::ToTable;
        Ok(source
            .filter(|address| ours && message.header.src_len == full_prefix(*address))
            .map(|source| Self { source, table }))
    }

    /// The message as the kernel takes it in RTM_NEWRULE.
    pub(super) fn message(&self) -> RuleMessage {
        let mut message = self.named();
        message.attributes.extend([RuleAttribute::FwMark(0), RuleAttribute::FwMask(u32::MAX)]);
        message
    }

    /// As much of the message as RTM_DELRULE requires. It also names a rule for packets with any mark, as earlier versions made it.
    pub(super) fn named(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = family(self.source);
        message.header.src_len = full_prefix(self.source);
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![
            RuleAttribute::Source(self.source),
            RuleAttribute::Priority(self.table),
            RuleAttribute::Table(self.table),
        ];
        message
    }
}
