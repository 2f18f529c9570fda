//! The labels and taints that kubelet would register without Crossfade, each with its source.

use std::path::Path;

use convergence::kubelet::sources::{KubeletSources, Label, List};
use convergence::node::paths::KUBELET_ARGUMENTS;
use types::api::{label, taint};

use super::config::{self, KubeletConfig};
use super::flags::{FlagValue, is_off, values};
use crate::host::root::Root;
use crate::systemd::unit::{Unit, Word};

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

/// Reads what the unit says, and the files that its command names. Pure reading.
///
/// # Errors
/// The unit does not have one command.
pub(crate) fn gather(root: &Root, unit: &Unit) -> Result<KubeletSources, String> {
    let mut environment = unit.environment().clone();
    environment.remove(KUBELET_ARGUMENTS);
    let words = unit.single_command()?.expand(unit.name(), &environment);
    let mut sources = KubeletSources { registers: true, ..KubeletSources::default() };
    read_configuration(&mut sources, root, &words);
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
fn read_configuration(sources: &mut KubeletSources, root: &Root, words: &[Word]) {
    let files = config::files(root, words);
    sources.absent.extend(files.absent.clone());
    sources.drop_ins.clone_from(&files.drop_ins);
    for file in files.all() {
        match config::read(root, file) {
            Ok(Some(KubeletConfig { taints, registers, endpoint: _, cluster_dns: _, cluster_domain: _ })) => {
                let source = format!("registerWithTaints in {}", file.display());
                sources.lists.extend(taints.map(|taints| List { source, taints }));
                sources.registers = registers.unwrap_or(sources.registers);
            }
            Ok(None) => sources.absent.push(file.clone()),
            Err(why) => sources.broken.push(why),
        }
    }
}
