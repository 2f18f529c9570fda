//! The lock of one attachment, which outlives a killed shim in its orphans.
//!
//! *Shape*: `RUN/locks/<container id>@<ifname>`, held by flock (man 2 `flock`). The file says who holds it:
//! `{"holder":{"pid":1,"start":2},"session":1,"verb":"ADD","groups":[{"pid":3,"start":4}]}`, where `groups` are the delegates'
//! process groups. Delegates inherit the open file. If the shim is killed, its delegates therefore still hold the lock; the next verb kills them
//! ([`mod@holder`] defines which processes those are) and then gets the lock. An orderly end removes the file and unlocks, even if a delegate
//! left a daemon behind.
//!
//! *A daemon that inherited the lock of a killed shim* keeps the lock for as long as the daemon runs. Once the dead holder's work is over, the
//! next verb unlinks the file and creates another one, so that no call waits for the daemon. Two races must not happen then. A verb must not
//! unlink a file whose lock another verb has got meanwhile, because the daemon may end at any moment. And a verb must not unlink the file that
//! another verb has just created. So a verb that unlinks a dead holder's file, and a verb that gets a dead holder's lock, both do so under a
//! second lock, `RUN/locks/takeover.lock`, and check again there: the name must still lead to this file, and a verb that unlinks must find the
//! same dead holder in it. A verb that gets the lock writes its own holder before it releases the second lock. A file without a holder is new,
//! and only its holder unlinks it, so an ordinary call needs no second lock.
//!
//! The process groups are in this file and not in the record, because this file ends with the boot, as process groups do, and is on a tmpfs,
//! which the shim can write even if the disk is full.

mod abandoned;
mod attempt;
mod holder;
mod lock_file;
mod running;
mod shared;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, Flock, fcntl};

pub use abandoned::{list_abandoned, remove_abandoned};
use attempt::Step;
use holder::Holder;
use lock_file::{open, prepare};
pub use running::{RunningCall, running_call};
pub use shared::exclusively;

use crate::call::request::Verb;
use crate::host::process::Process;
use crate::host::signal::Signals;
use crate::node::layout::Layout;
use crate::node::store::{Key, container_name};

/// The time between two attempts to get a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(5);

/// Why a call did not get a lock.
#[derive(Debug)]
pub enum LockError {
    /// The directory or file cannot be used.
    Io(io::Error),
    /// The holder did not release the lock in time. The text names the holder.
    Held(String),
    /// The lock became free only after the deadline.
    Late,
    /// A signal asked this process to stop while it waited.
    Stopped,
}

/// A held lock.
#[derive(Debug)]
pub struct Lock {
    file: Option<Flock<File>>,
    path: PathBuf,
    holder: Holder,
}

/// How long to wait, and whether a living holder may be asked to stop.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When the call gives up.
    pub until: Instant,
    /// When a living holder gets a SIGTERM, once.
    pub ask_from: Option<Instant>,
}

impl Lock {
    /// Takes the lock of an attachment. A call that gets the lock only at its deadline, or after a signal to stop, gives it back, since such a call
    /// must begin nothing.
    ///
    /// # Errors
    /// [`NoLock`].
    pub fn take(
        layout: &Layout,
        key: &Key,
        verb: Verb,
        patience: Patience,
        signals: &Signals,
    ) -> Result<Self, LockError> {
        Self::take_named(layout, &key.file_name(), verb, patience, signals)
    }

    /// Takes the lock under which a call chooses an interface name of a container. The call holds it from the moment it reads the names in use until a
    /// record holds the new name. A call that holds this lock already has the lock of its attachment, and waits for no other lock.
    ///
    /// # Errors
    /// [`NoLock`].
    pub fn take_choice(
        layout: &Layout,
        container_id: &str,
        verb: Verb,
        patience: Patience,
        signals: &Signals,
    ) -> Result<Self, LockError> {
        Self::take_named(layout, &container_name(container_id), verb, patience, signals)
    }

