//! The files of the records: where they are, and how they are read, written and removed. [`types::attachment`] parses their bytes.
//!
//! *Layout*: `STATE/attachments/<shard>/<container id>@<ifname>`, with sixteen shards by container id. A shard of ten thousand records
//! lists some hundred entries, and after a few ADDs every shard exists, so no ADD has to make a directory durable. A 128-bit hash replaces
//! a container id that is too long for a file name. The record holds the whole id, so a collision of hashes is noticed.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use types::attachment::key::shard;
pub use types::attachment::key::{Key, container_name};
use types::attachment::{Attachment, Event, Intent, line};

use crate::host::boot::boot_id;
use crate::host::file::{self, NewFile, read_bounded};
use crate::host::trust::{self, Distrust};
use crate::node::layout::Layout;

/// The largest record that Crossfade reads, in bytes: two confs, two results and some lines.
pub const MAX_BYTES: usize = 64 << 20;

/// The record of an attachment as it is in the store.
#[derive(Debug)]
pub enum StoredRecord {
    /// No record.
    Absent,
    /// A sound record.
    Sound(Box<Attachment>),
    /// A file that cannot be read as a record, and why.
    Damaged(String),
}

impl StoredRecord {
    /// Reads the bytes of a record's file. `boot_id` is the present boot. A record of another attachment than `key` counts as damaged.
    fn parse(bytes: &[u8], key: Option<&Key>, boot_id: Option<&str>) -> Self {
        let record = match Attachment::parse(bytes, boot_id) {
            Ok(record) => record,
            Err(why) => return Self::Damaged(why),
        };
        let own = Key::new(&record.intent.container_id, &record.intent.ifname);
        if key.is_some_and(|key| *key != own) {
            return Self::Damaged(format!("it is the record of {} {}", own.container_id, own.ifname));
        }
        Self::Sound(Box::new(record))
    }
}

/// A file that cannot be read as a record, and why.
pub type DamagedFile = (PathBuf, String);

/// The records of one state directory.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
}

/// A record that is written, and that a power loss or the end of this process would still undo.
#[derive(Debug)]
pub struct WrittenRecord {
    file: NewFile,
    attachment: Attachment,
}

/// A record that is open for appending.
#[derive(Debug)]
pub struct OpenRecord {
    /// The file; none if the record cannot be written. Then only this process knows the further events.
    file: Option<File>,
    /// The record with all events so far.
    pub attachment: Attachment,
}

