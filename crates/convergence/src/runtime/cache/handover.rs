//! The handover of an entry of the runtime's result cache to another network's name.
//!
//! containerd sends a DEL with the conf that it has loaded, and looks for the result under that conf's name. So an attachment that Crossfade's
//! plugin made gets its `prevResult` after Crossfade has left only if its entry is there under the name of the network itself.
//!
//! *Source*: `libcni/api.go`, `getCacheFilePath`, `cachedInfo`, `getCachedResult`; go-cni, `Network.Remove`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use shim::node::store::Key;
use types::json::raw::{RawObject, raw_string, to_raw};

use crate::runtime::cache::KIND;

/// An attachment whose later DEL goes to its network without Crossfade.
#[derive(Debug, Clone)]
pub struct Handover {
    /// Container id and ifname.
    pub key: Key,
    /// The network's own name.
    pub network: String,
    /// The network's conf as it was at ADD.
    pub conf: Option<Box<RawValue>>,
    /// What the network's ADD answered, at the version of its conf.
    pub result: Option<Box<RawValue>>,
    /// `CNI_ARGS`.
    pub args: Option<String>,
}

/// The name of an attachment's file in the cache.
#[must_use]
pub fn file_name(network: &str, key: &Key) -> String {
    format!("{network}-{}-{}", key.container_id, key.ifname)
}

impl Handover {
    /// The bytes of its entry. `found` is the entry under another name, whose other keys stay (capability arguments, the netns).
    #[must_use]
    pub fn entry(&self, cached_entry: Option<&[u8]>) -> Vec<u8> {
        let cached_entry = cached_entry.and_then(|bytes| RawObject::parse(bytes).ok());
        let mut entry = cached_entry.unwrap_or_default();
        entry.set("kind", raw_string(KIND));
        entry.set("containerId", raw_string(&self.key.container_id));
        if let Some(conf) = &self.conf {
            entry.set("config", raw_string(&STANDARD.encode(conf.get())));
        }
        entry.set("ifName", raw_string(&self.key.ifname));
        entry.set("networkName", raw_string(&self.network));
        if let Some(args) = self.args.as_deref().filter(|_| entry.get("cniArgs").is_none()) {
            let pairs: Vec<(&str, &str)> = args.split(';').filter_map(|pair| pair.split_once('=')).collect();
            entry.set("cniArgs", to_raw(&pairs));
        }
        if let Some(result) = &self.result {
            entry.set("result", result.clone());
        }
        entry.to_raw().get().as_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{CacheEntry, parse};
    use super::*;

    fn handover() -> Handover {
        let raw = |value: Value| RawValue::from_string(value.to_string()).expect("JSON");
        Handover {
            key: Key::new("c1", "eth0"),
            network: "newnet".into(),
            conf: Some(raw(json!({"cniVersion":"0.4.0","name":"newnet","plugins":[{"type":"bridge"}]}))),
            result: Some(raw(json!({"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.2.0.5/24"}]}))),
            args: Some("IgnoreUnknown=1;K8S_POD_NAME=p".into()),
        }
    }

    fn read(bytes: &[u8]) -> CacheEntry {
        parse(&RawObject::parse(bytes).expect("JSON")).expect("valid").expect("an attachment")
    }

    #[test]
    fn what_crossfade_did_not_change_stays_and_the_rest_is_the_network_s_own() {
        let own_conf = json!({"cniVersion":"1.0.0","name":"crossfade","plugins":[{"type":"crossfade"}]});
        let cached = json!({"kind":"cniCacheV1","containerId":"c1","config":STANDARD.encode(own_conf.to_string()),
            "IfName":"eth0","networkName":"crossfade","netns":"/run/netns/n","cniArgs":[["IgnoreUnknown","0"]],
            "capabilityArgs":{"portMappings":[{"HostPort":80}]},"result":{"cniVersion":"1.0.0"}});
        let before = read(cached.to_string().as_bytes());
        assert!(before.through_us);
        let bytes = handover().entry(Some(cached.to_string().as_bytes()));
        let after = read(&bytes);
        assert!(!after.through_us);
        assert_eq!((after.network.as_str(), after.netns.as_str()), ("newnet", "/run/netns/n"));
        assert_eq!((after.key, after.args.as_deref()), (before.key, Some("IgnoreUnknown=0")));
        assert!(after.runtime_config.expect("capability arguments").get().contains("HostPort"));
        assert!(after.result.expect("a result").get().contains("10.2.0.5"));
        let text = String::from_utf8(bytes.clone()).expect("text");
        assert_eq!(text.matches("fName").count(), 1, "Go takes either spelling for the key: {text}");
        assert_eq!(handover().entry(Some(&bytes)), bytes, "a second time nothing changes");
    }

    #[test]
    fn an_entry_that_the_runtime_lost_is_made_from_the_record() {
        for cached in [None, Some(&b"torn"[..])] {
            let entry = read(&handover().entry(cached));
            assert_eq!((entry.key, entry.network.as_str()), (Key::new("c1", "eth0"), "newnet"));
            assert_eq!(entry.args.as_deref(), Some("IgnoreUnknown=1;K8S_POD_NAME=p"));
            assert!(entry.conf.is_some() && entry.result.is_some());
        }
        assert_eq!(file_name("newnet", &Key::new("c1", "eth0")), "newnet-c1-eth0");
    }
}
