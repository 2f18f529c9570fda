//! One epoll instance over everything an agent listens to.

use std::cell::RefCell;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// More descriptors than an agent ever has, so that one wait names every ready one.
const EVENTS: usize = 1024;

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Orders.
    Stdin,
    /// A UDP socket that answers, by number.
    Answering(u32),
    /// A listening TCP socket, by number.
    Listener(u32),
    /// A connection that others hold open to us, by number.
    Inbound(u32),
    /// A UDP socket that probes are sent from, by number.
    Asking(u32),
    /// The connection we hold open to a target, by the target's number.
    Held(u32),
}

impl Token {
    fn pack(self) -> u64 {
        let (tag, number) = match self {
            Self::Stdin => (0, 0),
            Self::Answering(number) => (1, number),
            Self::Listener(number) => (2, number),
            Self::Inbound(number) => (3, number),
            Self::Asking(number) => (4, number),
            Self::Held(number) => (5, number),
        };
        (tag << 32) | u64::from(number)
    }

    fn unpack(packed: u64) -> Self {
        let number = u32::try_from(packed & u64::from(u32::MAX)).unwrap_or(0);
        match packed >> 32 {
            1 => Self::Answering(number),
            2 => Self::Listener(number),
            3 => Self::Inbound(number),
            4 => Self::Asking(number),
            5 => Self::Held(number),
            _ => Self::Stdin,
        }
    }
}

/// What a descriptor is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// Something to read, or the end.
    Read,
    /// A connect that ends.
    Write,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        match self {
            Self::Read => EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP,
            Self::Write => EpollFlags::EPOLLOUT,
        }
    }
}

/// The epoll instance.
#[derive(Debug)]
pub(super) struct Reactor {
    epoll: Epoll,
    /// Room for what one wait returns.
    events: RefCell<Vec<EpollEvent>>,
}

impl Reactor {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The kernel gives no epoll instance.
    pub(super) fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll instance")?;
        let events = RefCell::new(vec![EpollEvent::empty(); EVENTS]);
        Ok(Self { epoll, events })
    }

    /// Watches a descriptor, level-triggered, until it is closed.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn add(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        self.epoll
            .add(fd, EpollEvent::new(interest.flags(), token.pack()))
            .with_context(|| format!("watch {token:?}"))
    }

    /// Waits for something else on a descriptor that is watched.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn modify(&self, fd: impl AsFd, token: Token, interest: Interest) -> Result<()> {
        self.epoll
            .modify(fd, &mut EpollEvent::new(interest.flags(), token.pack()))
            .with_context(|| format!("watch {token:?}"))
    }

    /// The descriptors that are ready within `timeout_ms`; none after a signal.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn wait(&self, timeout_ms: u16) -> Result<Vec<Token>> {
        let mut events = self.events.borrow_mut();
        match self.epoll.wait(&mut events, EpollTimeout::from(timeout_ms)) {
            Ok(ready) => Ok(events[..ready].iter().map(|event| Token::unpack(event.data())).collect()),
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(error) => Err(error).context("epoll_wait"),
        }
    }
}
