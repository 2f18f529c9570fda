//! Whether the interfaces and addresses of a pod have changed since they were read.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc::{MSG_DONTWAIT, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK};

use crate::netns::Netns;

/// A socket on which the kernel tells of every change to the interfaces and addresses of a netns, from its beginning on.
///
/// *Source*: man 7 `rtnetlink` and `netlink` (multicast groups).
#[derive(Debug)]
pub struct Watch(Socket);

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// As [`Netns::conversation`], or the error of `bind(2)`.
    pub fn begin(netns: &Netns) -> io::Result<Self> {
        let groups = (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR).cast_unsigned();
        netns.open_inside(|| {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, groups))?;
            Ok(Self(socket))
        })
    }

    /// Whether nothing has changed so far. False also if the kernel has lost the news (ENOBUFS), or cannot be asked.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let mut news = Vec::with_capacity(1);
        self.0.recv(&mut news, MSG_DONTWAIT).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
