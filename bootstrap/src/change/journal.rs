//! The journal of a command that may be killed on the way: the steps that were begun, and those that are done.
//!
//! *Shape*: one JSON object a line, `{"version":1,"at":{..},"event":"..",..}`. A line is durable before its act, so whatever may have happened has
//! a line. A line that a power cut has torn is passed over.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shim::host::boot::{self, Moment};
use shim::host::{file, trust};

/// Largest journal that is read, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// The version of this shape.
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line<E> {
    pub version: u32,
    #[serde(rename = "at")]
    pub written_at: Moment,
    #[serde(flatten)]
    pub event: E,
}

/// The file of a journal. Its directory, and the two above that, are made if they are absent, for root alone.
#[derive(Debug, Clone)]
pub(crate) struct JournalFile(PathBuf);

impl JournalFile {
    /// The journal at `path`; nothing is made yet.
    #[must_use]
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The lines that can be read; none of what is not there, not trusted, or of another version.
    #[must_use]
    pub(crate) fn lines<E: DeserializeOwned>(&self) -> Vec<Line<E>> {
        let read = || -> io::Result<Vec<u8>> {
            let (mut file, _) = trust::open_regular(File::options().read(true), &self.0)?;
            file::read_bounded(&mut file, MAX_BYTES)
        };
        parse(&read().unwrap_or_default())
    }

    /// Appends a line durably.
    ///
    /// # Errors
    /// Any I/O error; then the act must not follow.
    pub(crate) fn append<E: Serialize>(&self, event: E) -> io::Result<()> {
        let line = Line { version: VERSION, written_at: boot::now()?, event };
        let Some(directory) = self.0.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
        for dir in directory.ancestors().take(3).collect::<Vec<_>>().into_iter().rev() {
            file::create_private_dir(dir)?;
        }
        let mut options = File::options();
        options.read(true).append(true).create(true).mode(file::PRIVATE);
        let (mut file, meta) = trust::open_regular(&mut options, &self.0)?;
        // A line that a power cut has torn ends here, and is passed over.
        let mut last = [b'\n'];
        if meta.len() > 0 {
            file.read_exact_at(&mut last, meta.len() - 1)?;
        }
        let mut bytes = vec![b'\n'; usize::from(last != [b'\n'])];
        bytes.extend(types::json::raw::to_raw(&line).get().as_bytes());
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        file.sync_data()?;
        if meta.len() == 0 { file::sync_dir(directory) } else { Ok(()) }
    }
}

/// The lines of a journal's bytes that can be read.
#[must_use]
pub(crate) fn parse<E: DeserializeOwned>(bytes: &[u8]) -> Vec<Line<E>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    lines.filter(|line: &Line<E>| line.version == VERSION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase", tag = "event")]
    enum Event {
        One { what: String },
    }

    #[test]
    fn a_torn_line_hides_none_and_lines_of_another_version_are_passed_over() {
        let dir = tempfile::tempdir().expect("scratch");
        let journal = JournalFile::new(dir.path().join("a/b/c.jsonl"));
        assert!(journal.lines::<Event>().is_empty());
        let event = |what: &str| Event::One { what: what.to_owned() };
        journal.append(event("1")).expect("written");
        let bytes = std::fs::read(journal.path()).expect("journal");
        let later = String::from_utf8(bytes.clone()).expect("text").replace("\"version\":1", "\"version\":2");
        let torn = [&bytes[..], later.as_bytes(), b"{\"version\":1,\"at\":"].concat();
        std::fs::write(journal.path(), torn).expect("a torn line");
        journal.append(event("2")).expect("written");
        let events: Vec<Event> = journal.lines().into_iter().map(|line| line.event).collect();
        assert_eq!(events, [event("1"), event("2")]);
        let text = std::fs::read_to_string(journal.path()).expect("journal");
        assert!(!text.contains("\n\n") && text.ends_with("}\n"), "{text}");
    }
}
