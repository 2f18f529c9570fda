//! The lock of one attachment, which outlives a killed shim in its orphans.
//!
//! *Shape*: `RUN/locks/<container id>@<ifname>`, held by flock (man 2 `flock`). The file says who holds it:
//! `{"holder":{"pid":1,"start":2},"session":1,"verb":"ADD","groups":[{"pid":3,"start":4}]}`, where `groups` are the delegates'
//! process groups. Delegates inherit the open file, so that after our own SIGKILL the lock stays with what is still working;
//! the next verb ends that work ([`mod@holder`] says what counts as work) and then has the lock. An orderly end removes the
//! file and unlocks, even if a delegate left a daemon behind.
//!
//! *A daemon that inherited the lock of a killed shim* keeps it for as long as it lives. Once the dead holder's work is over, the
//! next verb takes the name away from the file and makes another one, so that nobody waits for the daemon. Two things must not
//! happen then: a name is taken away from a file whose lock somebody has got meanwhile, for the daemon may end at any moment;
//! and one waiter takes the name of the file that another has just made. So both whoever takes a dead holder's name away and
//! whoever gets a lock that a dead holder left do it under one lock more, `RUN/locks/takeover.lock`, and look again there: the
//! name must still be this file's, and the first of the two must find the same dead holder in it. The second writes itself
//! down before it lets go. A file without a holder in it is new, and its name is taken away by its holder alone; so an
//! ordinary call needs none of this.
//!
//! The groups are written here and not in the record: this file lives on tmpfs and in this boot, as process groups do, and
//! can be written when the disk is full.

mod abandoned;
mod holder;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};

pub use abandoned::{abandoned, remove_abandoned};
use holder::Holder;

use crate::file;
use crate::layout::Layout;
use crate::process::Process;
use crate::request::Verb;
use crate::signal::Signals;
use crate::store::{Key, container_name};
use crate::trust;

/// Between two looks at a lock that somebody else holds.
const PAUSE: Duration = Duration::from_millis(5);

/// How the name of a shared file's lock ends.
const SHARED_END: &str = "lock";

/// The lock under which a dead holder's lock changes hands.
const TAKEOVER: &str = "takeover";

/// Why a lock could not be had.
#[derive(Debug)]
pub enum NoLock {
    /// The directory or file cannot be used.
    Io(io::Error),
    /// Its holder did not let go in time; who, in words.
    Held(String),
    /// It was free, but by then the deadline had passed.
    Late,
    /// We were asked to stop while waiting.
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
    /// Give up then.
    pub until: Instant,
    /// From then on a living holder gets a SIGTERM, once.
    pub ask_from: Option<Instant>,
}

impl Lock {
    /// Takes the lock of an attachment. Whoever gets it only at its deadline, or is asked to stop, does not have it: nothing may
    /// be begun then.
    ///
    /// # Errors
    /// [`NoLock`].
    pub fn take(
        layout: &Layout,
        key: &Key,
        verb: Verb,
        patience: Patience,
        signals: &Signals,
    ) -> Result<Self, NoLock> {
        Self::take_named(layout, &key.file_name(), verb, patience, signals)
    }

    /// Takes the lock under which interface names of a container are chosen: from looking at those that its attachments have
    /// until a record holds the new one. Whoever has it already has the lock of an attachment, and waits for no other.
    ///
    /// # Errors
    /// [`NoLock`].
    pub fn take_choice(
        layout: &Layout,
        container_id: &str,
        verb: Verb,
        patience: Patience,
        signals: &Signals,
    ) -> Result<Self, NoLock> {
        Self::take_named(layout, &container_name(container_id), verb, patience, signals)
    }

    fn take_named(
        layout: &Layout,
        name: &str,
        verb: Verb,
        patience: Patience,
        signals: &Signals,
    ) -> Result<Self, NoLock> {
        let path = prepare(layout, name).map_err(NoLock::Io)?;
        let mut asked = false;
        let mut file = open(&path).map_err(NoLock::Io)?;
        loop {
            match Step::of(file, &path, verb, signals).map_err(NoLock::Io)? {
                Step::Held(_) if signals.stop_requested() => return Err(NoLock::Stopped),
                Step::Held(_) if Instant::now() >= patience.until => return Err(NoLock::Late),
                Step::Held(lock) => return Ok(lock),
                Step::Replaced | Step::TakenOver => {
                    file = open(&path).map_err(NoLock::Io)?;
                    continue;
                }
                Step::Busy(waiting, holder) => {
                    file = waiting;
                    if !asked && patience.ask_from.is_some_and(|from| Instant::now() >= from) {
                        asked = true;
                        holder.ask_to_stop();
                    }
                    if signals.stop_requested() {
                        return Err(NoLock::Stopped);
                    }
                    if Instant::now() >= patience.until {
                        return Err(NoLock::Held(holder.describe()));
                    }
                }
            }
            signals.pause(PAUSE);
        }
    }

