//! The labels and taints that kubelet would register without Crossfade, each with its source.

use std::path::PathBuf;

use types::api::taint::Taint;

/// Every source of labels and taints, in the order in which kubelet takes them: configuration, its drop-ins, flags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KubeletSources {
    /// Labels in the order of the command line.
    pub labels: Vec<Label>,
    /// Lists of taints; the last one is what kubelet would register.
    pub lists: Vec<List>,
    /// The files of `--config-dir` in the order in which they are merged; none where kubelet reads no such directory.
    pub drop_ins: Option<Vec<PathBuf>>,
    /// The command line has `--register-with-taints`, which counts before every file.
    pub flags_taints: bool,
    /// Files and directories that the command line names and that are not there; kubelet does not start without them.
    pub absent: Vec<PathBuf>,
    /// What kubelet would exit for, one line each.
    pub broken: Vec<String>,
    /// Whether kubelet makes its Node at all.
    pub registers: bool,
}

/// A label that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub key: String,
    pub value: String,
    /// The source, for people.
    pub source: String,
}

/// A list of taints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The source, for people.
    pub source: String,
    /// The taints; none of them is a list, too: it takes back what was said before.
    pub taints: Vec<Taint>,
}

impl KubeletSources {
    /// A note for each file that is not there.
    #[must_use]
    pub fn absent_notes(&self) -> Vec<String> {
        let note = |file: &PathBuf| format!("{} is not there yet; it may name taints", file.display());
        self.absent.iter().map(note).collect()
    }

    /// The taints that kubelet would register without Crossfade: the last list, for each of them replaces those before it.
    ///
    /// *Source*: `pkg/util/taints/taints.go`, `taintsVar.Set`; `cmd/kubelet/app/server.go`, `mergeKubeletConfigurations`.
    #[must_use]
    pub fn effective(&self) -> &[Taint] {
        self.lists.last().map(|list| list.taints.as_slice()).unwrap_or_default()
    }
}
