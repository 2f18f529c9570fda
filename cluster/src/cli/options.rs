//! Options of every command.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use snapshot::model::{ALL_KINDS, Kind};
use types::text::nearest::find_nearest;
use types::text::quote::shell_word;

use super::access::Access;

/// The heading of options that every command has.
const COMMON: &str = "Common options";
/// The heading of options that say where a snapshot comes from.
const SNAPSHOT: &str = "Snapshot instead of a live cluster";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The format of the answer on stdout.
    #[arg(short = 'o', long, global = true, value_enum, default_value_t = Output::Table, help_heading = COMMON)]
    pub output: Output,
    /// The settings file, JSON or YAML.
    #[arg(long, global = true, value_name = "FILE", help_heading = COMMON)]
    pub config: Option<PathBuf>,
    /// A snapshot, or what kubectl get -o json or -o yaml wrote. A directory stands for its files, and - for stdin. Repeat it for several files.
    #[arg(long, global = true, value_name = "FILE", help_heading = SNAPSHOT)]
    pub snapshot: Vec<PathBuf>,
    /// Kinds of which the cluster has no object, so that none is in the files: all, or plural names such as poddisruptionbudgets, separated by commas.
    #[arg(long, global = true, value_name = "KINDS", value_parser = DumpScope::read, default_value = "", hide_default_value = true, help_heading = SNAPSHOT)]
    pub dumped: DumpScope,
    /// How to reach the API server.
    #[command(flatten)]
    pub access: Access,
}

impl Global {
    /// A command of this program for a person to call next, with the settings file of this call: by other settings a plan is out of date.
    #[must_use]
    pub fn next_command(&self, command: &str) -> String {
        let named = self.config.as_deref().filter(|file| *file != Path::new("-"));
        let config = named.map(|file| format!(" --config {}", shell_word(&file.to_string_lossy())));
        format!("kubectl crossfade {command}{}", config.unwrap_or_default())
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people; they may change with every release.
    Table,
    /// One JSON document with a version, for programs.
    Json,
    /// The same document as YAML.
    Yaml,
    /// Headings and lists, for an issue or a wiki.
    Markdown,
}

/// Kinds that the files have completely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpScope {
    /// Every kind.
    All,
    Kinds(Vec<Kind>),
}

impl DumpScope {
    fn read(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words
            .map(|word| Kind::from_word(word).ok_or_else(|| unknown_output(word)))
            .collect::<Result<_, _>>()
            .map(Self::Kinds)
    }

    /// Every kind.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// The named kinds.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        match self {
            Self::All => &[],
            Self::Kinds(kinds) => kinds,
        }
    }
}

fn unknown_output(word: &str) -> String {
    let names: Vec<&str> = ALL_KINDS.iter().map(|row| row.plural).collect();
    let meant = find_nearest(word, &names).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("no check reads {word:?}{meant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_in_full() {
        assert_eq!(DumpScope::read("all"), Ok(DumpScope::All));
        assert_eq!(DumpScope::read(""), Ok(DumpScope::Kinds(Vec::new())));
        assert_eq!(DumpScope::read("pods, ippools"), Ok(DumpScope::Kinds(vec![Kind::POD, Kind::IP_POOL])));
        assert!(DumpScope::read("podz").is_err_and(|why| why.contains("pods")));
    }

    #[test]
    fn the_command_that_comes_next_has_the_settings_of_this_call() {
        use clap::Parser as _;
        let next = |arguments: &[&str]| {
            let all = ["kubectl-crossfade", "status"].iter().chain(arguments).copied();
            crate::cli::Cli::try_parse_from(all).expect("arguments").global.next_command("roll --resume")
        };
        assert_eq!(next(&[]), "kubectl crossfade roll --resume");
        assert_eq!(next(&["--config", "a b.yaml"]), "kubectl crossfade roll --resume --config 'a b.yaml'");
        assert_eq!(next(&["--config", "-"]), "kubectl crossfade roll --resume", "stdin is read once");
    }
}
