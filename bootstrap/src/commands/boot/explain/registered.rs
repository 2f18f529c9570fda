//! The parts of `explain` about units and about kubelet's registration.

use std::path::{Path, PathBuf};

use convergence::failure::Failure;
use convergence::kubelet::registration::Registration;
use convergence::node::paths::KUBELET_ENV;
use convergence::report::Page;
use serde::Serialize;
use types::api::taint::Taint;
use types::node::Node;

use crate::host::root::Root;
use crate::kubelet::own_registration;
use crate::systemd::continuation::{self, Role};
use crate::systemd::unit::Unit;

/// A unit whose command line Crossfade appends to.
///
/// *Shape*: `{"name":"kubelet.service","files":[".."],"command":["/usr/bin/kubelet",..],"variable":"CROSSFADE_KUBELET_ARGS","error":null}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ContinuedUnit {
    name: String,
    /// Its file and drop-ins, in the order in which they are applied.
    files: Vec<PathBuf>,
    /// The command line of the unit without Crossfade's arguments.
    command: Vec<String>,
    /// The variable with Crossfade's arguments at the end of the command line.
    variable: &'static str,
    /// Why Crossfade cannot append to the command line.
    error: Option<String>,
    #[serde(skip)]
    role: Role,
}

impl ContinuedUnit {
    /// Gathers the unit; `None` if the node has no such unit.
    pub(super) fn gather(root: &Root, role: Role, name: &str) -> Option<Self> {
        let variable = role.variable();
        let broken = |error| Self {
            name: name.into(),
            files: Vec::new(),
            command: Vec::new(),
            variable,
            error: Some(error),
            role,
        };
        match Unit::load(root, name) {
            Ok(None) => None,
            Err(why) => Some(broken(why)),
            Ok(Some(unit)) => Some(Self {
                name: name.into(),
                files: unit.files().to_vec(),
                command: unit.command().unwrap_or_default(),
                variable,
                error: continuation::continuation(root, &unit, role).err().map(String::from),
                role,
            }),
        }
    }

    /// Why its command cannot be continued, where there is something to add to it.
    pub(super) fn matters(&self, root: &Root, node: &Node) -> Option<String> {
        self.error.clone().filter(|_| continuation::is_needed(root, node, self.role))
    }

    pub(super) fn render(&self, text: &mut Page) {
        let _ = writeln!(text, "unit     {}", self.name);
        for file in &self.files {
            let _ = writeln!(text, "         {}", file.display());
        }
        match &self.error {
            Some(why) => {
                let _ = writeln!(text, "  Crossfade cannot append its flags to this command: {why}");
            }
            None => {
                let _ = writeln!(text, "  {} ${}", self.command.join(" "), self.variable);
            }
        }
    }
}

/// What kubelet registers its Node with, and who says so.
///
/// *Shape*: `{"labels":[{"key":"a","value":"b","source":"node.json"}],"taints":[{"key":"a","effect":"NoSchedule","source":".."}],
/// "arguments":["--node-labels=a=b"],"file":"/run/crossfade/kubelet.env","notes":[".."]}`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Registered"))]
pub(super) struct KubeletReport {
    labels: Vec<Label>,
    taints: Vec<SourcedTaint>,
    /// The arguments that Crossfade appends.
    arguments: Vec<String>,
    /// The file with the arguments.
    #[cfg_attr(test, schemars(with = "String"))]
    file: &'static Path,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Label {
    key: String,
    value: String,
    source: String,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Sourced"))]
struct SourcedTaint {
    #[serde(flatten)]
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, String>"))]
    taint: Taint,
    source: String,
}

impl KubeletReport {
    /// None where kubelet is no unit of its own.
    ///
    /// # Errors
    /// What keeps `render` from deciding.
    pub(super) fn gather(root: &Root, node: &Node) -> Result<Option<Self>, Failure> {
        if matches!(Unit::outline(root, &node.kubelet.unit), Ok(None)) {
            return Ok(None);
        }
        let (kubelet_sources, registration) = own_registration::registration(root, node)?;
        let Registration { arguments, labels, taints, mut notes, conflicts, drop_in: _ } = registration;
        let absent_notes = kubelet_sources.absent_notes();
        notes.extend(conflicts.into_iter().chain(kubelet_sources.broken).chain(absent_notes));
        if !node.kubelet.register {
            notes.push(
                "node.json says kubelet.register: false, so its labels and taints are left to a fragment"
                    .into(),
            );
        }
        let label = |label: convergence::kubelet::sources::Label| Label {
            key: label.key,
            value: label.value,
            source: label.source,
        };
        Ok(Some(Self {
            labels: labels.into_iter().map(label).collect(),
            taints: taints.into_iter().map(|(taint, source)| SourcedTaint { taint, source }).collect(),
            arguments,
            file: Path::new(KUBELET_ENV),
            notes,
        }))
    }

    pub(super) fn render(&self, text: &mut Page) {
        text.text("kubelet registers\n");
        if self.labels.is_empty() && self.taints.is_empty() {
            text.text("  no labels and no taints\n");
        }
        for label in &self.labels {
            let _ = writeln!(text, "  label {}={}  ({})", label.key, label.value, label.source);
        }
        for SourcedTaint { taint, source } in &self.taints {
            let _ = writeln!(text, "  taint {taint}  ({source})");
        }
        match self.arguments.as_slice() {
            [] => text.text("  Crossfade adds nothing\n"),
            arguments => {
                let _ = writeln!(text, "  {} in {}", arguments.join(" "), self.file.display());
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "  note: {note}");
        }
    }
}
