//! rtnetlink without `ip`, in the thread's own network namespace.
//!
//! *Source*: netlink(7), rtnetlink(7).

use anyhow::{Context, Result};
use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Asks the kernel something, with these flags besides `NLM_F_REQUEST`; its answers are to be read from the socket.
///
/// # Errors
/// No socket, or the kernel takes no request.
pub(crate) fn ask(flags: u16, request: RouteNetlinkMessage) -> Result<Socket> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut datagram = vec![0; message.buffer_len()];
    message.serialize(&mut datagram);
    let mut socket = Socket::new(NETLINK_ROUTE).context("netlink socket")?;
    socket.bind_auto()?;
    socket.send_to(&datagram, &SocketAddr::new(0, 0), 0)?;
    Ok(socket)
}
