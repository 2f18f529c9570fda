//! A real interface in a pod, made and removed as fast as the kernel can: over rtnetlink, without `ip`.
//!
//! A stub that answers an ADD with words leaves nothing in the kernel; one that plugs leaves a veth pair, an address and a
//! default route, which are there or not whatever the call log says.
//!
//! *Source*: rtnetlink(7), veth(4).

use std::{
    fs::File,
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NetlinkBuffer};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};

use nix::{errno::Errno, net::if_::if_nametoindex, sched::CloneFlags, sched::setns};

use crate::host::netlink;

/// Makes a veth pair: `ifname` in the pod, up, with `address`/32 and a default route, and its peer `host` out here, up.
///
/// The calling thread is in the pod's netns afterwards.
///
/// # Errors
/// What the kernel refuses, in words that name the step; a name that is taken is one of them.
pub fn plug(netns: &Path, ifname: &str, host: &str, address: Ipv4Addr) -> Result<()> {
    let pod = File::open(netns).with_context(|| format!("open netns {}", netns.display()))?;
    let mut inside = named(ifname);
    inside.attributes.push(LinkAttribute::NetNsFd(pod.as_raw_fd()));
    let mut pair = named(host);
    set_up(&mut pair);
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inside))),
    ]));
    request(RouteNetlinkMessage::NewLink(pair)).with_context(|| format!("veth {host} to {ifname}"))?;
    setns(pod.as_fd(), CloneFlags::CLONE_NEWNET).context("enter the pod's netns")?;
    let index = if_nametoindex(ifname).with_context(|| format!("index of {ifname}"))?;
    // Only now: a veth cannot be up before it has its peer.
    let mut up = LinkMessage::default();
    up.header.index = index;
    set_up(&mut up);
    request(RouteNetlinkMessage::SetLink(up)).with_context(|| format!("set {ifname} up"))?;

    let mut own = AddressMessage::default();
    own.header.family = AddressFamily::Inet;
    own.header.prefix_len = 32;
    own.header.index = index;
    own.attributes = vec![AddressAttribute::Local(address.into()), AddressAttribute::Address(address.into())];
    request(RouteNetlinkMessage::NewAddress(own)).with_context(|| format!("address {address}"))?;

    let mut default = RouteMessage::default();
    default.header.address_family = AddressFamily::Inet;
    default.header.table = RouteHeader::RT_TABLE_MAIN;
    default.header.protocol = RouteProtocol::Boot;
    default.header.scope = RouteScope::Link;
    default.header.kind = RouteType::Unicast;
    default.attributes = vec![RouteAttribute::Oif(index)];
    request(RouteNetlinkMessage::NewRoute(default)).with_context(|| format!("default route by {ifname}"))
}

/// Removes the pair whose peer out here is `host`; an absent one is fine, as a DEL must have it.
///
/// # Errors
/// What else the kernel says.
pub fn unplug(host: &str) -> Result<()> {
    match request(RouteNetlinkMessage::DelLink(named(host))) {
        Err(error) if error.downcast_ref::<Errno>() == Some(&Errno::ENODEV) => Ok(()),
        other => other.with_context(|| format!("remove veth {host}")),
    }
}

fn set_up(link: &mut LinkMessage) {
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
}

fn named(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    link
}

/// Sends one change in the thread's own netns and waits for the kernel's word on it.
fn request(change: RouteNetlinkMessage) -> Result<()> {
    let creates = !matches!(change, RouteNetlinkMessage::DelLink(_) | RouteNetlinkMessage::SetLink(_));
    let socket = netlink::ask(NLM_F_ACK | if creates { NLM_F_CREATE | NLM_F_EXCL } else { 0 }, change)?;
    let (reply, _) = socket.recv_from_full()?;
    // `struct nlmsgerr`: a negated errno before the request's own header.
    let payload = NetlinkBuffer::new_checked(&reply)?.payload();
    let code: [u8; 4] = payload.get(..4).context("a short reply of the kernel")?.try_into()?;
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        code if code < 0 => Err(Errno::from_raw(-code).into()),
        code => bail!("the kernel answers {code}"),
    }
}
