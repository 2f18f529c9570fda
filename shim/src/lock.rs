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
mod holder;
mod running;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, OFlag, fcntl};

pub use abandoned::{abandoned, remove_abandoned};
use holder::Holder;
pub use running::{RunningCall, running};

use crate::file;
use crate::layout::Layout;
use crate::process::Process;
use crate::request::Verb;
use crate::signal::Signals;
use crate::store::{Key, container_name};
use crate::trust::{self, Distrust};

/// The time between two attempts to get a lock that another process holds.
const PAUSE: Duration = Duration::from_millis(5);

/// The end of the file name of a shared file's lock.
const SHARED_END: &str = "lock";

/// The lock under which a dead holder's lock changes hands.
const TAKEOVER: &str = "takeover";

/// Why a call did not get a lock.
#[derive(Debug)]
pub enum NoLock {
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
    ) -> Result<Self, NoLock> {
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
            // Only an attempt that began at the deadline is the last one: a process that was suspended within an earlier one
            // would name a holder that has ended since.
            let last = Instant::now() >= patience.until;
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
                        asked = holder.ask_to_stop();
                    }
                    if signals.stop_requested() {
                        return Err(NoLock::Stopped);
                    }
                    if last {
                        return Err(NoLock::Held(holder.describe()));
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
            match Step::of(file, &path, verb, signals)? {
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

/// The outcome of one attempt to get a lock.
enum Step {
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

/// Writes this process into a lock that it has got; none if the lock's file has no name any more.
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

/// Unlinks a lock that a dead holder left, unless another process has got the lock or unlinked it meanwhile.
fn take_name_away(file: &File, path: &Path, dead: &Holder) -> io::Result<()> {
    alone(&path.with_file_name(shared_name(TAKEOVER)), || {
        if is_named(file, path) && Holder::read(file) == *dead { std::fs::remove_file(path) } else { Ok(()) }
    })
}

enum Attempt {
    Taken(Flock<File>),
    Busy(File),
    /// The last holder removed the file while this process opened it.
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

/// Creates and checks the lock directory. Who could write there could make the shim kill any process, and who could enter it could hold the
/// shim's locks forever.
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

/// Opens a lock's file, which is created if nobody holds or waits for the lock. The shim writes the holder into it, so the file must be a lock alone,
/// without a second name elsewhere.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).mode(file::PRIVATE);
    let flags = OFlag::O_NOFOLLOW.bits();
    match options.clone().create_new(true).custom_flags(flags).open(path) {
        // Nobody but this uid had the file before, for the directory is private.
        Ok(file) => return Ok(file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Distrust::Io(path.into(), error).into()),
    }
    match trust::open_regular(options.create(true).truncate(false), path)? {
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
/// The error of `change`, or that another process held the lock for two seconds.
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
            // Dropping the descriptor unlocks. The file stays, because there is one for all attachments.
            Ok(_held) => return change(),
            Err((again, _)) if Instant::now() < end => {
                file = again;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err((_, error)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_holder_is_asked_to_stop_as_soon_as_it_is_known() {
        let dir = std::env::temp_dir().join(format!("crossfade-lock-{}", std::process::id()));
        let layout = Layout { run_dir: dir.clone(), ..Layout::default() };
        let key = Key::new("sandbox", "eth0");
        let path = prepare(&layout, &key.file_name()).expect("directory");
        let Attempt::Taken(held) = try_flock(open(&path).expect("file"), &path).expect("flock") else {
            panic!("nobody else has it");
        };
        let mut holder = Command::new("sleep").arg("1000").spawn().expect("sleep");
        let pid = holder.id().cast_signed();
        // The holder is not in the file when the other call may already ask it, and is there soon after.
        let waiting = std::thread::spawn(move || {
            let now = Instant::now();
            let patience = Patience { until: now + Duration::from_secs(20), ask_from: Some(now) };
            let signals = Signals::receive().expect("signals");
            Lock::take(&layout, &key, Verb::Del, patience, &signals).map(drop)
        });
        std::thread::sleep(PAUSE * 20);
        let mut known = Holder::current(Verb::Add);
        known.holder = Process::seen_now(pid).ok();
        held.write_all_at(&known.to_line(), 0).expect("written");
        let end = Instant::now() + Duration::from_secs(10);
        let stopped = loop {
            match holder.try_wait().expect("a child") {
                None if Instant::now() < end => std::thread::sleep(PAUSE),
                other => break other,
            }
        };
        let _ = holder.kill();
        let _ = holder.wait();
        drop(held);
        assert_eq!(stopped.and_then(|status| status.signal()), Some(nix::libc::SIGTERM));
        waiting.join().expect("no panic").expect("the lock was free at last");
        std::fs::remove_dir_all(dir).expect("clean");
    }
}
