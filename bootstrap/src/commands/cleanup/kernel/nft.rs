//! nftables over netlink: tables, and the chains and rules of those that iptables keeps there.
//!
//! *Source*: `linux/netfilter/nf_tables.h`, `linux/netfilter/nf_tables_compat.h`, `linux/netfilter/nfnetlink.h`.

use std::io;

use convergence::commands::cleanup::firewall::{BackEnd, Chain, FilterRule, RuleId, TABLES, Table};
use convergence::commands::cleanup::kernel::NftTableFact;
use nix::errno::Errno;
use shim::attachment::route::rtnl::RtnlRequest;

use crate::host::netlink::{attribute, attributes, find, net_u64, netfilter, text, text_attribute};

/// `struct nfgenmsg`: family, version, resource.
const HEADER: usize = 4;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const GETCHAIN: u16 = 4;
const DELCHAIN: u16 = 5;
const NEWRULE: u16 = 6;
const GETRULE: u16 = 7;
const DELRULE: u16 = 8;
const TABLE_NAME: u16 = 1;
const TABLE_HANDLE: u16 = 4;
const CHAIN_TABLE: u16 = 1;
const CHAIN_HANDLE: u16 = 2;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;
const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;
const MATCH_NAME: u16 = 1;
const MATCH_INFO: u16 = 3;
/// The type of a comment in a rule's user data. *Source*: libnftnl, `udata.h`.
const UDATA_COMMENT: u8 = 0;
/// The families in which iptables keeps its tables.
const FAMILIES: [u8; 2] = [2, 10];

/// All tables of all families; none on a kernel without nftables.
///
/// # Errors
/// What the kernel says.
pub(crate) fn tables() -> io::Result<Vec<NftTableFact>> {
    let tables = dump(GETTABLE, NEWTABLE, 0, Vec::new(), |family, rest| {
        let name = find(rest, TABLE_NAME).map(|name| text(&name))?;
        let handle = find(rest, TABLE_HANDLE).and_then(|handle| net_u64(&handle)).unwrap_or(0);
        Some(NftTableFact { family, name, handle })
    });
    match tables {
        // A kernel without nftables knows no such request, or no such socket.
        Err(error) if is_unknown(&error) => Ok(Vec::new()),
        tables => tables,
    }
}

fn is_unknown(error: &io::Error) -> bool {
    [Errno::EINVAL, Errno::EPROTONOSUPPORT].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

/// The tables of iptables with their chains and rules.
///
/// # Errors
/// What the kernel says.
pub(crate) fn gather() -> io::Result<Vec<Table>> {
    let mut all: Vec<Table> = Vec::new();
    for table in tables()? {
        if !FAMILIES.contains(&table.family) || !TABLES.contains(&table.name.as_str()) {
            continue;
        }
        all.push(Table {
            back_end: BackEnd::Nft,
            family: table.family,
            name: table.name,
            chains: Vec::new(),
        });
    }
    for family in FAMILIES {
        if !all.iter().any(|table| table.family == family) {
            continue;
        }
        for (table, chain) in dump(GETCHAIN, NEWCHAIN, family, Vec::new(), |_, rest| chain(rest))? {
            if let Some(entry) =
                all.iter_mut().find(|candidate| candidate.family == family && candidate.name == table)
            {
                entry.chains.push(chain);
            }
        }
    }
    for table in &mut all {
        let only = text_attribute(RULE_TABLE, &table.name);
        let name = table.name.clone();
        for (its, chain, rule) in dump(GETRULE, NEWRULE, table.family, only, |_, rest| rule(rest))? {
            if let Some(entry) =
                table.chains.iter_mut().find(|candidate| its == name && candidate.name == chain)
            {
                entry.rules.push(rule);
            }
        }
    }
    Ok(all)
}

/// Removes one rule by its handle.
///
/// # Errors
/// What the kernel says. One that is gone is fine.
pub(crate) fn remove_rule(family: u8, table: &str, chain: &str, handle: u64) -> io::Result<()> {
    let mut body = chain_filter(table, chain);
    body.extend(attribute(RULE_HANDLE, &handle.to_be_bytes()));
    change(DELRULE, family, &body)
}

/// Removes all rules of one chain, at once.
///
/// # Errors
/// As [`remove_rule`].
pub(crate) fn flush_chain(family: u8, table: &str, chain: &str) -> io::Result<()> {
    change(DELRULE, family, &chain_filter(table, chain))
}

/// Removes one chain, which nothing refers to any more.
///
/// # Errors
/// As [`remove_rule`]; `EBUSY` while a rule jumps there.
pub(crate) fn remove_chain(family: u8, table: &str, chain: &str) -> io::Result<()> {
    let body = [text_attribute(CHAIN_TABLE, table), text_attribute(CHAIN_NAME, chain)].concat();
    change(DELCHAIN, family, &body)
}

/// Removes one table with all that is in it, by its handle if the kernel has told one.
///
/// # Errors
/// As [`remove_rule`].
pub(crate) fn remove_table(family: u8, name: &str, handle: u64) -> io::Result<()> {
    let body = if handle > 0 {
        attribute(TABLE_HANDLE, &handle.to_be_bytes())
    } else {
        text_attribute(TABLE_NAME, name)
    };
    change(DELTABLE, family, &body)
}

fn chain_filter(table: &str, chain: &str) -> Vec<u8> {
    [text_attribute(RULE_TABLE, table), text_attribute(RULE_CHAIN, chain)].concat()
}

/// One change as a transaction of its own. What is gone already is fine.
fn change(verb: u16, family: u8, attributes: &[u8]) -> io::Result<()> {
    let request = |message_type: u16, header: [u8; HEADER], rest: &[u8]| RtnlRequest {
        message_type,
        flags: 0,
        body: [&header[..], rest].concat(),
    };
    let batch = [0, 0, 0, SUBSYSTEM as u8];
    let requests = [
        request(BATCH_BEGIN, batch, &[]),
        request(SUBSYSTEM << 8 | verb, [family, 0, 0, 0], attributes),
        request(BATCH_END, batch, &[]),
    ];
    match netfilter()?.transaction(&requests, 1) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(()),
        other => other,
    }
}

