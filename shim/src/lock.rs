//! The lock of one attachment, which outlives a killed shim in its orphans.
//!
//! *Shape*: `RUN/locks/<container id>@<ifname>`, held by flock (man 2 `flock`). The file says who holds it:
//! `{"holder":{"pid":1,"start":2},"verb":"ADD","groups":[{"pid":3,"start":4}]}`, where `groups` are the delegates' process groups.
//! Delegates inherit the open file, so that after our own SIGKILL the lock stays with what is still working; the next verb ends
//! those groups and then has the lock. An orderly end removes the file and unlocks, even if a delegate left a daemon behind.
//!
//! The groups are written here and not in the record: this file lives on tmpfs and in this boot, as process groups do, and
//! can be written when the disk is full.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::file;
use crate::layout::Layout;
use crate::process::{Process, orphans_holding};
use crate::request::Verb;
use crate::signal::Signals;
use crate::store::Key;
use crate::trust;

/// Between two looks at a lock that somebody else holds.
const PAUSE: Duration = Duration::from_millis(5);

/// How the name of a shared file's lock ends.
const SHARED_END: &str = "lock";

/// Length of a holder's JSON, padded with spaces.
const HOLDER_BYTES: usize = 512;
/// Longest that is read.
const MAX_HOLDER_BYTES: usize = 4096;

/// Who holds a lock.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Holder {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<Process>,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    groups: Vec<Process>,
}

