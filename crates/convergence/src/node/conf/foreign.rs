//! The entries that other programs have put into Crossfade's private conf directory.
//!
//! In private mode the runtime reads this directory, so a conf there decides which network pods get. Only `boot` and `watch` write there,
//! and they write only [`CONF_FILE`]. So Crossfade removes everything else that a runtime would read. containerd is one
//! such writer: with `conf_template` it makes a conf as soon as kubelet passes the node's pod CIDR.

use std::path::{Path, PathBuf};

use types::command::problem::Problem;
use types::profile::Profiles;

use crate::change::{Act, Change};

/// The conf that containerd makes from its template. *Source*: `pkg/cri/server/update_runtime_config.go`, `cniConfigFileName`.
const OF_TEMPLATE: &str = "10-containerd-net.conflist";

/// One entry of the private conf directory that is not Crossfade's and that a runtime would read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignEntry {
    pub path: PathBuf,
    /// What it is, for people: its file name and, where that is known, its network.
    pub what: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

impl ForeignEntry {
    /// The CNI whose agent writes a conf of this name, and what keeps the agent from it.
    fn agent<'p>(&self, profiles: &'p Profiles) -> Option<(&'p str, &'p str)> {
        let profile = profiles.find_by_conf(self.path.file_name()?.to_str()?)?;
        Some((profile.name.as_str(), profile.conf_setting.as_deref()?))
    }

    /// Its removal. Of a link the link goes, never what it leads to.
    #[must_use]
    pub fn removal(&self) -> Change {
        let why = "not Crossfade's: the runtime would use it";
        if self.is_dir {
            let target = self.path.display().to_string();
            Change::new(Act::RemoveTree(self.path.clone()), target, why)
        } else {
            Change::remove(self.path.clone(), true, why)
        }
    }
}

/// Names what was found in `dir`, and its writer where that is known. `found` is not empty.
#[must_use]
pub fn describe(dir: &Path, entries: &[ForeignEntry], profiles: &Profiles) -> Problem {
    let names: Vec<&str> = entries.iter().map(|entry| entry.what.as_str()).collect();
    let by_template = entries.iter().any(|entry| entry.path.ends_with(OF_TEMPLATE));
    let (writer, fix) = if by_template {
        (
            "; containerd makes it from its conf_template".to_owned(),
            "restart containerd, whose start empties the key conf_template",
        )
    } else if let Some((name, setting)) = entries.iter().find_map(|entry| entry.agent(profiles)) {
        (format!("; the agent of {name} writes a conf of this name"), setting)
    } else {
        (String::new(), "find out who writes into this directory, which is Crossfade's alone")
    };
    let what = format!(
        "{} in {}: not Crossfade's, so the runtime could use it instead of Crossfade's conf{writer}",
        names.join(", "),
        dir.display()
    );
    Problem::new(what).with_place(dir.display().to_string()).fix(fix)
}
