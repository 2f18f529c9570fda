//! A netlink socket, and how far the exchange with the kernel on it has come.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use netlink_sys::{Socket, SocketAddr};

/// A netlink socket. A later [`Rtnl`](super::Rtnl) may go on with it, unless the kernel still owes an answer.
#[derive(Debug)]
pub struct Conversation {
    socket: Socket,
    /// The sequence number of the last request.
    sequence: AtomicU32,
    /// Whether the kernel has said everything that it was asked for.
    answered: AtomicBool,
}

impl Conversation {
    /// A conversation in which nothing has been said.
    #[must_use]
    pub const fn new(socket: Socket) -> Self {
        Self { socket, sequence: AtomicU32::new(0), answered: AtomicBool::new(true) }
    }

    /// Its socket.
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The sequence number of the last request.
    pub(super) fn last_sequence(&self) -> u32 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// The sequence number of the next request, which is now the last one.
    pub(super) fn next_sequence(&self) -> u32 {
        self.sequence.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.answered.store(false, Ordering::Relaxed);
        self.socket.send_to(datagram, &SocketAddr::new(0, 0), 0).map(drop)
    }

    /// The answer to the last request has been read to its end.
    pub(super) fn note_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether the next answer belongs to the next request. If an answer was left half read, the kernel may refuse another dump (EBUSY).
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }
}
