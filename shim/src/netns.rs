//! A pod's network namespace: identity, entry and return.
//!
//! A netns is named by a path (CNI_NETNS) but known by its inode: paths are reused, the pair of device and inode is not
//! while anything holds the namespace. Afterwards the kernel gives the number of the inode out again, the lowest that is free.
//! What it never gives out again within a boot is the cookie of a namespace (kernel 5.14), which a socket inside tells. The
//! shim works in a pod's netns only through sockets, and files of /proc/sys, that were opened in it; the thread itself is
//! there for the length of that one call and is back before anything else happens.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use types::attachment::NetnsId;

use crate::route::Budget;
use crate::route::rtnl::Rtnl;

/// The calling thread's own netns. `/proc/self` would be the thread group's leader, which need not be where we are.
const OWN_NETNS: &str = "/proc/thread-self/ns/net";

/// The cookie of the netns that a socket was opened in.
#[derive(Debug, Clone, Copy)]
struct Cookie;

nix::getsockopt_impl!(Cookie, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, u64, sockopt::GetStruct<u64>);

/// An open netns file. It keeps the namespace alive, so its id cannot be given to another one meanwhile.
#[derive(Debug)]
pub struct Netns {
    file: File,
    id: NetnsId,
    /// Once a socket in it was asked; none where the kernel has no such thing.
    cookie: OnceLock<Option<u64>>,
}

/// Whether `path` leads to the network namespace that this process itself is in: the host's. Nothing is opened.
#[must_use]
pub fn is_own(path: &Path) -> bool {
    let id = |path: &Path| path.metadata().map(|meta| (meta.dev(), meta.ino()));
    id(path).is_ok_and(|there| id(Path::new(OWN_NETNS)).is_ok_and(|here| here == there))
}

/// Whether there is certainly no network namespace at `path` (CNI_NETNS): there is no path, nothing is there, or an ordinary
/// file that a namespace was mounted on. A path that cannot be looked at says nothing.
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
    /// What `open(2)` says; `InvalidInput`, naming the path, if the file is not a namespace (a runtime that has taken
    /// the netns down leaves an ordinary empty file behind for a moment).
    pub fn open(path: &Path) -> io::Result<Self> {
        // A FIFO must not keep us, nor a terminal become ours.
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
        Ok(Self { file, id, cookie: OnceLock::new() })
    }

    /// The namespace this thread is in: the host's, for the shim.
    ///
    /// # Errors
    /// As [`Netns::open`]; in practice only where /proc is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new(OWN_NETNS))
    }

    /// Device and inode of this namespace.
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// The cookie of this namespace, for which it is entered unless an earlier socket told it; none where it cannot be told.
    pub fn cookie(&self) -> Option<u64> {
        if self.cookie.get().is_none() {
            // What it has to tell is kept.
            let _ = self.socket();
        }
        self.cookie.get().copied().flatten()
    }

    /// An rtnetlink socket that lives in this namespace; the thread is back in its own before this returns.
    ///
    /// # Errors
    /// What `setns(2)` (EPERM without CAP_SYS_ADMIN, EINVAL for a namespace of another type) or `socket(2)` says.
    pub fn socket(&self) -> io::Result<Socket> {
        let socket = self.open_inside(|| Socket::new(NETLINK_ROUTE))?;
        self.cookie.get_or_init(|| getsockopt(&socket, Cookie).ok());
        Ok(socket)
    }

    /// Sets a flag of `/proc/sys/net/ipv6/conf/IFNAME/` to 0, and answers whether it was anything else.
    ///
    /// # Errors
    /// `NotFound` where the interface, or the kernel, has no IPv6; else as [`Netns::socket`], or what the file says.
    pub(crate) fn switch_off(&self, ifname: &str, flag: &str) -> io::Result<bool> {
        let path = Path::new("/proc/sys/net/ipv6/conf").join(ifname).join(flag);
        // Whose setting it is was decided when it was opened.
        let mut file = self.open_inside(|| File::options().read(true).write(true).open(&path))?;
        let mut value = String::new();
        file.read_to_string(&mut value)?;
        if value.trim() == "0" {
            return Ok(false);
        }
        // Anywhere but at its beginning, the kernel takes a write without heeding it.
        file.rewind()?;
        file.write_all(b"0").map(|()| true)
    }

    /// Opens something in this namespace.
    ///
    /// A thread that cannot come back must not go on: everything it would do next to the host, it would do to a pod.
    /// So the process aborts then.
    fn open_inside<T>(&self, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let home = File::open(OWN_NETNS)?;
        setns(&self.file, CloneFlags::CLONE_NEWNET)?;
        let opened = open();
        if let Err(errno) = setns(&home, CloneFlags::CLONE_NEWNET) {
            tracing::error!(error = %errno, "cannot return from a pod's netns");
            std::process::abort();
        }
        opened
    }

    /// The names of all interfaces in this namespace, `lo` included.
    ///
    /// # Errors
    /// As [`Netns::socket`], or what the kernel answers to the dump; or that there are more than `budget` allows to read.
    pub fn interface_names(&self, budget: Budget<'_>) -> io::Result<Vec<String>> {
        let links = Rtnl::open(self, budget)?.links()?;
        Ok(links.into_iter().map(|link| link.name).collect())
    }
}
