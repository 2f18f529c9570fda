//! The command lines with which `crossfade-bootstrap` starts itself: as a transient unit of systemd's, or as a process of its own.
//!
//! `watch` starts `prove`, `sweep`, `move-pods` and `place` as units, because delegates and foreign directories do not belong into its sandbox. A pod
//! starts each pass of the sweep as a process. The tests read every line back through the parser of the command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use types::node::Proof;
use types::policy::Side;

/// Arguments for `crossfade-bootstrap`, the program itself excluded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnCommand(Vec<OsString>);

/// How long an attachment of a scratch namespace may take: ADD, CHECK and DEL, each with its own deadline.
pub const ATTACH_WITHIN_SECS: u64 = 180;

/// How long a proof may take: one attachment, or two and the packets between them.
#[must_use]
pub fn proof_within_secs(proof: Proof) -> u64 {
    if proof == Proof::Packet { 2 * ATTACH_WITHIN_SECS + 90 } else { ATTACH_WITHIN_SECS }
}

impl OwnCommand {
    /// `prove`: attach a scratch namespace to the network on `side`. The result repeats `turn`.
    #[must_use]
    pub fn prove(side: Side, turn: u64, conf_dir: &Path, bin_dirs: &[PathBuf]) -> Self {
        let command = Self(vec!["unit".into(), "prove".into(), side.as_str().into()])
            .option("--turn", turn.to_string());
        command.option("--conf-dir", conf_dir).options("--bin-dir", bin_dirs)
    }

    /// `sweep`: one pass, started by `watch`. The result repeats `turn`.
    #[must_use]
    pub fn sweep(turn: u64, endpoint: Option<&str>, conf_dir: &Path, bin_dirs: &[PathBuf]) -> Self {
        let command = Self::verb("sweep").option("--turn", turn.to_string());
        let command = command.options("--runtime-endpoint", endpoint);
        command.option("--conf-dir", conf_dir).options("--bin-dir", bin_dirs)
    }

    /// `move-pods`: networks join and leave running pods, started by `watch`. The result repeats `turn`.
    #[must_use]
    pub fn move_pods(turn: u64, endpoint: Option<&str>, conf_dir: &Path) -> Self {
        let command = Self(vec!["move-pods".into()]).option("--turn", turn.to_string());
        let command = command.flag("--no-restart").flag("--apply").options("--runtime-endpoint", endpoint);
        command.option("--conf-dir", conf_dir)
    }

    /// `place`, which puts the plugin into `bin_dirs`.
    #[must_use]
    pub fn place<'a>(bin_dirs: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        Self::verb("place").options("--bin-dir", bin_dirs)
    }

    /// The words of the line, for a change that a person may read.
    #[must_use]
    pub fn into_words(self) -> Vec<String> {
        self.0.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    /// The arguments of the command line.
    #[must_use]
    pub fn into_arguments(self) -> Vec<OsString> {
        self.0
    }

    /// The line of this command without options.
    #[must_use]
    pub fn verb(verb: &str) -> Self {
        Self(vec!["unit".into(), verb.into()])
    }

    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.extend([name.into(), value.into()]);
        self
    }

    /// Adds an option without a value.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.0.push(name.into());
        self
    }

    /// Adds an option once for each value.
    #[must_use]
    pub fn options<T: Into<OsString>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        values.into_iter().fold(self, |command, value| command.option(name, value))
    }
}
