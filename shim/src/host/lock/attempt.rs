//! One attempt to get a lock: what the lock's file says of its holder, and what a dead holder left behind.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::Lock;
use super::holder::Holder;
use super::shared::alone_for_takeover;
use crate::call::request::Verb;
use crate::host::file::is_at;
use crate::host::signal::Signals;

/// The outcome of one attempt to get a lock.
pub(super) enum Step {
    /// This process holds the lock, and no process of an earlier holder runs any more.
    Held(Lock),
    /// Another process holds the lock, or delegates of a dead holder still run and got a signal to end.
    Busy(File, Holder),
    /// The last holder removed the file while this process opened it.
    Replaced,
    /// Daemons of a dead holder's delegates hold the lock. The file has no name any more, and another file takes its place.
    TakenOver,
}

impl Step {
    pub(super) fn try_lock(file: File, path: &Path, verb: Verb, signals: &Signals) -> io::Result<Self> {
        match try_flock(file, path)? {
            Attempt::Replaced => Ok(Self::Replaced),
            Attempt::Taken(file) => {
                let earlier = Holder::read(&file);
                earlier.end_groups(signals);
                Ok(hold(file, path, verb, &earlier)?.map_or(Self::Replaced, Self::Held))
            }
            Attempt::Busy(file) => {
                let holder = Holder::read(&file);
                if holder.is_dead() && holder.end_work(&file) {
                    take_name_away(&file, path, &holder)?;
                    return Ok(Self::TakenOver);
                }
                Ok(Self::Busy(file, holder))
            }
        }
    }
}

/// Writes this process into a lock that it has got; none if the lock's file has no name any more.
fn hold(file: Flock<File>, path: &Path, verb: Verb, earlier: &Holder) -> io::Result<Option<Lock>> {
    let write = |file| {
        let mut lock = Lock { file: Some(file), path: path.to_owned(), holder: Holder::current(verb) };
        lock.write().map(|()| Some(lock))
    };
    if *earlier == Holder::default() {
        return write(file);
    }
    alone_for_takeover(path, || if is_at(&file, path) { write(file) } else { Ok(None) })
}

/// Unlinks a lock that a dead holder left, unless another process has got the lock or unlinked it meanwhile.
pub(super) fn take_name_away(file: &File, path: &Path, dead: &Holder) -> io::Result<()> {
    alone_for_takeover(path, || {
        if is_at(file, path) && Holder::read(file) == *dead { std::fs::remove_file(path) } else { Ok(()) }
    })
}

/// What flock(2) says of a lock.
pub(super) enum Attempt {
    Taken(Flock<File>),
    Busy(File),
    /// The last holder removed the file while this process opened it.
    Replaced,
}

pub(super) fn try_flock(file: File, path: &Path) -> io::Result<Attempt> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) if is_at(&file, path) => Ok(Attempt::Taken(file)),
        Ok(_) => Ok(Attempt::Replaced),
        Err((file, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => Ok(Attempt::Busy(file)),
        Err((_, error)) => Err(error.into()),
    }
}
