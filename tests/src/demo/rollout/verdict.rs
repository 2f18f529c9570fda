//! The demonstration's verdicts for the run's gates: a file for each, with the exit status that the gate's command ends with.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::host::scratch::Scratch;

/// What a gate's command says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Green,
    /// Stop.
    Red,
    /// Not yet.
    Unknown,
}

/// A gate of the run that asks the demonstration.
#[derive(Debug)]
pub(super) struct Gate {
    name: &'static str,
    dir: Scratch,
}

impl Gate {
    /// Nothing is known at first.
    pub(super) fn new(name: &'static str) -> Result<Gate> {
        let gate = Gate { name, dir: Scratch::new("gate")? };
        gate.say(Verdict::Unknown)?;
        Ok(gate)
    }

    /// As the settings have it.
    pub(super) fn settings(&self) -> Value {
        let command = format!("exit $(cat {})", self.file().display());
        json!({ "name": self.name, "command": ["sh", "-c", command], "everySeconds": 1, "freshSeconds": 10 })
    }

    /// What the command says from now on.
    pub(super) fn say(&self, verdict: Verdict) -> Result<()> {
        let status = match verdict {
            Verdict::Green => "0",
            Verdict::Red => "1",
            Verdict::Unknown => "2",
        };
        // The command must never read half of it.
        let next = self.dir.join("next");
        fs::write(&next, status).context("a verdict")?;
        fs::rename(next, self.file()).context("a verdict")
    }

    fn file(&self) -> PathBuf {
        self.dir.join("verdict")
    }
}