fn dump<T>(
    verb: u16,
    reply: u16,
    family: u8,
    only: Vec<u8>,
    parse: impl Fn(u8, &[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    let body = [vec![family, 0, 0, 0], only].concat();
    netfilter()?.dump(SUBSYSTEM << 8 | verb, &body, SUBSYSTEM << 8 | reply, |payload| {
        let family = payload.first().copied().unwrap_or_default();
        Ok(parse(family, payload.get(HEADER..).unwrap_or_default()))
    })
}

fn chain(rest: &[u8]) -> Option<(String, Chain)> {
    let table = text(&find(rest, CHAIN_TABLE)?);
    let name = text(&find(rest, CHAIN_NAME)?);
    // A chain has a handle on every kernel; one without is not a chain.
    find(rest, CHAIN_HANDLE)?;
    Some((table, Chain { name, built_in: find(rest, CHAIN_HOOK).is_some(), rules: Vec::new() }))
}

fn rule(rest: &[u8]) -> Option<(String, String, FilterRule)> {
    let table = text(&find(rest, RULE_TABLE)?);
    let chain = text(&find(rest, RULE_CHAIN)?);
    let handle = net_u64(&find(rest, RULE_HANDLE)?)?;
    let mut rule = FilterRule { id: RuleId::Handle(handle), jump: None, comments: Vec::new() };
    for (_, element) in attributes(&find(rest, RULE_EXPRESSIONS).unwrap_or_default()) {
        let Some(data) = find(&element, EXPR_DATA) else { continue };
        match find(&element, EXPR_NAME).map(|name| text(&name)).as_deref() {
            Some("immediate") => {
                let verdict = find(&data, IMMEDIATE_DATA).and_then(|data| find(&data, DATA_VERDICT));
                let target = verdict.and_then(|verdict| find(&verdict, VERDICT_CHAIN));
                rule.jump = target.map(|target| text(&target)).or(rule.jump);
            }
            Some("match") if find(&data, MATCH_NAME).is_some_and(|name| text(&name) == "comment") => {
                rule.comments.extend(find(&data, MATCH_INFO).map(|info| text(&info)));
            }
            _ => {}
        }
    }
    rule.comments.extend(find(rest, RULE_USERDATA).and_then(|data| comment(&data)));
    Some((table, chain, rule))
}

/// The comment in a rule's user data, which is a list of a type, a length, and as many bytes.
fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == UDATA_COMMENT {
            return Some(text(value));
        }
        data = &rest[usize::from(*length)..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_and_its_comments_are_read_from_a_rule() {
        let expression = |name: &str, data: Vec<u8>| {
            let element = [text_attribute(EXPR_NAME, name), attribute(EXPR_DATA, &data)].concat();
            attribute(1, &element)
        };
        let verdict =
            [attribute(1, &(-3_i32).to_be_bytes()), text_attribute(VERDICT_CHAIN, "cali-FORWARD")].concat();
        let data = attribute(DATA_VERDICT, &verdict);
        let jump = expression("immediate", attribute(IMMEDIATE_DATA, &data));
        let mut info = b"cali:wUHhoiAYhphO9Mso".to_vec();
        info.resize(256, 0);
        let noted = expression(
            "match",
            [text_attribute(MATCH_NAME, "comment"), attribute(MATCH_INFO, &info)].concat(),
        );
        let rest = [
            text_attribute(RULE_TABLE, "filter"),
            text_attribute(RULE_CHAIN, "FORWARD"),
            attribute(RULE_HANDLE, &7_u64.to_be_bytes()),
            attribute(RULE_EXPRESSIONS, &[noted, expression("counter", vec![0; 4]), jump].concat()),
            attribute(RULE_USERDATA, &[&[9, 1, 0, 0, 6][..], b"mine\0x"].concat()),
        ];
        let (table, chain, rule) = rule(&rest.concat()).expect("a rule");
        assert_eq!(
            (table.as_str(), chain.as_str(), rule.jump.as_deref()),
            ("filter", "FORWARD", Some("cali-FORWARD"))
        );
        assert_eq!(
            (rule.id, rule.comments),
            (RuleId::Handle(7), vec!["cali:wUHhoiAYhphO9Mso".into(), "mine".into()])
        );
    }

    #[test]
    fn user_data_that_is_torn_has_no_comment() {
        for data in [&[][..], &[0][..], &[0, 9, b'x'][..], &[3, 1, 0][..]] {
            assert_eq!(comment(data), None);
        }
    }
}
