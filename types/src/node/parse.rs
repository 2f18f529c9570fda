//! Bytes to a valid [`Node`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{CniVersion, Gate, Kubelet, Mode, Node, Reporting, Runtime, RuntimeKind};
use crate::endpoint::socket;
use crate::fields::Fields;
use crate::policy::Phase;
use crate::raw::RawObject;
use crate::taint::{Effect, Taint};

/// Longest single try of the gate, in seconds: systemd gives a start 90 by default.
const MAX_TRY_SECS: u64 = 60;
/// Longest time until the gate gives up, in seconds: a week.
const MAX_GIVE_UP_SECS: u64 = 7 * 24 * 3600;

const KEYS: [&str; 12] = [
    "version",
    "confDir",
    "labels",
    "taints",
    "cniVersion",
    "runtime",
    "kubelet",
    "gate",
    "desired",
    "allowed",
    "report",
    "proof",
];

impl Node {
    /// Parses and validates node.json.
    ///
    /// # Errors
    /// One line that names the key, what was expected and, where there is one, the remedy.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let object = RawObject::parse(bytes).map_err(|e| e.to_string())?;
        let fields = Fields::outermost(object, "node", &KEYS)?;
        match fields.require::<u64>("version", "1")? {
            1 => {}
            other => {
                return Err(format!("version: expected 1, found {other}; this program speaks version 1"));
            }
        }
        let usual = Self::default();
        let node = Self {
            conf_dir: one_of(&fields, "confDir", &Mode::ALL.map(|mode| (mode.as_str(), mode)))?
                .unwrap_or(usual.conf_dir),
            labels: fields
                .get::<BTreeMap<String, String>>("labels", "an object of strings")?
                .unwrap_or_default(),
            taints: taints(&fields)?,
            cni_version: one_of(
                &fields,
                "cniVersion",
                &CniVersion::ALL.map(|version| (version.as_str(), version)),
            )?
            .unwrap_or(usual.cni_version),
            runtime: runtime(&fields, usual.runtime)?,
            kubelet: kubelet(&fields, usual.kubelet)?,
            gate: gate(&fields, usual.gate)?,
            follows_desired: one_of(&fields, "desired", &[("node-annotation", true), ("off", false)])?
                .unwrap_or(usual.follows_desired),
            allowed: allowed(&fields)?,
            report: report(&fields, usual.report)?,
            proves: one_of(&fields, "proof", &[("attach", true), ("probe", false)])?.unwrap_or(usual.proves),
        };
        if node.follows_desired && node.allowed.is_empty() {
            return Err(
                "allowed: missing; desired is node-annotation, so name the phases that the node may be flipped to"
                    .into(),
            );
        }
        Ok(node)
    }
}

/// The meaning of a word, of those that are listed.
fn one_of<T: Copy>(fields: &Fields, key: &str, words: &[(&str, T)]) -> Result<Option<T>, String> {
    let expected = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
    let Some(text) = fields.get::<String>(key, &expected)? else {
        return Ok(None);
    };
    let meant = words.iter().find(|(word, _)| *word == text).map(|(_, meant)| *meant);
    meant.map(Some).ok_or_else(|| format!("{}: expected {expected}, found {text:?}", fields.at(key)))
}

fn absolute(fields: &Fields, key: &str) -> Result<Option<PathBuf>, String> {
    match fields.get::<PathBuf>(key, "an absolute path")? {
        Some(path) if !path.is_absolute() => {
            Err(format!("{}: expected an absolute path, found {path:?}", fields.at(key)))
        }
        other => Ok(other),
    }
}

/// A unit's name: that of a service, without a path.
fn unit(fields: &Fields, key: &str) -> Result<Option<String>, String> {
    match fields.get::<String>(key, "the name of a .service unit")? {
        Some(name) if !name.ends_with(".service") || name.contains(['/', ' ']) || name.starts_with('.') => {
            Err(format!("{}: expected the name of a .service unit, found {name:?}", fields.at(key)))
        }
        other => Ok(other),
    }
}

