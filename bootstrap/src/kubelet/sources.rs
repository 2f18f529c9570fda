//! The labels and taints that kubelet would register without Crossfade, each with its source.

use std::path::{Path, PathBuf};

use types::label;
use types::taint::{self, Taint};

use super::config::{self, KubeletConfig};
use super::flags::{FlagValue, is_off, values};
use crate::host::root::Root;
use crate::systemd::unit::{Unit, Word};
use convergence::paths::KUBELET_ARGUMENTS;

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
    /// Reads what the unit says, and the files that its command names. Pure reading.
    ///
    /// # Errors
    /// The unit does not have one command.
    pub fn gather(root: &Root, unit: &Unit) -> Result<Self, String> {
        let mut environment = unit.environment().clone();
        environment.remove(KUBELET_ARGUMENTS);
        let words = unit.single()?.expand(unit.name(), &environment);
        let mut sources = Self { registers: true, ..Self::default() };
        sources.read_configuration(root, &words);
        for flag in values(&words, "register-with-taints") {
            let source = source(unit, "--register-with-taints", &flag);
            sources.flags_taints = true;
            match taint::parse(flag.value) {
                Ok(taints) => sources.lists.push(List { source, taints }),
                Err(why) => sources.broken.push(format!("{source}: {why}")),
            }
        }
        for flag in values(&words, "node-labels") {
            let source = source(unit, "--node-labels", &flag);
            let labels = label::parse(flag.value).into_iter();
            sources.labels.extend(labels.map(|(key, value)| Label { key, value, source: source.clone() }));
        }
        sources.registers &= !is_off(&words, "register-node");
        Ok(sources)
    }

    /// `--config`, then every file of `--config-dir`; of several flags the last counts.
    fn read_configuration(&mut self, root: &Root, words: &[Word]) {
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
fn source(unit: &Unit, flag: &str, occurrence: &FlagValue<'_>) -> String {
    let line = || unit.exec_start().first().map(|line| line.source.as_path());
    match occurrence.variable {
        Some(variable) => match unit.source(variable) {
            Some(file) => format!("{flag} in ${variable} of {}", file.display()),
            None => format!("{flag} in ${variable}"),
        },
        None => format!("{flag} in {}", line().unwrap_or(Path::new(unit.name())).display()),
    }
}