    /// Takes the lock of an attachment unless somebody living has it: what a dead holder started is ended first, since
    /// nobody else may ever come to do it.
    ///
    /// `until` bounds the wait for its end.
    ///
    /// # Errors
    /// When the directory or file cannot be used.
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
            match Step::of(file, &path, verb, signals)? {
                Step::Held(_) if signals.stop_requested() || Instant::now() >= until => return Ok(None),
                Step::Held(lock) => return Ok(Some(lock)),
                // Somebody was here a moment ago, and whatever he did is not to be judged by what we knew before.
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

    /// Notes the process group of a delegate that was just started; those that have ended are forgotten.
    ///
    /// A failure is not one of the call: should we be killed, the next verb finds the group by who holds the file.
    pub fn note_group(&mut self, group: Option<Process>) {
        self.holder.note_group(group);
        let _ = self.write();
    }

    /// Makes the lock one that a child inherits, or not.
    ///
    /// # Errors
    /// What `fcntl` reports.
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
        file.write_all_at(self.holder.to_line().as_bytes(), 0)
    }
}

impl Drop for Lock {
    /// Unlocks in an orderly way: the name goes first, so that nobody waits on a file that is not there any more.
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        // None of these can be reported any more; whoever comes next copes with a file that is still there.
        if std::fs::remove_file(&self.path).is_err() {
            let _ = file.set_len(0);
        }
        let _ = file.unlock();
    }
}

/// One look at a lock.
enum Step {
    /// It is ours, and nothing of an earlier holder works any more.
    Held(Lock),
    /// Somebody has it, or what a dead holder started still works and was told to end.
    Busy(File, Holder),
    /// The file was removed by its last holder while we opened it.
    Replaced,
    /// Daemons of a dead holder's delegates have it, and it has lost its name: another file takes its place.
    TakenOver,
}

impl Step {
    fn of(file: File, path: &Path, verb: Verb, signals: &Signals) -> io::Result<Self> {
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

/// Writes us into a lock that we have got; none when its name is gone.
fn hold(file: Flock<File>, path: &Path, verb: Verb, earlier: &Holder) -> io::Result<Option<Lock>> {
    let write = |file| {
        let mut lock = Lock { file: Some(file), path: path.to_owned(), holder: Holder::current(verb) };
        lock.write().map(|()| Some(lock))
    };
    if *earlier == Holder::default() {
        return write(file);
    }
    alone(&path.with_file_name(shared_name(TAKEOVER)), || {
        if is_named(&file, path) { write(file) } else { Ok(None) }
    })
}

/// Takes its name away from a lock that a dead holder left, unless somebody has got it, or done so, meanwhile.
fn take_name_away(file: &File, path: &Path, dead: &Holder) -> io::Result<()> {
    alone(&path.with_file_name(shared_name(TAKEOVER)), || {
        if is_named(file, path) && Holder::read(file) == *dead { std::fs::remove_file(path) } else { Ok(()) }
    })
}

enum Attempt {
    Taken(Flock<File>),
    Busy(File),
    /// The file was removed by its last holder while we opened it.
    Replaced,
}

fn try_flock(file: File, path: &Path) -> io::Result<Attempt> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) if is_named(&file, path) => Ok(Attempt::Taken(file)),
        Ok(_) => Ok(Attempt::Replaced),
        Err((file, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => Ok(Attempt::Busy(file)),
        Err((_, error)) => Err(error.into()),
    }
}

/// Whether `path` still leads to this open file.
fn is_named(file: &File, path: &Path) -> bool {
    let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    match (path.metadata(), file.metadata()) {
        (Ok(named), Ok(open)) => id(named) == id(open),
        _ => false,
    }
}

/// The lock directory, made and trusted: whoever could write there could have us kill what he names, and whoever could
/// enter it could keep our locks for ever.
fn prepare(layout: &Layout, name: &str) -> io::Result<PathBuf> {
    let dir = layout.locks();
    match trust::check_private_dir(&dir) {
        Err(why) if why.is_absent() => {
            file::create_private_dir(&layout.run_dir)?;
            file::create_private_dir(&dir)?;
        }
        other => other?,
    }
    Ok(dir.join(name))
}

/// Its holder is written into it, so it must be nothing but a lock: no second name of another file either.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(file::PRIVATE);
    match trust::open_regular(&mut options, path)? {
        (_, meta) if meta.nlink() > 1 => {
            Err(io::Error::other(format!("{} has a second name; expected a lock: remove it", path.display())))
        }
        (file, meta) if meta.mode() & 0o077 != 0 => {
            file.set_permissions(PermissionsExt::from_mode(file::PRIVATE))?;
            Ok(file)
        }
        (file, _) => Ok(file),
    }
}

/// Runs `change` under the lock of one shared file of state.
///
/// # Errors
/// What `change` reports, or that the lock cannot be had within two seconds.
pub fn exclusively<T>(layout: &Layout, name: &str, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    alone(&prepare(layout, &shared_name(name))?, change)
}

fn shared_name(name: &str) -> String {
    format!("{name}.{SHARED_END}")
}

fn alone<T>(path: &Path, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + Duration::from_secs(2);
    let mut file = open(path)?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            // Unlocked when dropped. The file stays: it is one, not one per attachment.
            Ok(_held) => return change(),
            Err((again, _)) if Instant::now() < end => {
                file = again;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err((_, error)) => return Err(error.into()),
        }
    }
}