fn taints(fields: &Fields) -> Result<Vec<Taint>, String> {
    let mut all: Vec<Taint> = Vec::new();
    for entry in fields.objects("taints", &["key", "value", "effect"])? {
        let effect = one_of(&entry, "effect", &Effect::ALL.map(|effect| (effect.as_str(), effect)))?
            .ok_or_else(|| {
                format!("{}: missing; expected NoSchedule, PreferNoSchedule or NoExecute", entry.at("effect"))
            })?;
        let taint = Taint {
            key: entry.require("key", "the taint's key")?,
            value: entry.get("value", "a string")?.unwrap_or_default(),
            effect,
        };
        if all.iter().any(|one| one.key == taint.key && one.effect == taint.effect) {
            return Err(format!(
                "{}: {} with this effect is listed twice; expected it once",
                entry.at("key"),
                taint.key
            ));
        }
        all.push(taint);
    }
    Ok(all)
}

fn runtime(fields: &Fields, usual: Runtime) -> Result<Runtime, String> {
    let Some(fields) = fields.object("runtime", &["name", "endpoint", "unit", "config", "binDirs"])? else {
        return Ok(usual);
    };
    let endpoint = fields.get::<String>("endpoint", "unix:///PATH")?;
    if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| !socket(endpoint).is_absolute()) {
        return Err(format!("{}: expected unix:///PATH, found {endpoint:?}", fields.at("endpoint")));
    }
    let bin_dirs = fields.get::<Vec<PathBuf>>("binDirs", "a list of absolute paths")?.unwrap_or_default();
    if let Some(relative) = bin_dirs.iter().find(|dir| !dir.is_absolute()) {
        return Err(format!("{}: expected absolute paths, found {relative:?}", fields.at("binDirs")));
    }
    Ok(Runtime {
        kind: one_of(&fields, "name", &RuntimeKind::ALL.map(|kind| (kind.as_str(), kind)))?,
        endpoint,
        unit: unit(&fields, "unit")?,
        config: absolute(&fields, "config")?,
        bin_dirs,
    })
}

fn kubelet(fields: &Fields, usual: Kubelet) -> Result<Kubelet, String> {
    let Some(fields) = fields.object("kubelet", &["unit", "register", "kubeconfig", "nodeName"])? else {
        return Ok(usual);
    };
    Ok(Kubelet {
        unit: unit(&fields, "unit")?.unwrap_or(usual.unit),
        register: fields.get("register", "true or false")?.unwrap_or(usual.register),
        kubeconfig: absolute(&fields, "kubeconfig")?,
        node_name: fields.get("nodeName", "the Node's name")?,
    })
}

fn gate(fields: &Fields, usual: Gate) -> Result<Gate, String> {
    let Some(fields) = fields.object("gate", &["trySeconds", "giveUpSeconds"])? else {
        return Ok(usual);
    };
    Ok(Gate {
        try_secs: fields.integer("trySeconds", 1..=MAX_TRY_SECS)?.unwrap_or(usual.try_secs),
        give_up_secs: fields.integer("giveUpSeconds", 1..=MAX_GIVE_UP_SECS)?,
    })
}

fn allowed(fields: &Fields) -> Result<Vec<Phase>, String> {
    let names = Phase::ALL.map(Phase::as_str).join(", ");
    let words = fields.get::<Vec<String>>("allowed", &format!("a list of {names}"))?.unwrap_or_default();
    let mut all = Vec::new();
    for word in words {
        let phase = Phase::parse(&word)
            .ok_or_else(|| format!("{}: expected phases ({names}), found {word:?}", fields.at("allowed")))?;
        if all.contains(&phase) {
            return Err(format!("{}: {word} is listed twice; expected it once", fields.at("allowed")));
        }
        all.push(phase);
    }
    Ok(all)
}

fn report(fields: &Fields, usual: Reporting) -> Result<Reporting, String> {
    let Some(fields) = fields.object("report", &["node", "textfile"])? else {
        return Ok(usual);
    };
    let textfile = absolute(&fields, "textfile")?;
    if let Some(path) = &textfile
        && path.extension().is_none_or(|extension| extension != "prom")
    {
        return Err(format!(
            "{}: expected a name that ends in .prom, which is what node_exporter reads, found {path:?}",
            fields.at("textfile")
        ));
    }
    Ok(Reporting { node: fields.get("node", "true or false")?.unwrap_or(usual.node), textfile })
}

#[cfg(test)]
mod tests;
