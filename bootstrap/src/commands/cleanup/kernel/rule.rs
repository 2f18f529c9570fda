//! Routing rules, over rtnetlink.
//!
//! *Source*: `linux/fib_rules.h`, man 8 `ip-rule`.

use std::io;
use std::net::IpAddr;

use convergence::commands::cleanup::kernel::{LOCAL, RuleFact};
use nix::errno::Errno;

use super::link::{ip, send};
use crate::host::netlink::{attribute, attributes, native_u32, route, text};

const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
/// `struct fib_rule_hdr`.
const HEADER: usize = 12;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const FR_ACT_TO_TBL: u8 = 1;
const RTPROT_KERNEL: u8 = 2;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_IFGROUP: u16 = 13;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_PAD: u16 = 18;
const FRA_PROTOCOL: u16 = 21;

/// All rules of both families.
///
/// # Errors
/// What the kernel says.
pub(crate) fn gather() -> io::Result<Vec<RuleFact>> {
    let mut all = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut body = vec![0; HEADER];
        body[0] = family;
        all.extend(route()?.dump(RTM_GETRULE, &body, RTM_NEWRULE, |payload| Ok(parse(payload)))?);
    }
    Ok(all)
}

/// Removes one rule.
///
/// # Errors
/// What the kernel says. One that is gone is fine.
pub(crate) fn remove(body: &[u8]) -> io::Result<()> {
    send(RTM_DELRULE, body.to_vec(), Errno::ENOENT)
}

/// Puts the rule that looks up this node's own addresses back to priority 0, as the kernel makes it.
///
/// # Errors
/// What the kernel says. One that is there is fine.
pub(crate) fn add_local(family: u8) -> io::Result<()> {
    if gather()?.iter().any(|rule| rule.family == family && rule.priority == 0 && rule.is_local()) {
        return Ok(());
    }
    let mut body = vec![0; HEADER];
    body[0] = family;
    body[4] = 255;
    body[7] = FR_ACT_TO_TBL;
    body.extend(attribute(FRA_PRIORITY, &0_u32.to_ne_bytes()));
    body.extend(attribute(FRA_TABLE, &LOCAL.to_ne_bytes()));
    body.extend(attribute(FRA_PROTOCOL, &[RTPROT_KERNEL]));
    let create = netlink_packet_core::NLM_F_CREATE | netlink_packet_core::NLM_F_EXCL;
    let request =
        shim::attachment::route::rtnl::RtnlRequest { message_type: RTM_NEWRULE, flags: create, body };
    match route()?.batch(&[request])?.pop() {
        Some((_, error)) if error.raw_os_error() != Some(Errno::EEXIST as i32) => Err(error),
        _ => Ok(()),
    }
}

fn parse(payload: &[u8]) -> Option<RuleFact> {
    let header = payload.get(..HEADER)?;
    let flags = native_u32(&header[8..12])?;
    let mut rule = RuleFact {
        family: header[0],
        priority: 0,
        table: u32::from(header[4]),
        mark: None,
        from: None,
        from_prefix: header[2],
        to: None,
        to_prefix: header[1],
        iif: None,
        // The flag FIB_RULE_INVERT, a type of service, and actions such as goto or blackhole.
        more: flags & 2 != 0 || header[3] != 0 || header[7] != FR_ACT_TO_TBL,
        words: String::new(),
        body: header.to_vec(),
    };
    // Flags such as "the interface is gone" are the kernel's to set.
    rule.body[8..12].copy_from_slice(&(flags & 2).to_ne_bytes());
    let (mut mark, mut mask) = (None, u32::MAX);
    for (kind, value) in attributes(&payload[HEADER..]) {
        match kind {
            FRA_DST => rule.to = ip(&value),
            FRA_SRC => rule.from = ip(&value),
            FRA_IIFNAME => rule.iif = Some(text(&value)),
            FRA_PRIORITY => rule.priority = native_u32(&value)?,
            FRA_TABLE => rule.table = native_u32(&value)?,
            FRA_FWMARK => mark = native_u32(&value),
            FRA_FWMASK => mask = native_u32(&value)?,
            FRA_PROTOCOL | FRA_PAD => {}
            FRA_SUPPRESS_IFGROUP | FRA_SUPPRESS_PREFIXLEN => {
                rule.more |= native_u32(&value) != Some(u32::MAX);
            }
            _ => rule.more = true,
        }
        if matches!(
            kind,
            FRA_DST
                | FRA_SRC
                | FRA_IIFNAME
                | FRA_PRIORITY
                | FRA_TABLE
                | FRA_FWMARK
                | FRA_FWMASK
                | FRA_PROTOCOL
        ) {
            rule.body.extend(attribute(kind, &value));
        }
    }
    rule.mark = mark.filter(|mark| *mark != 0).map(|mark| (mark, mask));
    rule.words = words(&rule);
    Some(rule)
}

fn words(rule: &RuleFact) -> String {
    let selector = |address: Option<IpAddr>, prefix: u8| match address {
        Some(address) if prefix == rule.bits() => address.to_string(),
        Some(address) => format!("{address}/{prefix}"),
        None => "all".to_owned(),
    };
    let mut words = vec![format!("from {}", selector(rule.from, rule.from_prefix))];
    words.extend(rule.to.map(|_| format!("to {}", selector(rule.to, rule.to_prefix))));
    words.extend(rule.mark.map(|(mark, mask)| format!("fwmark {mark:#x}/{mask:#x}")));
    words.extend(rule.iif.iter().map(|name| format!("iif {name}")));
    words.push(format!("lookup {} pref {}", rule.table, rule.priority));
    words.join(" ")
}
