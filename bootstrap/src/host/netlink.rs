//! Netlink messages, taken apart and put together.
//!
//! Only the attributes that are needed are decoded, so that a newer kernel's attributes hide nothing.

use std::io;
use std::time::{Duration, Instant};

use netlink_packet_core::{DefaultNla, NlasIterator};
use shim::attachment::route::Budget;
use shim::attachment::route::rtnl::{Rtnl, emit};

/// *Source*: `linux/netlink.h`.
const NETLINK_ROUTE: isize = 0;
/// *Source*: `linux/netlink.h`.
const NETLINK_NETFILTER: isize = 12;
/// How long one reading, or one change, may take. A node with a hundred thousand rules takes a few seconds.
const WITHIN: Duration = Duration::from_secs(60);
/// The largest number of things of one kind: as many routes as a node has pods and other nodes, and as many rules as kube-proxy writes.
const MOST: usize = 1 << 20;
/// How often a reading begins anew because others change what is read.
const TRIES: u32 = 200;

/// A conversation about interfaces, routes and rules.
///
/// # Errors
/// No socket.
pub(crate) fn route() -> io::Result<Rtnl<'static>> {
    Rtnl::open_node(NETLINK_ROUTE, Budget::new(Instant::now() + WITHIN, None), MOST, TRIES)
}

/// A conversation about the firewall.
///
/// # Errors
/// No socket.
pub(crate) fn netfilter() -> io::Result<Rtnl<'static>> {
    Rtnl::open_node(NETLINK_NETFILTER, Budget::new(Instant::now() + WITHIN, None), MOST, TRIES)
}

/// The attributes of a message or of a nested attribute: type and value. What is torn ends the list.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, Vec<u8>)> {
    NlasIterator::new(bytes).map_while(|attribute| {
        let attribute = attribute.ok()?;
        Some((attribute.kind(), attribute.value().to_vec()))
    })
}

/// The value of the first attribute of this type.
#[must_use]
pub(crate) fn find(bytes: &[u8], attribute_kind: u16) -> Option<Vec<u8>> {
    attributes(bytes).find(|(kind, _)| *kind == attribute_kind).map(|(_, value)| value)
}

/// One attribute, with its padding.
#[must_use]
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    emit(&DefaultNla::new(kind, value.to_vec()))
}

/// A text attribute, which ends with a NUL.
#[must_use]
pub(crate) fn text_attribute(kind: u16, text: &str) -> Vec<u8> {
    attribute(kind, &[text.as_bytes(), &[0]].concat())
}

/// A text that ends at its first NUL. The kernel does not hold names to UTF-8.
#[must_use]
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A number in the machine's own order.
#[must_use]
pub(crate) fn native_u32(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

/// A number in network order.
#[must_use]
pub(crate) fn net_u64(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}
