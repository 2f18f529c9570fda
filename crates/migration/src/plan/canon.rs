//! A plan as bytes, its hash, and back.
//!
//! The bytes are JSON without white space, the keys of each object in the order of their bytes, and numbers are whole. So the same plan is the same
//! bytes on every machine, and `sha256sum` of the file is the hash of the plan.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Bridge, Plan};

/// How many characters a hash has.
const LENGTH: usize = 64;

/// The canonical bytes of a value.
#[must_use]
pub fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut text = String::new();
    // Plans and settings have names for keys, so that they always serialise.
    write(&serde_json::to_value(value).unwrap_or_default(), &mut text);
    text.into_bytes()
}

/// The hash of a plan: SHA-256 of its canonical bytes, in hex.
#[must_use]
pub fn hash(plan: &Plan) -> String {
    sha256(&bytes(plan))
}

/// How many characters of a hash name a plan to people, in steps of Nodes and in names of objects. A command line has to give as many: another plan with
/// the same four digits is found in a second.
pub const SHORT: usize = 12;

/// The first characters of a hash; all of one that has fewer.
#[must_use]
pub fn shorten_hash(hash: &str) -> &str {
    hash.get(..SHORT).unwrap_or(hash)
}

/// SHA-256, in hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a plan.
///
/// # Errors
/// The bytes are no plan, the plan has a version that this program does not know, or it contradicts itself: what was expected, what was found and
/// what to do.
pub fn read(bytes: &[u8]) -> Result<Plan, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| format!("this is no plan: {e}"))?;
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(Plan::VERSION) => {}
        Some(version) => {
            return Err(format!(
                "the plan has version {version}, this program reads version {}; use the release that wrote it, or make a new plan",
                Plan::VERSION
            ));
        }
        None => return Err(format!("this is no plan: version: expected {}, found nothing", Plan::VERSION)),
    }
    let plan: Plan = serde_json::from_slice(bytes).map_err(|e| format!("the plan cannot be read: {e}"))?;
    // A limit that a file leaves out would count with its default, which the operator has not approved.
    if serde_json::to_value(&plan).ok().as_ref() != Some(&value) {
        return Err("the plan does not say everything that a plan says; make it again: kubectl crossfade plan --out FILE".into());
    }
    check_shape(&plan)?;
    Ok(plan)
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
            text.push('{');
            for (index, (key, value)) in pairs.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

/// The beginning of a hash, or all of it, as a person names a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Whether the hash of a plan begins so.
    #[must_use]
    pub fn is_of(&self, hash: &str) -> bool {
        hash.starts_with(&self.0)
    }

    /// Its first characters, which are in the names of objects.
    #[must_use]
    pub fn shorten_hash(&self) -> &str {
        shorten_hash(&self.0)
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && (SHORT..=LENGTH).contains(&text.len()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "expected the hash of a plan, or its first {SHORT} hex digits or more, found {text:?}"
            ))
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks that a plan does not contradict itself.
///
/// # Errors
/// What does not fit, by its key.
pub(super) fn check_shape(plan: &Plan) -> Result<(), String> {
    if plan.passes.is_empty() {
        return Err("passes: expected a phase, found nothing".into());
    }
    if !plan.ways.is_empty() && plan.ways.len() != plan.passes.len() {
        return Err(format!(
            "ways: expected one for each of {} passes, found {}",
            plan.passes.len(),
            plan.ways.len()
        ));
    }
    let mut nodes = BTreeSet::new();
    let mut waves = BTreeSet::new();
    for wave in &plan.waves {
        if wave.at_once == 0 {
            return Err(format!("wave {}: atOnce: expected at least 1, found 0", wave.name));
        }
        if !waves.insert(&wave.name) {
            return Err(format!("waves: {} is there twice; expected it once", wave.name));
        }
        if let Some(twice) = wave.nodes.iter().find(|planned| !nodes.insert(&planned.name)) {
            return Err(format!(
                "wave {}: node {} is in the plan twice; expected it once",
                wave.name, twice.name
            ));
        }
    }
    if let Some(twice) = plan.left_out.iter().find(|excluded| !nodes.insert(&excluded.name)) {
        return Err(format!("leftOut: node {} is in the plan twice; expected it once", twice.name));
    }
    let mut gates = BTreeSet::new();
    if let Some(twice) = plan.gates.iter().find(|gate| !gates.insert(gate.name.as_str())) {
        return Err(format!("gates: {} is there twice; expected it once", twice.name));
    }
    match &plan.bridge {
        Some(Bridge::Gate(name)) if !gates.contains(name.as_str()) => {
            Err(format!("bridge.gate: expected a gate of the plan, found {name:?}"))
        }
        Some(Bridge::Gate(_) | Bridge::Accepted(_)) | None => Ok(()),
    }
}
