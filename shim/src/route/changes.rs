//! Whether the interfaces and addresses of a pod have changed since they were read.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc::{MSG_DONTWAIT, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK};

use crate::netns::Netns;

/// The changes to the interfaces and addresses of a netns since this socket was opened.
///
/// The kernel tells of a change before whoever makes it goes on, with one exception: of a new IPv6 address without duplicate address detection it tells
/// from a work queue, a moment later (Linux, `net/ipv6/addrconf.c`).
///
/// *Source*: man 7 `rtnetlink` and `netlink` (multicast groups).
#[derive(Debug)]
pub struct Changes(Socket);

impl Changes {
    /// The changes from now on.
    ///
    /// # Errors
    /// As [`Netns::conversation`], or the error of `bind(2)`.
    pub fn from_now(netns: &Netns) -> io::Result<Self> {
        let groups = (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR).cast_unsigned();
        netns.open_inside(|| {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, groups))?;
            Ok(Self(socket))
        })
    }

    /// Whether there are none so far. False also if the kernel has lost the news (ENOBUFS), or cannot be asked.
    #[must_use]
    pub fn are_none(&self) -> bool {
        let mut news = Vec::with_capacity(1);
        self.0.recv(&mut news, MSG_DONTWAIT).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
