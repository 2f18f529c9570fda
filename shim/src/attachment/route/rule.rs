//! One policy rule of the route step: read from the kernel, and written back.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use super::entry::{FIRST, OWNER, family, full_prefix, is_ip};

/// A rule of the route step: packets from `source` are routed by `table` first. The priority of the rule is the number of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Rule {
    pub(super) source: IpAddr,
    pub(super) table: u32,
}

impl Rule {
    /// Parses a dumped rule; None if another program made it: a rule of priority 1001 to another table, or a rule from a whole network.
    pub(super) fn parse(payload: &[u8]) -> Result<Option<Self>, DecodeError> {
        if !is_ip(payload) {
            return Ok(None);
        }
        let message = RuleMessage::parse(payload)?;
        let (mut source, mut table, mut priority) = (None, u32::from(message.header.table), 0);
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Source(address) => source = Some(*address),
                RuleAttribute::Table(number) => table = *number,
                RuleAttribute::Priority(number) => priority = *number,
                _ => {}
            }
        }
        let ours = [FIRST, OWNER].contains(&table)
            && priority == table
            && message.header.action == RuleAction::ToTable;
        Ok(source
            .filter(|address| ours && message.header.src_len == full_prefix(*address))
            .map(|source| Self { source, table }))
    }

    /// The message as the kernel takes it in RTM_NEWRULE and RTM_DELRULE.
    pub(super) fn message(&self) -> RuleMessage {
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
