//! Antrea's settings: the key `antrea-agent.conf` of ConfigMap `antrea-config`, YAML in a text.
//!
//! *Source*: antrea-io/antrea: build/charts/antrea/conf/antrea-agent.conf.

use serde_json::Value;
use snapshot::model::{Kind, Object, Snapshot};

use super::{Setting, read_yaml, scalar_text, subject};

/// The ConfigMap, whose name may end in a hash; none if Antrea is not installed.
#[must_use]
pub fn config(snapshot: &Snapshot) -> Option<&Object> {
    snapshot.config_map("antrea-config").filter(|object| object.data(FILE).is_some())
}

/// The key with the agent's settings.
const FILE: &str = "antrea-agent.conf";

/// The agent's settings; none if Antrea is not installed or its settings are no YAML.
#[must_use]
pub fn agent(snapshot: &Snapshot) -> Option<Value> {
    read_yaml(config(snapshot)?.data(FILE)?)
}

/// Whether a feature gate of the controller that is off by default is on.
#[must_use]
pub fn has_gate(snapshot: &Snapshot, name: &str) -> bool {
    let settings = config(snapshot).and_then(|config| read_yaml(config.data("antrea-controller.conf")?));
    let gate = settings.and_then(|settings| scalar_text(settings.pointer("/featureGates")?.get(name)?));
    gate.is_some_and(|gate| gate == "true")
}

/// A setting of the agent at a JSON pointer: `/tunnelType`.
#[must_use]
pub fn setting(snapshot: &Snapshot, pointer: &str) -> Option<Setting> {
    let value = scalar_text(agent(snapshot)?.pointer(pointer)?)?;
    Some(Setting::new(value, subject(Kind::CONFIG_MAP, config(snapshot)?), pointer.trim_start_matches('/')))
}

/// A setting of the agent as text, or its default.
#[must_use]
pub fn value(snapshot: &Snapshot, pointer: &str, default: &str) -> String {
    let set = setting(snapshot, pointer).map(|setting| setting.value).filter(|value| !value.is_empty());
    set.unwrap_or_else(|| default.to_owned())
}
