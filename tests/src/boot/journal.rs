//! What a machine's journal says, over all its boots.

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
    pub fn of(&self, unit: &str) -> Vec<&str> {
        let about = |entry: &&Value| {
            ["_SYSTEMD_UNIT", "UNIT"].iter().any(|field| entry[*field].as_str() == Some(unit))
        };
        self.entries.iter().filter(about).filter_map(|entry| entry["MESSAGE"].as_str()).collect()
    }

    /// Messages of a program, whatever unit it ran in.
    pub fn by(&self, identifier: &str) -> Vec<&str> {
        let by = |entry: &&Value| entry["SYSLOG_IDENTIFIER"].as_str() == Some(identifier);
        self.entries.iter().filter(by).filter_map(|entry| entry["MESSAGE"].as_str()).collect()
    }

    /// Whether a message of a unit has these words.
    pub fn says(&self, unit: &str, words: &str) -> bool {
        self.of(unit).iter().any(|message| message.contains(words))
    }

    /// The entries as they are.
    pub fn entries(&self) -> &[Value] {
        &self.entries
    }

    /// The last lines about everything that has failed, and what our programs said, for an error message.
    pub fn tail(&self) -> String {
        let line = |entry: &Value| {
            let word = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", word("SYSLOG_IDENTIFIER"), word("MESSAGE"))
        };
        let lines: Vec<String> = self.entries.iter().map(line).collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}
