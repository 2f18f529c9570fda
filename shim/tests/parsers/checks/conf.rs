//! A network's conf: what is accepted can be run again from its record, and what a plugin of it gets has no second meaning.

use serde_json::Value;
use serde_json::value::RawValue;
use shim::attachment::conflist::Conflist;
use shim::attachment::delegate::{Network, Scope, secondary_runtime_config};
use shim::call::version::{SUPPORTED, Version};
use types::json::raw::{RawObject, raw_string};
use types::text::names::is_name;

use super::json::{go_get, pairs, same_to_go};

/// What is set for every plugin, or taken away.
const SET: [&str; 4] = ["name", "cniVersion", "prevResult", "runtimeConfig"];
/// What belongs to one interface alone.
const PRIMARY_ONLY: [&str; 7] =
    ["portMappings", "ips", "mac", "ipRanges", "infinibandGUID", "deviceID", "aliases"];

/// Checks any bytes as a conf, and as the `runtimeConfig` of one.
pub fn check(data: &[u8]) {
    let Some(raw) =
        std::str::from_utf8(data).ok().and_then(|text| RawValue::from_string(text.to_owned()).ok())
    else {
        return;
    };
    secondary(&raw);
    let list = match Conflist::from_resolved(&raw) {
        Ok(list) => list,
        Err(why) => return assert!(!why.is_empty(), "no reason"),
    };
    let again = Conflist::from_resolved(&list.raw).expect("what is recorded can be run");
    assert_eq!(again.raw.get(), list.raw.get());
    assert!(is_name(&list.name) && !list.plugins.is_empty());
    assert!(list.plugins.iter().all(|plugin| is_name(&plugin.plugin_type)), "a type that is a path");
    let written = pairs(list.raw.get());
    assert_eq!(list.version, highest(&written));
    let listed: Vec<Box<RawValue>> =
        serde_json::from_str(go_get(&written, "plugins").expect("plugins")).expect("a list");
    assert_eq!(listed.len(), list.plugins.len());
    for (at, plugin) in listed.iter().enumerate() {
        forwarded(&list, at, &pairs(plugin.get()));
    }
}

fn highest(written: &[(String, String)]) -> Version {
    let value = |key: &str| {
        go_get(written, key).and_then(|raw| serde_json::from_str::<Value>(raw).ok()).unwrap_or_default()
    };
    let more = value("cniVersions").as_array().cloned().unwrap_or_default();
    let all: Vec<Value> = more.into_iter().chain([value("cniVersion")]).collect();
    let spoken = SUPPORTED.into_iter().rev().find(|version| all.iter().any(|text| text == version.as_str()));
    spoken.expect("a version that both speak")
}

/// What plugin `at` finds on its stdin, as Go would read it.
fn forwarded(list: &Conflist, at: usize, own: &[(String, String)]) {
    let plugin = &list.plugins[at];
    let offered = r#"{"portMappings":[],"PortMappings":1,"mac":"x","bandwidth":{}}"#;
    let offered = RawValue::from_string(offered.to_owned()).expect("JSON");
    let previous = raw_string("previous");
    let scope = Scope { container_id: "c1", netns: "", args: None, search: Vec::new() };
    let network = Network { conf: list, ifname: "eth0", runtime_config: Some(&offered), scope };
    for previous in [None, Some(&*previous)] {
        let stdin = String::from_utf8(network.stdin(plugin, previous)).expect("text");
        let output = pairs(&stdin);
        for key in SET {
            let meanings = output.iter().filter(|(name, _)| same_to_go(name, key)).count();
            assert!(meanings <= 1 || key == "runtimeConfig", "{key} has {meanings} meanings in {stdin}");
        }
        assert_eq!(go_get(&output, "name"), Some(&*format!("\"{}\"", list.name)));
        assert_eq!(go_get(&output, "cniVersion"), Some(&*format!("\"{}\"", list.version)));
        assert_eq!(go_get(&output, "prevResult"), previous.map(RawValue::get));
        assert_eq!(go_get(&output, "type"), go_get(own, "type"));
        let foreign = |(key, _): &&(String, String)| !SET.iter().any(|set| same_to_go(key, set));
        assert!(output.iter().filter(foreign).eq(own.iter().filter(foreign)), "{stdin} was {own:?}");
        capabilities(&output, own, &stdin);
    }
}

/// A plugin gets of `runtimeConfig` what it declares. *Source*: `libcni/api.go`, `injectRuntimeConfig`: a map, so the last word on a
/// capability counts, in its very spelling.
fn capabilities(output: &[(String, String)], own: &[(String, String)], stdin: &str) {
    let Some(declared) = go_get(own, "capabilities").filter(|raw| raw.starts_with('{')).map(pairs) else {
        return;
    };
    let on =
        |key: &str| declared.iter().rev().find(|(name, _)| name == key).is_some_and(|(_, on)| on == "true");
    let any = ["portMappings", "PortMappings", "mac", "bandwidth"].into_iter().any(on);
    if !any {
        return assert_eq!(go_get(output, "runtimeConfig"), go_get(own, "runtimeConfig"), "{stdin}");
    }
    for (key, _) in pairs(go_get(output, "runtimeConfig").expect("what it declares")) {
        assert!(on(&key), "{key} was not asked for in {stdin}");
    }
}

/// Nothing of one interface alone reaches the secondary, however it is spelled.
fn secondary(raw: &RawValue) {
    let Ok(object) = RawObject::parse(raw.get().as_bytes()) else { return };
    for (key, _) in secondary_runtime_config(object).pairs() {
        assert!(!PRIMARY_ONLY.iter().any(|only| same_to_go(key, only)), "{key} is the primary's");
    }
}