/// Why a lock could not be had.
#[derive(Debug)]
pub enum NoLock {
    /// The directory or file cannot be used.
    Io(io::Error),
    /// Its holder did not let go in time; who, in words.
    Held(String),
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
    /// Takes the lock of an attachment.
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
        let path = prepare(layout, &key.file_name()).map_err(NoLock::Io)?;
        let mut asked = false;
        let mut file = open(&path).map_err(NoLock::Io)?;
        loop {
            match try_flock(file, &path).map_err(NoLock::Io)? {
                Attempt::Taken(file) => {
                    end_workers(&read(&file), signals);
                    return Self::hold(file, path, verb).map_err(NoLock::Io);
                }
                Attempt::Replaced => {
                    file = open(&path).map_err(NoLock::Io)?;
                    continue;
                }
                Attempt::Busy(waiting) => {
                    file = waiting;
                    let holder = read(&file);
                    wake_up(&holder, &path, patience.ask_from, &mut asked);
                    if signals.stop_requested() {
                        return Err(NoLock::Stopped);
                    }
                    if Instant::now() >= patience.until {
                        return Err(NoLock::Held(describe(&holder)));
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
            match try_flock(file, &path)? {
                Attempt::Taken(file) => {
                    end_workers(&read(&file), signals);
                    return Self::hold(file, path, verb).map(Some);
                }
                // Somebody was here a moment ago, and whatever he did is not to be judged by what we knew before.
                Attempt::Replaced => return Ok(None),
                Attempt::Busy(waiting) => {
                    file = waiting;
                    let holder = read(&file);
                    let dead = holder.holder.is_some_and(|process| !process.is_alive());
                    if !dead || signals.stop_requested() || Instant::now() >= until {
                        return Ok(None);
                    }
                    wake_up(&holder, &path, None, &mut false);
                }
            }
            signals.pause(PAUSE);
        }
    }

    fn hold(file: Flock<File>, path: PathBuf, verb: Verb) -> io::Result<Self> {
        let holder =
            Holder { holder: Process::current().ok(), verb: verb.as_str().to_owned(), groups: Vec::new() };
        let mut lock = Self { file: Some(file), path, holder };
        lock.write()?;
        Ok(lock)
    }

    /// Notes the process group of a delegate that was just started; those that have ended are forgotten.
    ///
    /// A failure is not one of the call: should we be killed, the next verb finds the group by who holds the file.
    pub fn note_group(&mut self, group: Option<Process>) {
        self.holder.groups.retain(|earlier| earlier.is_alive());
        self.holder.groups.extend(group);
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
        // One write of one length, so that a reader sees all of it and a kill leaves all of it.
        let json = format!("{:<HOLDER_BYTES$}", crate::raw::to_raw(&self.holder).get());
        file.write_all_at(json.as_bytes(), 0)
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

enum Attempt {
    Taken(Flock<File>),
    Busy(File),
    /// The file was removed by its last holder while we opened it.
    Replaced,
}

fn try_flock(file: File, path: &Path) -> io::Result<Attempt> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(file) => {
            let held = file.metadata()?;
            match path.metadata() {
                Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {
                    Ok(Attempt::Taken(file))
                }
                _ => Ok(Attempt::Replaced),
            }
        }
        Err((file, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => Ok(Attempt::Busy(file)),
        Err((_, error)) => Err(error.into()),
    }
}

/// The lock directory, made and trusted: whoever could write there could have us kill what he names.
fn prepare(layout: &Layout, name: &str) -> io::Result<PathBuf> {
    let dir = layout.locks();
    match trust::check_dir(&dir) {
        Err(why) if why.is_absent() => {
            file::create_private_dir(&layout.run_dir)?;
            file::create_private_dir(&dir)?;
        }
        other => other?,
    }
    Ok(dir.join(name))
}

/// Lock files that nobody holds: left by calls that were killed, for attachments that nobody may ever ask about again.
///
/// # Errors
/// When the directory is not trusted or cannot be listed; an absent one is empty.
pub fn abandoned(layout: &Layout) -> io::Result<Vec<PathBuf>> {
    let dir = layout.locks();
    match trust::check_dir(&dir) {
        Err(why) if why.is_absent() => return Ok(Vec::new()),
        other => other.map_err(io::Error::other)?,
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        // The lock of a shared file stays: it is one, not one per attachment.
        if path.extension().is_none_or(|end| end != SHARED_END) && take_abandoned(&path)?.is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Removes a lock file of [`abandoned`]; false when somebody holds it by now.
///
/// # Errors
/// When it cannot be opened or removed; that it is gone is fine.
pub fn remove_abandoned(path: &Path) -> io::Result<bool> {
    match take_abandoned(path)? {
        Some(_held) => std::fs::remove_file(path).map(|()| true),
        None => Ok(!path.exists()),
    }
}

/// The lock on a file that is there, if nobody has it and no orphan of its last holder works.
fn take_abandoned(path: &Path) -> io::Result<Option<Flock<File>>> {
    let file = match trust::open_regular(File::options().read(true).write(true), path) {
        Err(why) if why.is_absent() => return Ok(None),
        other => other?.0,
    };
    match try_flock(file, path)? {
        Attempt::Taken(file) if read(&file).groups.iter().any(|group| group.is_alive()) => Ok(None),
        Attempt::Taken(file) => Ok(Some(file)),
        Attempt::Busy(_) | Attempt::Replaced => Ok(None),
    }
}

/// Its holder is written into it, so it must be nothing but a lock: no second name of another file either.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(file::PRIVATE);
    match trust::open_regular(&mut options, path)? {
        (_, meta) if meta.nlink() > 1 => {
            Err(io::Error::other(format!("{} has a second name; expected a lock: remove it", path.display())))
        }
        (file, _) => Ok(file),
    }
}

fn read(file: &File) -> Holder {
    // From its beginning, each time. It may be in the middle of being written; then it is looked at again.
    let mut bytes = [0; MAX_HOLDER_BYTES];
    let read = file.read_at(&mut bytes, 0).unwrap_or_default();
    serde_json::from_slice(&bytes[..read]).unwrap_or_default()
}

/// Does what may be done about a holder: ends the orphans of a dead one, asks a living one to stop when it is time.
fn wake_up(holder: &Holder, path: &Path, ask_from: Option<Instant>, asked: &mut bool) {
    let Some(process) = holder.holder else { return };
    if process.is_alive() {
        if !*asked && ask_from.is_some_and(|from| Instant::now() >= from) {
            *asked = true;
            process.signal(Signal::SIGTERM);
        }
        return;
    }
    // It may have been killed between starting a delegate and noting its group, so what is noted may be over.
    if !holder.groups.iter().any(|group| group.is_alive()) {
        orphans_holding(path).into_iter().for_each(|orphan| orphan.signal(Signal::SIGKILL));
    }
    holder.groups.iter().copied().for_each(Process::kill_group);
}

/// Ends what a holder that is gone without a word has left working although it closed what it inherited, and waits until
/// it is gone: what the kernel is still doing for a process that was killed must not land behind an undo.
fn end_workers(holder: &Holder, signals: &Signals) {
    holder.groups.iter().copied().for_each(Process::kill_group);
    // Nothing but an uninterruptible sleep in the kernel survives this for long.
    let last = Instant::now() + Duration::from_secs(1);
    while holder.groups.iter().any(|group| !group.group_is_gone()) && Instant::now() < last {
        signals.pause(PAUSE);
    }
}

fn describe(holder: &Holder) -> String {
    match holder.holder {
        Some(process) if process.is_alive() => {
            format!("{} in process {}", holder.verb, process.pid)
        }
        Some(process) => format!("what {} in process {}, now dead, had started", holder.verb, process.pid),
        None => "an unknown process".into(),
    }
}

/// Runs `change` under the lock of one shared file of state.
///
/// # Errors
/// What `change` reports, or that the lock cannot be had within two seconds.
pub fn exclusively<T>(layout: &Layout, name: &str, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let path = prepare(layout, &format!("{name}.{SHARED_END}"))?;
    let end = Instant::now() + Duration::from_secs(2);
    let mut file = open(&path)?;
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
