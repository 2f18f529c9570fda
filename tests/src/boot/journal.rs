//! A machine's journal, over all its boots.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

/// Entries, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    entries: Vec<Value>,
}

impl Journal {
    /// Reads the journal files below a directory; none is an empty journal.
    ///
    /// # Errors
    /// journalctl cannot be run.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut command = Command::new("journalctl");
        command.arg("--directory").arg(directory).args(["--output=json", "--no-pager", "--quiet", "--all"]);
        // It fails on files that are being written to just now; what it read until there counts.
        let output = command.output().context("running journalctl")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let entries = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        Ok(Self { entries: entries.collect() })
    }

    /// Messages of a unit: its processes' and systemd's about it.
    pub fn messages_of_unit(&self, unit: &str) -> Vec<&str> {
        let about = |entry: &&Value| {
            ["_SYSTEMD_UNIT", "UNIT"].iter().any(|field| entry[*field].as_str() == Some(unit))
        };
        self.entries.iter().filter(about).filter_map(|entry| entry["MESSAGE"].as_str()).collect()
    }

    /// Messages of a program, whatever unit it ran in.
    pub fn messages_of(&self, identifier: &str) -> Vec<&str> {
        let is_of_program = |entry: &&Value| entry["SYSLOG_IDENTIFIER"].as_str() == Some(identifier);
        self.entries.iter().filter(is_of_program).filter_map(|entry| entry["MESSAGE"].as_str()).collect()
    }

    /// Whether a message of a unit has these words.
    pub fn says(&self, unit: &str, words: &str) -> bool {
        self.messages_of_unit(unit).iter().any(|message| message.contains(words))
    }

    /// The entries as they are.
    pub fn entries(&self) -> &[Value] {
        &self.entries
    }

    /// The last lines for an error message: each thing that was said once, however often it was said, without numbers that
    /// differ, and of the runtime only its errors.
    pub fn tail(&self) -> String {
        let (mut seen, mut lines) = (BTreeSet::new(), Vec::new());
        for entry in &self.entries {
            let word = |field: &str| entry[field].as_str().unwrap_or_default();
            let (identifier, message) = (word("SYSLOG_IDENTIFIER"), word("MESSAGE"));
            if identifier == "containerd" && !message.contains("level=error") {
                continue;
            }
            let line: String = format!("{identifier}: {message}").chars().take(LINE).collect();
            if seen.insert(line.replace(|c: char| c.is_ascii_hexdigit(), "")) {
                lines.push(line);
            }
        }
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// Longest line of [`Journal::tail`], in characters.
const LINE: usize = 1000;
/// Most lines of it.
const LINES: usize = 100;