impl Store {
    /// The store below `layout.state_dir`; nothing is touched yet.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone() }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.shard(&key.container_id).join(key.file_name())
    }

    fn shard(&self, container_id: &str) -> PathBuf {
        self.layout.attachments().join(shard(container_id))
    }

    /// Refuses a state directory that other users could write, because its files decide what runs as root.
    ///
    /// # Errors
    /// The directory is not trusted; the text says why, and what to do. An absent directory is no error.
    pub fn check_trust(&self) -> io::Result<()> {
        self.check_from(&self.layout.attachments())
    }

    /// Checks `dir`, or the first directory above it that exists.
    fn check_from(&self, dir: &Path) -> io::Result<()> {
        for dir in [dir, &self.layout.attachments(), &self.layout.state_dir] {
            match trust::check_dir(dir) {
                Err(why) if why.is_absent() => {}
                other => return Ok(other?),
            }
        }
        Ok(())
    }

    /// Reads the record of `key`.
    ///
    /// # Errors
    /// When the directory is not trusted or the file is there but cannot be read.
    pub fn find(&self, key: &Key) -> io::Result<StoredRecord> {
        self.check_from(&self.shard(&key.container_id))?;
        self.read(&self.path(key), Some(key))
    }

    fn read(&self, path: &Path, key: Option<&Key>) -> io::Result<StoredRecord> {
        let mut file = match trust::open_existing(path) {
            Ok((file, _)) => file,
            Err(why) if why.is_absent() => return Ok(StoredRecord::Absent),
            Err(Distrust::Io(_, e)) => return Err(e),
            // Only a regular file that belongs to Crossfade is a record.
            Err(why) => return Ok(StoredRecord::Damaged(why.to_string())),
        };
        let bytes = match read_bounded(&mut file, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                return Ok(StoredRecord::Damaged(e.to_string()));
            }
            Err(e) => return Err(e),
        };
        Ok(StoredRecord::parse(&bytes, key, boot_id().ok()))
    }

    /// [`Self::write`], and makes the record durable.
    ///
    /// # Errors
    /// When the directory is not trusted or cannot be written; then no record is left.
    pub fn begin(&self, intent: Intent, events: &[Event]) -> io::Result<OpenRecord> {
        self.write(intent, events)?.begin()
    }

    /// Writes a record's first line, and its earlier events if it has some, to a file that has no name yet. No other call finds the record before
    /// [`WrittenRecord::begin`].
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn write(&self, intent: Intent, events: &[Event]) -> io::Result<WrittenRecord> {
        let shard = self.shard(&intent.container_id);
        if !shard.is_dir() {
            let attachments = self.layout.attachments();
            file::create_private_dir(&self.layout.state_dir)?;
            file::create_private_dir(&attachments)?;
            file::create_private_dir(&shard)?;
            file::sync_dir(&attachments)?;
        }
        let path = self.path(&Key::new(&intent.container_id, &intent.ifname));
        let mut bytes = line(&intent);
        bytes.extend_from_slice(&lines(events));
        let mut attachment = Attachment::begin(intent);
        events.iter().for_each(|event| attachment.apply(event.clone()));
        attachment.sound_bytes = bytes.len() as u64;
        Ok(WrittenRecord { file: NewFile::write(path, bytes)?, attachment })
    }

    /// Opens a sound record for appending. A torn tail stays, as a line of its own: it shows the next reader that not everything is known. Without
    /// it, the next DEL would not call a network whose DEL fails now.
    ///
    /// If the file cannot be written (on a read-only file system, for example), the record goes on in memory, because a DEL must not need to
    /// write.
    #[must_use]
    pub fn open(&self, mut attachment: Attachment) -> OpenRecord {
        let key = Key::new(&attachment.intent.container_id, &attachment.intent.ifname);
        let opened = trust::open_regular(File::options().append(true), &self.path(&key))
            .map_err(io::Error::from)
            .and_then(|(mut file, meta)| {
                if meta.len() > attachment.sound_bytes {
                    file.write_all(b"\n")?;
                    attachment.sound_bytes = meta.len() + 1;
                }
                Ok(file)
            });
        if let Err(error) = &opened {
            tracing::warn!(
                container_id = key.container_id,
                error = error.to_string(),
                "record cannot be written"
            );
        }
        OpenRecord { file: opened.ok(), attachment }
    }

    /// Removes the record of `key`, without fsync. If a power loss brings the record back, the sweep runs its DEL once more, which has nothing to
    /// do.
    ///
    /// # Errors
    /// Any I/O error but that it is gone already.
    pub fn remove(&self, key: &Key) -> io::Result<()> {
        match std::fs::remove_file(self.path(key)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Keeps a copy of a damaged record in `STATE/damaged/`, for a person. The damaged record stays in its place until a sound record replaces it,
    /// so that after a kill there is always one of the two.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn set_aside(&self, key: &Key) -> io::Result<PathBuf> {
        let dir = self.layout.damaged_dir();
        file::create_private_dir(&dir)?;
        let now = crate::host::boot::now()?;
        let to = dir.join(format!("{}.{}-{}", key.file_name(), now.wall_secs, std::process::id()));
        std::fs::hard_link(self.path(key), &to)?;
        file::sync_dir(&dir)?;
        Ok(to)
    }

    /// The records of one container, damaged ones left out.
    ///
    /// # Errors
    /// When the shard cannot be listed.
    pub fn find_by_container(&self, container_id: &str) -> io::Result<Vec<Attachment>> {
        let prefix = container_name(container_id);
        let mut records = Vec::new();
        for path in list(&self.shard(container_id))? {
            let name = path.file_name().unwrap_or_default().as_bytes();
            if name.starts_with(prefix.as_bytes())
                && let StoredRecord::Sound(record) = self.read(&path, None)?
                && record.intent.container_id == container_id
            {
                records.push(*record);
            }
        }
        Ok(records)
    }

    /// Every sound record, and the paths of those that are damaged with the reason.
    ///
    /// # Errors
    /// When the directory is not trusted or cannot be listed.
    pub fn load_all(&self) -> io::Result<(Vec<Attachment>, Vec<DamagedFile>)> {
        self.check_trust()?;
        let (mut sound, mut damaged) = (Vec::new(), Vec::new());
        for shard in list(&self.layout.attachments())? {
            match trust::check_dir(&shard) {
                Ok(()) => {}
                Err(why @ Distrust::Kind(..)) => {
                    damaged.push((shard, why.to_string()));
                    continue;
                }
                Err(why) => return Err(why.into()),
            }
            for path in list(&shard)? {
                if path
                    .file_name()
                    .is_some_and(|name| name.as_bytes().starts_with(file::TEMP_PREFIX.as_bytes()))
                {
                    continue;
                }
                match self.read(&path, None)? {
                    StoredRecord::Sound(record) => sound.push(*record),
                    StoredRecord::Damaged(why) => damaged.push((path, why)),
                    // Another process closed it meanwhile.
                    StoredRecord::Absent => {}
                }
            }
        }
        Ok((sound, damaged))
    }

    /// Whether a record, sound or not, lies under this file name ([`Key::file_name`]).
    ///
    /// # Errors
    /// When the shards cannot be listed.
    pub fn has_file(&self, name: &std::ffi::OsStr) -> io::Result<bool> {
        let shards = list(&self.layout.attachments())?;
        Ok(shards.iter().any(|shard| shard.join(name).symlink_metadata().is_ok()))
    }

    /// Temporary files that a killed writer left; none of them is a record.
    ///
    /// # Errors
    /// When a shard cannot be listed.
    pub fn abandoned_temps(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for shard in list(&self.layout.attachments())?.iter().filter(|shard| shard.is_dir()) {
            paths.extend(file::abandoned_temps(shard)?);
        }
        Ok(paths)
    }
}

