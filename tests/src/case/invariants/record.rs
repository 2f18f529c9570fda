//! Records as the documentation describes them: a checksummed line with the intent, then one per event.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Part;

/// What a record promises: whose DELs are still owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// CNI_CONTAINERID.
    pub id: String,
    /// CNI_IFNAME of the runtime.
    pub ifname: String,
    /// The networks by name, and the ifname of each; none where the record cannot be read.
    pub legs: Vec<(String, String)>,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record of {} {}", self.id, self.ifname)
    }
}

impl Record {
    /// Reads a record's first line; the checksum is the shim's business. One that cannot be read is known by its file name.
    pub fn read(file_name: &str, bytes: &[u8]) -> Self {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let intent: Value =
            first.get(17..).and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let legs = intent["legs"].as_array().into_iter().flatten();
        let legs = legs.map(|leg| (text(&leg["network"]), text(&leg["ifname"]))).collect();
        let (id, ifname) = file_name.rsplit_once('@').unwrap_or((file_name, ""));
        Self {
            id: intent["containerID"].as_str().unwrap_or(id).to_owned(),
            ifname: intent["ifname"].as_str().unwrap_or(ifname).to_owned(),
            legs,
        }
    }

    /// Whether the DEL of this part is owed by this record. A record that cannot be read owes every network its DEL.
    pub fn covers(&self, part: &Part) -> bool {
        let leg = (part.network.as_str(), part.ifname.as_str());
        self.id == part.id
            && (self.legs.is_empty()
                || self.legs.iter().any(|(network, ifname)| (network.as_str(), ifname.as_str()) == leg))
    }
}

/// Every record below a state directory, temporary files of writers aside.
///
/// # Errors
/// What the file system says; an absent directory is empty.
pub fn records(state_dir: &Path) -> Result<Vec<Record>> {
    let files = record_files(state_dir)?.into_iter();
    let read = |file: PathBuf| {
        let bytes = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(Record::read(&name_of(&file), &bytes))
    };
    files.map(read).collect()
}

/// The files of all records below a state directory, damaged or not, temporary files of writers aside.
///
/// # Errors
/// As [`records`].
pub fn record_files(state_dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = files_below(&state_dir.join("attachments"))?;
    files.retain(|file| !name_of(file).starts_with(TEMPORARY));
    Ok(files)
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What begins the name of a temporary file.
pub(super) const TEMPORARY: &str = ".tmp-";

/// Every file below a directory, sorted; an absent directory is empty.
pub(super) fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("list {}", dir.display()))?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() { dirs.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(network: &str, ifname: &str) -> Part {
        Part { id: "c1".into(), ifname: ifname.into(), network: network.into(), plugin: "p".into() }
    }

    #[test]
    fn a_record_covers_the_networks_of_its_intent() {
        let intent = r#"{"containerID":"c1","ifname":"eth0","legs":[{"network":"old","ifname":"eth0"}]}"#;
        let record = Record::read("~1234@eth0", format!("0123456789abcdef {intent}\n0 {{}}\n").as_bytes());
        assert_eq!((record.id.as_str(), record.ifname.as_str()), ("c1", "eth0"));
        assert!(record.covers(&part("old", "eth0")));
        assert!(!record.covers(&part("new", "eth0")) && !record.covers(&part("old", "net1")));
    }

    #[test]
    fn a_record_that_cannot_be_read_owes_everybody() {
        for bytes in [&b""[..], b"0123456789abcdef {\"containerID\":", b"short"] {
            let record = Record::read("c1@eth0", bytes);
            assert_eq!((record.id.as_str(), record.ifname.as_str()), ("c1", "eth0"));
            assert!(record.covers(&part("old", "eth0")) && record.covers(&part("new", "net1")));
        }
    }

    #[test]
    fn records_are_found_in_shards_and_temporary_files_are_none() {
        let dir = tempfile::tempdir().expect("scratch");
        let shard = dir.path().join("attachments/7");
        fs::create_dir_all(&shard).expect("shard");
        fs::write(shard.join("c1@eth0"), b"").expect("record");
        fs::write(shard.join(".tmp-12-0"), b"").expect("temporary file");
        let all = records(dir.path()).expect("records");
        assert_eq!(all, [Record { id: "c1".into(), ifname: "eth0".into(), legs: Vec::new() }]);
        assert_eq!(records(&dir.path().join("absent")).expect("none"), []);
    }
}
