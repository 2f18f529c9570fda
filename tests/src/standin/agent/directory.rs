//! The conf directory: what the agent writes into it, and what it takes away.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::{Conf, Way};

/// What an agent has written and taken.
#[derive(Debug, Default)]
pub(super) struct Directory {
    own: Vec<PathBuf>,
    torn: Option<TornConf>,
    watched: Option<WatchedDirectory>,
    /// Files renamed away, by their former path.
    pub(super) taken: Vec<PathBuf>,
}

#[derive(Debug)]
struct TornConf {
    file: File,
    rest: Vec<u8>,
}

#[derive(Debug)]
struct WatchedDirectory {
    directory: PathBuf,
    events: Inotify,
}

impl Directory {
    /// Writes a conf in its way; it is the agent's own from now on.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn write(&mut self, conf: Conf) -> Result<()> {
        if !self.own.contains(&conf.path) {
            self.own.push(conf.path.clone());
        }
        self.torn = put(&conf).with_context(|| format!("write {}", conf.path.display()))?;
        Ok(())
    }

    /// Writes the second half of the torn conf.
    ///
    /// # Errors
    /// None is torn, or what the file system says.
    pub(super) fn finish(&mut self) -> Result<()> {
        let mut torn = self.torn.take().context("no conf is torn")?;
        torn.file.write_all(&torn.rest).context("write the second half")
    }

    /// Unlinks the agent's own confs.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn unlink(&self) -> Result<()> {
        for path in &self.own {
            fs::remove_file(path).with_context(|| format!("unlink {}", path.display()))?;
        }
        Ok(())
    }

    /// Takes a directory at once and on every event, or leaves it alone from now on.
    ///
    /// # Errors
    /// It cannot be watched or changed.
    pub(super) fn exclusive(&mut self, directory: Option<PathBuf>) -> Result<()> {
        self.watched = None;
        let Some(directory) = directory else {
            return Ok(());
        };
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let events = Inotify::init(flags).context("inotify instance")?;
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE;
        events.add_watch(&directory, flags).with_context(|| format!("watch {}", directory.display()))?;
        // The watch is there before the first look, so nothing that comes in between is missed.
        self.take(&directory)?;
        self.watched = Some(WatchedDirectory { directory, events });
        Ok(())
    }

    /// What to wait on.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.watched.as_ref().map(|watched| watched.events.as_fd())
    }

    /// Something happened in the directory: whatever it was, everything foreign goes.
    ///
    /// # Errors
    /// The directory cannot be read or changed.
    pub(super) fn serve(&mut self) -> Result<()> {
        let Some(watched) = &self.watched else {
            return Ok(());
        };
        match watched.events.read_events() {
            Ok(_) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(error) => return Err(error).context("read events"),
        }
        let directory = watched.directory.clone();
        self.take(&directory)
    }

    fn take(&mut self, directory: &Path) -> Result<()> {
        let entries = fs::read_dir(directory);
        let mut confs = Vec::new();
        for entry in entries.with_context(|| format!("list {}", directory.display()))? {
            confs.push(entry.context("list a conf directory")?.path());
        }
        confs.retain(|path| is_conf(path) && !self.own.contains(path));
        confs.sort();
        for path in confs {
            let mut away = path.clone().into_os_string();
            away.push(".cilium_bak");
            match fs::rename(&path, &away) {
                Ok(()) => self.taken.push(path),
                // Its owner has taken it away again.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("rename {}", path.display()));
                }
            }
        }
        Ok(())
    }
}

/// What a runtime reads: the suffixes of libcni.
fn is_conf(path: &Path) -> bool {
    let suffix = path.extension().and_then(|suffix| suffix.to_str());
    matches!(suffix, Some("conf" | "conflist" | "json"))
}

fn put(conf: &Conf) -> Result<Option<TornConf>> {
    if let Some(parent) = conf.path.parent() {
        fs::create_dir_all(parent).context("create the directory")?;
    }
    let content = conf.content.as_bytes();
    match conf.way {
        Way::Rename => {
            let mut temporary = conf.path.clone().into_os_string();
            temporary.push(".tmp");
            let mut file = File::create(&temporary).context("create a temporary file")?;
            file.write_all(content).context("write")?;
            file.sync_all().context("sync")?;
            fs::rename(&temporary, &conf.path).context("rename")?;
            Ok(None)
        }
        Way::InPlace => {
            fs::write(&conf.path, content).context("write in place")?;
            Ok(None)
        }
        Way::Torn => {
            let (first, rest) = content.split_at(content.len() / 2);
            let mut file = File::create(&conf.path).context("truncate")?;
            file.write_all(first).context("write the first half")?;
            let rest = rest.to_vec();
            Ok(Some(TornConf { file, rest }))
        }
    }
}
