//! The content of Crossfade's own conf.

pub mod confdir;
pub mod foreign;
pub mod name;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use shim::call::request::POD_ANNOTATIONS;
use shim::node::hostports;
use shim::node::layout::{Layout, PLUGIN};
use types::json::raw::to_raw;
use types::node::CniVersion;

/// Capabilities that Crossfade's conf always declares, because the plugin itself reads them. Host ports are among them: a runtime passes
/// only declared capabilities, and the plugin must notice a pod that asks for a host port on a network without that capability.
pub const OWN_CAPABILITIES: [&str; 2] = [POD_ANNOTATIONS, hostports::CAPABILITY];

/// *Source of the keys*: the specification, section 1, and `loadOnlyInlinedPlugins` of the reference library 1.3.
#[derive(Serialize)]
struct Conf<'a> {
    #[serde(rename = "cniVersion")]
    cni_version: &'a str,
    name: &'a str,
    #[serde(rename = "loadOnlyInlinedPlugins")]
    only_inlined: bool,
    plugins: [Plugin<'a>; 1],
}

#[derive(Serialize)]
struct Plugin<'a> {
    #[serde(rename = "type")]
    plugin_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a Path>,
    #[serde(rename = "stateDir", skip_serializing_if = "Option::is_none")]
    state_dir: Option<&'a Path>,
    #[serde(rename = "runDir", skip_serializing_if = "Option::is_none")]
    run_dir: Option<&'a Path>,
    capabilities: Box<RawValue>,
}

/// The bytes of Crossfade's conf, without directories that are the usual ones.
#[must_use]
pub fn conf(layout: &Layout, name: &str, version: &str, capabilities: &BTreeSet<String>) -> Vec<u8> {
    let usual = Layout::default();
    let enabled: BTreeMap<_, _> = capabilities.iter().map(|name| (name, true)).collect();
    let conf = Conf {
        cni_version: version,
        name,
        only_inlined: true,
        plugins: [Plugin {
            plugin_type: PLUGIN,
            policy: layout.policy.as_deref(),
            state_dir: Some(layout.state_dir.as_path()).filter(|dir| *dir != usual.state_dir),
            run_dir: Some(layout.run_dir.as_path()).filter(|dir| *dir != usual.run_dir),
            capabilities: to_raw(&enabled),
        }],
    };
    // The conf always serialises. It is indented for people who read it.
    let mut bytes = serde_json::to_vec_pretty(&conf).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Crossfade's conf as the reference library hands it to the plugin on stdin: the plugin's own part, with the name and version of the list.
///
/// # Errors
/// Never: the conf that [`conf`] writes is JSON.
pub fn plugin_input(layout: &Layout, name: &str) -> serde_json::Result<Value> {
    let whole: Value =
        serde_json::from_slice(&conf(layout, name, CniVersion::V100.as_str(), &BTreeSet::new()))?;
    let mut input = whole["plugins"][0].clone();
    for key in ["name", "cniVersion"] {
        input[key] = whole[key].clone();
    }
    Ok(input)
}

/// Mode of Crossfade's conf: the file holds no secret.
pub const CONF_MODE: u32 = 0o644;

/// Its name, which sorts behind the usual names of confs.
pub const LEAVING_FILE: &str = "zz-crossfade-leaving.conflist";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_what_is_not_the_default_is_named() {
        let capabilities = [POD_ANNOTATIONS.to_owned(), "portMappings".to_owned()].into();
        let read = |layout: &Layout| -> Value {
            serde_json::from_slice(&conf(layout, "n", "1.0.0", &capabilities)).expect("json")
        };
        let plain = json!({"cniVersion":"1.0.0","name":"n","loadOnlyInlinedPlugins":true,"plugins":[{"type":"crossfade",
            "capabilities":{"portMappings":true,"io.kubernetes.cri.pod-annotations":true}}]});
        assert_eq!(read(&Layout::default()), plain);
        let named = Layout { state_dir: "/s".into(), run_dir: "/r".into(), policy: Some("/p".into()) };
        let plugin = &read(&named)["plugins"][0];
        assert_eq!(
            json!([plugin["stateDir"], plugin["runDir"], plugin["policy"]]),
            json!(["/s", "/r", "/p"])
        );
    }
}
