//! A pod's network namespace: identity, entry and return.
//!
//! A path (CNI_NETNS) names a netns, but paths are reused. The pair of device and inode identifies a netns as long as anything holds it; later
//! the kernel reuses the inode's number, the lowest free one first. The cookie of a netns (kernel 5.14), which any socket in it can query, is
//! never reused within a boot. The shim works in a pod's netns only through sockets and files of /proc/sys that it opened there. The thread
//! enters the netns for the one call that opens them, and returns before it does anything else.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use nix::unistd::{getpid, gettid};
use types::attachment::NetnsId;

use crate::attachment::route::Budget;
use crate::attachment::route::rtnl::{Conversation, Rtnl};

/// The calling thread's own netns.
const OWN_NETNS: &str = "/proc/thread-self/ns/net";
/// The same for a thread group's leader; another thread may be in another netns. The kernel finds it in half the time.
const LEADERS_NETNS: &str = "/proc/self/ns/net";

/// The socket option for the cookie of the netns in which the socket was opened.
#[derive(Debug, Clone, Copy)]
struct Cookie;

nix::getsockopt_impl!(Cookie, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, u64, sockopt::GetStruct<u64>);

/// An open netns file. It keeps the namespace alive, so the kernel cannot reuse the namespace's id meanwhile.
#[derive(Debug)]
pub struct Netns {
    file: File,
    id: NetnsId,
    /// The netns that a thread returns to after it has entered this one. If there is none, each thread finds its own.
    home: Option<File>,
    /// The cookie, once a socket in the netns was asked for it; none if the kernel has no cookies.
    cookie: OnceLock<Option<u64>>,
    /// The last conversation with the kernel in it. To enter the netns once more for another one would take longer than most conversations.
    last: Mutex<Option<Arc<Conversation>>>,
}

/// Whether there is certainly no network namespace at `path` (CNI_NETNS): the path is empty, nothing is there, or only the ordinary file that a
/// namespace was mounted on. False for a path that cannot be inspected.
#[must_use]
pub fn is_gone(path: &Path) -> bool {
    let is_absent = |kind| {
        matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput)
    };
    path.as_os_str().is_empty() || Netns::open(path).is_err_and(|error| is_absent(error.kind()))
}

impl Netns {
    /// Opens the namespace at `path` (what a runtime passes as CNI_NETNS).
    ///
    /// # Errors
    /// The error of `open(2)`, or `InvalidInput` with the path if the file is not a network namespace: a runtime that removes a netns leaves an
    /// ordinary empty file there for a moment.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Opening a FIFO must not block, and a terminal must not become the controlling one.
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::options().read(true).custom_flags(flags.bits()).open(path)?;
        if fstatfs(&file)?.filesystem_type() != NSFS_MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a network namespace", path.display()),
            ));
        }
        let metadata = file.metadata()?;
        let id = NetnsId { dev: metadata.dev(), ino: metadata.ino() };
        Ok(Self { file, id, home: None, cookie: OnceLock::new(), last: Mutex::default() })
    }

    /// The namespace of this thread, which is the host's for the shim.
    ///
    /// # Errors
    /// As [`Netns::open`]. In practice, only that /proc is not mounted.
    pub fn current() -> io::Result<Self> {
        let is_leader = gettid() == getpid();
        Self::open(Path::new(if is_leader { LEADERS_NETNS } else { OWN_NETNS }))
    }

    /// The same namespace, for a thread whose own one is `home`: it need not look for that again.
    #[must_use]
    pub fn entered_from(self, home: Self) -> Self {
        Self { home: Some(home.file), ..self }
    }

    /// Device and inode of this namespace.
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// The cookie of this namespace; none if the kernel has no cookies or the caller may not enter a netns. If no socket was opened in it yet, the
    /// thread enters the namespace.
    pub fn cookie(&self) -> Option<u64> {
        if self.cookie.get().is_none() {
            // The socket for the cookie serves the next conversation as well.
            let _ = self.conversation();
        }
        self.cookie.get().copied().flatten()
    }

    /// A conversation by rtnetlink in this namespace: the last one, if it is no longer in use, or else one on a new socket. The thread is back in
    /// its own namespace when this returns.
    ///
    /// # Errors
    /// The error of `setns(2)` (EPERM without CAP_SYS_ADMIN, EINVAL for a namespace of another type) or of `socket(2)`.
    pub fn conversation(&self) -> io::Result<Arc<Conversation>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && Arc::strong_count(last) == 1
            && last.is_answered()
        {
            return Ok(Arc::clone(last));
        }
        let next = Arc::new(Conversation::new(self.open_inside(|| Socket::new(NETLINK_ROUTE))?));
        self.cookie.get_or_init(|| getsockopt(next.socket(), Cookie).ok());
        *last = Some(Arc::clone(&next));
        Ok(next)
    }

    /// Sets a flag of `/proc/sys/net/ipv6/conf/IFNAME/` to 0. Returns whether it had another value.
    ///
    /// # Errors
    /// `NotFound` if the interface, or the kernel, has no IPv6; else as [`Netns::conversation`], or the error of the file.
    pub(crate) fn switch_off(&self, ifname: &str, flag: &str) -> io::Result<bool> {
        let path = Path::new("/proc/sys/net/ipv6/conf").join(ifname).join(flag);
        // The kernel chose the netns of this file when it was opened, so the thread need not be there now.
        let mut file = self.open_inside(|| File::options().read(true).write(true).open(&path))?;
        let mut value = String::new();
        file.read_to_string(&mut value)?;
        if value.trim() == "0" {
            return Ok(false);
        }
        // The kernel accepts a write at another offset, but ignores it.
        file.rewind()?;
        file.write_all(b"0").map(|()| true)
    }

    /// Runs `open` in this namespace.
    ///
    /// If the thread cannot return to its own namespace, the process aborts: otherwise it would do to a pod what it means to do to the host.
    ///
    /// # Errors
    /// The error of `setns(2)`, or that of `open`.
    pub fn open_inside<T>(&self, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let inner = if self.home.is_none() { Some(Self::current()?.file) } else { None };
        let Some(home) = self.home.as_ref().or(inner.as_ref()) else {
            return Err(io::Error::other("the thread's own network namespace is not known"));
        };
        setns(&self.file, CloneFlags::CLONE_NEWNET)?;
        let opened = open();
        if let Err(errno) = setns(home, CloneFlags::CLONE_NEWNET) {
            tracing::error!(error = %errno, "cannot return from a pod's netns");
            std::process::abort();
        }
        opened
    }

    /// Removes the interface of this name. Returns false if there is none.
    ///
    /// # Errors
    /// As [`Netns::conversation`], or the kernel's error.
    pub(crate) fn remove_interface(&self, ifname: &str, budget: Budget<'_>) -> io::Result<bool> {
        Rtnl::open(self, budget)?.delete_named(ifname)
    }

    /// The names of all interfaces in this namespace, `lo` included.
    ///
    /// # Errors
    /// As [`Netns::conversation`], the kernel's error of the dump, or that there are more interfaces than `budget` allows to read.
    pub fn interface_names(&self, budget: Budget<'_>) -> io::Result<Vec<String>> {
        let links = Rtnl::open(self, budget)?.links()?;
        Ok(links.into_iter().map(|link| link.name).collect())
    }
}