impl WrittenRecord {
    /// Makes the record durable under its name. The file holds the whole record, or does not exist. Nothing may be attached before this function has
    /// returned.
    ///
    /// # Errors
    /// When the directory cannot be written; then no record is left.
    pub fn begin(self) -> io::Result<OpenRecord> {
        Ok(OpenRecord { file: Some(self.file.settle()?), attachment: self.attachment })
    }
}

impl OpenRecord {
    /// A record that is not on disk.
    #[must_use]
    pub const fn new_in_memory(attachment: Attachment) -> Self {
        Self { file: None, attachment }
    }

    /// Whether appended events survive this process.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Appends events in one write, and applies them to [`Self::attachment`].
    ///
    /// The events are not fsynced, because they matter only in the present boot, and the page cache survives this process.
    ///
    /// # Errors
    /// The events cannot be written. They are applied to [`Self::attachment`] all the same.
    pub fn append(&mut self, events: &[Event]) -> io::Result<()> {
        let bytes = lines(events);
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(&bytes));
        for event in events.iter().cloned() {
            self.attachment.apply(event);
        }
        if written.is_ok() {
            self.attachment.sound_bytes += bytes.len() as u64;
        } else if let Some(file) = &self.file {
            // Remove a half-written line. If that fails too, the next reader treats the record as in doubt, which is safe.
            let _ = file.set_len(self.attachment.sound_bytes);
        }
        written
    }
}

fn lines(events: &[Event]) -> Vec<u8> {
    events.iter().map(line).collect::<Vec<_>>().concat()
}

/// The paths in a directory. An absent directory is empty.
fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

#[cfg(test)]
mod tests;
