//! What kubelet would register without Crossfade, and who says so.

use std::path::{Path, PathBuf};

use types::label;
use types::taint::{self, Taint};

use super::config::{self, KubeletConfig};
use super::flags::{FlagValue, given, is_off};
use crate::node::paths::{KUBELET_ARGUMENTS, Root};
use crate::systemd::unit::{Unit, Word};

/// Everything that speaks about labels and taints, in the order in which kubelet takes it: configuration, its drop-ins, flags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KubeletSources {
    /// Labels in the order of the command line.
    pub labels: Vec<Label>,
    /// Lists of taints; the last one is what kubelet would register.
    pub lists: Vec<List>,
    /// The files of `--config-dir` in the order in which they are merged; none where kubelet reads no such directory.
    pub drop_ins: Option<Vec<PathBuf>>,
    /// Somebody says `--register-with-taints`, which counts before every file.
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
    /// Who says so, for people.
    pub source: String,
}

/// A list of taints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Who says so, for people.
    pub source: String,
    /// The taints; none of them is a list, too: it takes back what was said before.
    pub taints: Vec<Taint>,
}

impl KubeletSources {
    /// Reads what the unit says, and the files that its command names. Pure reading.
    ///
    /// # Errors
    /// The unit does not have one command.
    pub fn gather(root: &Root, unit: &Unit) -> Result<Self, String> {
        let mut environment = unit.environment().clone();
        environment.remove(KUBELET_ARGUMENTS);
        let words = unit.single()?.expand(unit.name(), &environment);
        let mut found = Self { registers: true, ..Self::default() };
        found.take_configuration(root, &words);
        for flag in given(&words, "register-with-taints") {
            let source = source(unit, "--register-with-taints", &flag);
            found.flags_taints = true;
            match taint::parse(flag.value) {
                Ok(taints) => found.lists.push(List { source, taints }),
                Err(why) => found.broken.push(format!("{source}: {why}")),
            }
        }
        for flag in given(&words, "node-labels") {
            let source = source(unit, "--node-labels", &flag);
            let labels = label::parse(flag.value).into_iter();
            found.labels.extend(labels.map(|(key, value)| Label { key, value, source: source.clone() }));
        }
        found.registers &= !is_off(&words, "register-node");
        Ok(found)
    }

    /// `--config`, then every file of `--config-dir`; of several flags the last counts.
    fn take_configuration(&mut self, root: &Root, words: &[Word]) {
        let files = config::files(root, words);
        self.absent.extend(files.absent.clone());
        self.drop_ins.clone_from(&files.drop_ins);
        for file in files.all() {
            match config::read(root, file) {
                Ok(Some(KubeletConfig {
                    taints,
                    registers,
                    endpoint: _,
                    cluster_dns: _,
                    cluster_domain: _,
                })) => {
                    let source = format!("registerWithTaints in {}", file.display());
                    self.lists.extend(taints.map(|taints| List { source, taints }));
                    self.registers = registers.unwrap_or(self.registers);
                }
                Ok(None) => self.absent.push(file.clone()),
                Err(why) => self.broken.push(why),
            }
        }
    }

    /// The taints that kubelet would register without Crossfade: the last list, for each of them replaces those before it.
    ///
    /// *Source*: `pkg/util/taints/taints.go`, `taintsVar.Set`; `cmd/kubelet/app/server.go`, `mergeKubeletConfigurations`.
    #[must_use]
    pub fn effective(&self) -> &[Taint] {
        self.lists.last().map(|list| list.taints.as_slice()).unwrap_or_default()
    }
}

/// `--flag in $VARIABLE of FILE`, or `--flag in FILE` for a word of the command itself.
fn source(unit: &Unit, flag: &str, given: &FlagValue<'_>) -> String {
    let line = || unit.exec_start().first().map(|line| line.source.as_path());
    match given.variable {
        Some(variable) => match unit.source(variable) {
            Some(file) => format!("{flag} in ${variable} of {}", file.display()),
            None => format!("{flag} in ${variable}"),
        },
        None => format!("{flag} in {}", line().unwrap_or(Path::new(unit.name())).display()),
    }
}
