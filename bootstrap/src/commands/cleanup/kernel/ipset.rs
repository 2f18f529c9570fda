//! Sets of addresses (ipset), over netlink.
//!
//! *Source*: `linux/netfilter/ipset/ip_set.h`, man 8 `ipset`.

use std::io;
use std::path::Path;

use convergence::commands::cleanup::kernel::SetFact;
use netlink_packet_core::{NLA_F_NET_BYTEORDER, NLM_F_ACK};
use nix::errno::Errno;
use shim::attachment::route::rtnl::RtnlRequest;

use crate::host::netlink::{attribute, find, netfilter, text, text_attribute};

const SUBSYSTEM: u16 = 6;
const DESTROY: u16 = 3;
const LIST: u16 = 7;
const HEADER: usize = 4;
const PROTOCOL: u16 = 1;
const SETNAME: u16 = 2;
const TYPENAME: u16 = 3;
const FLAGS: u16 = 6;
/// Every kernel from 3.x on speaks it.
const VERSION: u8 = 6;
/// Name, type and size of a set, without its members.
const LIST_HEADER: u32 = 1 << 2;
const AF_INET: u8 = 2;
/// One of the errors that the subsystem numbers itself.
const BUSY: i32 = 4100;
/// Is there on a kernel that has sets, or has loaded the module. A request would load it.
const MODULE: &str = "/sys/module/ip_set";

/// All sets of this network namespace; none on a kernel without them.
///
/// # Errors
/// What the kernel says.
pub(crate) fn gather() -> io::Result<Vec<SetFact>> {
    if !Path::new(MODULE).exists() {
        return Ok(Vec::new());
    }
    let body = [
        vec![AF_INET, 0, 0, 0],
        attribute(PROTOCOL, &[VERSION]),
        attribute(FLAGS | NLA_F_NET_BYTEORDER, &LIST_HEADER.to_be_bytes()),
    ];
    netfilter()?.dump(SUBSYSTEM << 8 | LIST, &body.concat(), SUBSYSTEM << 8 | LIST, |payload| {
        let rest = payload.get(HEADER..).unwrap_or_default();
        let attribute = |kind| find(rest, kind).map(|value| text(&value));
        Ok(attribute(SETNAME).map(|name| SetFact { name, kind: attribute(TYPENAME).unwrap_or_default() }))
    })
}

/// Removes one set.
///
/// # Errors
/// What the kernel says; `EBUSY` while a rule or another set uses it. One that is gone is fine.
pub(crate) fn remove(name: &str) -> io::Result<()> {
    let body =
        [vec![AF_INET, 0, 0, 0], attribute(PROTOCOL, &[VERSION]), text_attribute(SETNAME, name)].concat();
    let request = RtnlRequest { message_type: SUBSYSTEM << 8 | DESTROY, flags: NLM_F_ACK, body };
    match netfilter()?.batch(&[request])?.pop() {
        None => Ok(()),
        Some((_, error)) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(()),
        Some((_, error)) if error.raw_os_error() == Some(BUSY) => {
            Err(io::Error::other("a rule or another set still uses it"))
        }
        Some((_, error)) => Err(error),
    }
}
