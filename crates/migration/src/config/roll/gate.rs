//! Gates that the operator brings: commands that say whether all is well.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::config::ProbeGate;

/// The names of the gates that every plan may have.
pub const BUILT_IN: [&str; 4] = ["workload", "dns", "api-server", "watched"];

/// A command on the machine of the run. Exit status 0 is green, 1 is red, anything else is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CommandGate {
    /// What the gate is called in plans and reports: lower-case letters, digits and `-`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")))]
    pub name: String,
    /// The program and its arguments. No shell reads them.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub command: Vec<String>,
    /// Seconds from one call to the next.
    #[serde(default = "every_seconds")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub every_seconds: u32,
    /// How old an answer may be to count, in seconds; at least `everySeconds`.
    #[serde(default = "fresh_seconds")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub fresh_seconds: u32,
}

const fn every_seconds() -> u32 {
    30
}

const fn fresh_seconds() -> u32 {
    120
}

/// Whether the gates make sense.
pub(super) fn valid(gates: &[CommandGate]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for (index, gate) in gates.iter().enumerate() {
        gate.valid(&mut names).map_err(|why| format!("roll.gates[{index}].{why}"))?;
    }
    Ok(())
}

impl CommandGate {
    fn valid<'a>(&'a self, names: &mut BTreeSet<&'a str>) -> Result<(), String> {
        let name = self.name.as_str();
        if !is_name(name) {
            return Err(format!("name: expected lower-case letters, digits and -, found {name:?}"));
        }
        let own = BUILT_IN.into_iter().chain(ProbeGate::ALL.map(|gate| gate.into_str()));
        let own: Vec<&str> = own.collect();
        if own.contains(&name) {
            return Err(format!("name: expected another name than {}, found {name:?}", own.join(", ")));
        }
        if !names.insert(name) {
            return Err(format!("name: expected a name that no other gate has, found {name:?} again"));
        }
        if self.command.first().is_none_or(|program| program.trim().is_empty()) {
            return Err("command: expected a program and its arguments, found no program".into());
        }
        if self.every_seconds == 0 {
            return Err("everySeconds: expected at least 1, found 0".into());
        }
        if self.fresh_seconds < self.every_seconds {
            return Err(format!(
                "freshSeconds: expected at least everySeconds, {}, found {}; an answer would always be too old",
                self.every_seconds, self.fresh_seconds
            ));
        }
        Ok(())
    }
}

fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !text.is_empty()
        && text.bytes().all(|byte| is_inner(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
