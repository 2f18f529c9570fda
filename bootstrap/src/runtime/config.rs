//! The container runtime's own configuration, as far as it concerns CNI; nothing about its directories is assumed.
//!
//! On a node containerd itself is asked (`containerd config dump`), so that its defaults and its way of merging imports count; below
//! another root, and where containerd is part of another program, its files are read. CRI-O prints nothing without starting, so its
//! files are read as its manual says they are merged.

use convergence::runtime::config::RuntimeConfig;

pub(crate) mod containerd;
mod crio;
pub(crate) mod render;

use std::path::{Path, PathBuf};

use shim::host::file::read_regular;
use types::command::problem::Problem;
use types::node::{Node, RuntimeKind};

use crate::host::root::Root;
use crate::systemd::unit::Unit;
use convergence::runtime::facts::ConfigFact;

pub(crate) use render::{RehearsalResult, leave, rehearse, require_configured};

/// A runtime that was found, not yet read.
#[derive(Debug)]
struct RuntimeUnit {
    kind: RuntimeKind,
    /// As in [`RuntimeConfig::unit`].
    unit: Option<String>,
    /// Its command, the program first; empty where it is part of another program.
    command: Vec<String>,
    /// Named in node.json.
    file: Option<PathBuf>,
}

impl RuntimeUnit {
    fn find(root: &Root, node: &Node) -> Result<Option<Self>, Problem> {
        let settings = &node.runtime;
        let file = settings.config.clone();
        let load = |name: &str| Unit::load(root, name);
        let (kind, unit) = match (settings.kind, &settings.unit) {
            (Some(kind), Some(name)) => (kind, load(name)?),
            (Some(kind), None) => (kind, load(kind.unit())?),
            (None, Some(name)) => {
                let unit = load(name)?.ok_or_else(|| {
                    Problem::new(format!("runtime.unit in node.json: there is no unit {name}"))
                        .with_place("node.json, runtime.unit")
                        .fix("name the runtime's unit, or leave the key out")
                })?;
                let program = unit.single_command()?.name().to_owned();
                let kind = if program == "crio" { RuntimeKind::Crio } else { RuntimeKind::Containerd };
                (kind, Some(unit))
            }
            (None, None) => match RuntimeKind::ALL.map(|kind| (kind, load(kind.unit()))) {
                [(_, Ok(None)), (_, Ok(None))] if file.is_none() => return Ok(None),
                [(kind, Ok(None)), (_, Ok(None))] => (kind, None),
                [(kind, Ok(Some(unit))), (_, Ok(None))] | [(_, Ok(None)), (kind, Ok(Some(unit)))] => {
                    (kind, Some(unit))
                }
                [(_, Err(why)), _] | [_, (_, Err(why))] => return Err(why.into()),
                _ => {
                    return Err(Problem::new("both containerd.service and crio.service are here")
                        .with_place("node.json, runtime.name")
                        .fix("name the one of this node's pods in node.json, runtime.name"));
                }
            },
        };
        let Some(unit) = unit else {
            // A kind that is named without a unit that exists: it is started by something else.
            return match &file {
                Some(_) => Ok(Some(Self { kind, unit: None, command: Vec::new(), file })),
                None => {
                    let name = settings.unit.as_deref().unwrap_or(kind.unit());
                    Err(Problem::new(format!("there is no unit {name}")).with_place("node.json, runtime.unit").fix(
                        "name the runtime's in node.json, runtime.unit, or, where another program starts it, its configuration file in \
                         runtime.config",
                    ))
                }
            };
        };
        let single = unit.single_command()?;
        let is_its_own = matches!(
            (kind, single.name()),
            (RuntimeKind::Containerd, "containerd") | (RuntimeKind::Crio, "crio")
        );
        match (is_its_own, &file) {
            (true, _) => {
                Ok(Some(Self { kind, unit: Some(unit.name().into()), command: unit.command()?, file }))
            }
            (false, Some(_)) => Ok(Some(Self { kind, unit: None, command: Vec::new(), file })),
            (false, None) => {
                let (unit, program, kind) = (unit.name(), single.program, kind.as_str());
                Err(Problem::new(format!("{unit} runs {program}, which is not {kind} itself"))
                    .with_place(unit)
                    .fix("name the configuration file that it uses in node.json, runtime.config"))
            }
        }
    }

    /// The last value of a flag; of several the last one counts. *Source*: Go's package `flag`, which both runtimes' flags are read with.
    fn flag(&self, names: &[&str]) -> Option<&str> {
        let mut last = None;
        let mut arguments = self.command.iter().skip(1);
        while let Some(argument) = arguments.next() {
            let Some(name) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
                continue;
            };
            match name.split_once('=') {
                Some((name, value)) if names.contains(&name) => last = Some(value),
                None if names.contains(&name) => last = arguments.next().map(String::as_str),
                _ => {}
            }
        }
        last
    }

    /// Where its configuration is: named in node.json, else on its command line, else the usual place.
    fn file(&self, usual: &str) -> PathBuf {
        self.file
            .clone()
            .or_else(|| self.flag(&["config", "c"]).map(PathBuf::from))
            .unwrap_or_else(|| usual.into())
    }
}

/// Largest configuration file that is read, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A configuration file; none where it is absent. Its content may hold credentials of registries: no error quotes it.
fn read(root: &Root, path: &Path) -> Result<Option<String>, Problem> {
    let unusable_file = |why: String| config_problem(path, &why);
    let bytes = match read_regular(&root.join(path), MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable_file(error.to_string())),
    };
    String::from_utf8(bytes).map(Some).map_err(|_| unusable_file("it is not UTF-8".into()))
}

/// A configuration file that cannot be used.
fn config_problem(path: &Path, why: &str) -> Problem {
    let path = path.display().to_string();
    Problem::new(format!("the runtime's configuration {path}: {why}"))
        .fix(format!(
            "mend the runtime's configuration {path}, or name another file in node.json, runtime.config"
        ))
        .with_place(path)
}

/// TOML as a tree. A parser's message quotes the line, so only its place is told.
fn tree(path: &Path, text: &str) -> Result<serde_json::Value, Problem> {
    toml_edit::de::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
        config_problem(path, &format!("no valid TOML at line {line}"))
    })
}

/// Finds this node's runtime and reads its configuration; none where there is no runtime.
///
/// # Errors
/// One line: which of two it is cannot be told, or its configuration cannot be read.
pub(crate) fn gather(root: &Root, node: &Node) -> Result<Option<RuntimeConfig>, Problem> {
    let Some(unit) = RuntimeUnit::find(root, node)? else {
        return Ok(None);
    };
    match unit.kind {
        RuntimeKind::Containerd => containerd::gather(root, unit),
        RuntimeKind::Crio => crio::gather(root, unit),
    }
    .map(Some)
}

/// Finds this node's runtime, and reads its configuration if no program has to run for that: CRI-O's is files, containerd prints its own.
#[must_use]
pub(crate) fn read_files(root: &Root, node: &Node) -> ConfigFact {
    match RuntimeUnit::find(root, node) {
        Err(why) => ConfigFact::Unreadable(why),
        Ok(None) => ConfigFact::NoRuntime,
        Ok(Some(unit)) if unit.kind == RuntimeKind::Crio => crio::gather(root, unit).map(Some).into(),
        Ok(Some(_)) => ConfigFact::NotRead,
    }
}

#[cfg(test)]
mod tests;