    fn take_named(
        layout: &Layout,
        name: &str,
        verb: Verb,
        patience: Patience,
        signals: &Signals,
    ) -> Result<Self, LockError> {
        let path = prepare(layout, name).map_err(LockError::Io)?;
        let mut is_signalled = false;
        let mut file = open(&path).map_err(LockError::Io)?;
        loop {
            // Only an attempt that began at the deadline is the last one: a process that was suspended within an earlier one
            // would name a holder that has ended since.
            let last = Instant::now() >= patience.until;
            match Step::try_lock(file, &path, verb, signals).map_err(LockError::Io)? {
                Step::Held(_) if signals.stop_requested() => return Err(LockError::Stopped),
                Step::Held(_) if Instant::now() >= patience.until => return Err(LockError::Late),
                Step::Held(lock) => return Ok(lock),
                Step::Replaced | Step::TakenOver => {
                    file = open(&path).map_err(LockError::Io)?;
                    continue;
                }
                Step::Busy(waiting, holder) => {
                    file = waiting;
                    if !is_signalled && patience.ask_from.is_some_and(|from| Instant::now() >= from) {
                        is_signalled = holder.ask_to_stop();
                    }
                    if signals.stop_requested() {
                        return Err(LockError::Stopped);
                    }
                    if last {
                        return Err(LockError::Held(holder.describe()));
                    }
                }
            }
            signals.pause(PAUSE);
        }
    }

    /// Takes the lock of an attachment, unless a living process holds it. Kills what a dead holder left running first, because no later call for this
    /// attachment may ever come.
    ///
    /// `until` limits the wait for those processes to end.
    ///
    /// # Errors
    /// The directory or the file cannot be used.
    pub fn take_unattended(
        layout: &Layout,
        key: &Key,
        verb: Verb,
        until: Instant,
        signals: &Signals,
    ) -> io::Result<Option<Self>> {
        let path = prepare(layout, &key.file_name())?;
        let mut file = open(&path)?;
        loop {
            match Step::try_lock(file, &path, verb, signals)? {
                Step::Held(_) if signals.stop_requested() || Instant::now() >= until => return Ok(None),
                Step::Held(lock) => return Ok(Some(lock)),
                // Another process held the lock a moment ago, and may have changed what the caller knew of the attachment.
                Step::Replaced => return Ok(None),
                Step::TakenOver => {
                    file = open(&path)?;
                    continue;
                }
                Step::Busy(waiting, holder) => {
                    file = waiting;
                    if !holder.is_dead() || signals.stop_requested() || Instant::now() >= until {
                        return Ok(None);
                    }
                }
            }
            signals.pause(PAUSE);
        }
    }

    /// Writes the process group of a delegate that was just started into the lock's file, and drops the groups that have ended.
    ///
    /// A failed write does not fail the call. If the shim is killed, the next verb finds the delegate because it holds the lock.
    pub fn note_group(&mut self, group: Option<Process>) {
        self.holder.note_group(group);
        let _ = self.write();
    }

    /// Sets whether a child process inherits the lock.
    ///
    /// # Errors
    /// An error of `fcntl`.
    pub fn inherit(&self, inherit: bool) -> io::Result<()> {
        let flags = if inherit { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
        fcntl(self.fd(), FcntlArg::F_SETFD(flags))?;
        Ok(())
    }

    #[expect(clippy::expect_used, reason = "the file is taken out only in drop")]
    fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_ref().expect("held until dropped").as_fd()
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        file.write_all_at(&self.holder.to_line(), 0)
    }
}

impl Drop for Lock {
    /// Unlocks in an orderly way. The file's name goes first, so that no call waits on a file without a name.
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        // There is no caller to report an error to. The next call handles a file that is still there.
        if std::fs::remove_file(&self.path).is_err() {
            let _ = file.set_len(0);
        }
        let _ = file.unlock();
    }
}

#[cfg(test)]
mod tests;
