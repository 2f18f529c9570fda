//! The runtime's result cache: the attachments of now, and their plugins.
//!
//! *Source*: `libcni/api.go`, `cachedInfo`: one file `NAME-ID-IFNAME` per attachment, holding `{"kind":"cniCacheV1","containerId":..,
//! "config":BASE64,"ifName":..,"networkName":..,"netns":..,"cniArgs":[["K","V"]],"capabilityArgs":{..},"result":{..}}`, written
//! after an ADD succeeded and removed after a DEL did.

pub mod handover;

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use shim::attachment::conflist::Conflist;
use shim::host::boot::Moment;
use shim::node::inventory::{Deleter, Entry};
use shim::node::layout::PLUGIN;
use shim::node::store::Key;
use types::json::raw::RawObject;
use types::policy::Side;
use types::text::names::{is_name, validate_ifname};

/// The name of the loopback network, which every sandbox has. *Source*: go-cni, `cni.go`.
pub const LOOPBACK_NETWORK: &str = "cni-loopback";
pub const KIND: &str = "cniCacheV1";

/// What a CRI runtime adds to `CNI_ARGS`; others who use the library do not.
const SANDBOX_ARG: &str = "K8S_POD_INFRA_CONTAINER_ID";

/// What is in the cache.
#[derive(Debug, Default)]
pub struct Cache {
    /// The attachments, loopback left out, in the order of their file names.
    pub attachments: Vec<CacheEntry>,
    /// Files that could not be read as one (a crash leaves empty ones), and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// One attachment as the runtime remembers it.
#[derive(Debug, Clone)]
pub struct CacheEntry {
    /// Container id and ifname.
    pub key: Key,
    pub network: String,
    /// Path of its netns.
    pub netns: String,
    /// `CNI_ARGS`.
    pub args: Option<String>,
    pub runtime_config: Option<Box<RawValue>>,
    /// The network's conflist as it was; none where it cannot be used.
    pub conf: Option<Box<RawValue>>,
    pub result: Option<Box<RawValue>>,
    /// Whether it was attached through Crossfade.
    pub through_us: bool,
}

impl CacheEntry {
    /// The attachment as an entry of the inventory, as of `now`: the network `side` of the policy attached it, and `deleter` serves its DEL.
    #[must_use]
    pub fn entry(&self, side: Side, deleter: Deleter, now: &Moment) -> Entry {
        Entry {
            conf: self.conf.clone(),
            prev_result: self.result.clone(),
            runtime_config: self.declared_result(),
            cni_args: self.args.clone(),
            listed_at: Some(now.clone()),
            deleted_by: deleter,
            ..Entry::new(self.key.clone(), side.as_str())
        }
    }

    /// What a DEL will need of the cached `runtimeConfig`: the capabilities that the attachment's own plugins declare. The cache also holds
    /// all annotations of the pod, which the inventory must not keep.
    fn declared_result(&self) -> Option<Box<RawValue>> {
        let offered = self.runtime_config.as_ref()?;
        let Some(conf) = self.conf.as_ref().and_then(|raw| Conflist::from_resolved(raw).ok()) else {
            // The conf will be the policy's, so its plugins say later what they take.
            return Some(offered.clone());
        };
        let declared = conf.retain_declared(RawObject::parse(offered.get().as_bytes()).ok()?);
        (!declared.is_empty()).then(|| declared.to_raw())
    }
}

/// The attachment of one file of the cache; none of another kind, and none of the loopback interface.
///
/// # Errors
/// In words; they quote no value.
pub fn parse(object: &RawObject) -> Result<Option<CacheEntry>, String> {
    let text = |key: &str| -> Result<String, String> {
        object.decode(key).map(Option::unwrap_or_default).map_err(|e| format!("{key}: {e}"))
    };
    if text("kind")? != KIND {
        return Ok(None);
    }
    let (network, ifname) = (text("networkName")?, text("ifName")?);
    if network == LOOPBACK_NETWORK || ifname == "lo" {
        return Ok(None);
    }
    let container_id = text("containerId")?;
    if !is_name(&container_id) {
        return Err(format!("containerId: invalid characters in {container_id:?}"));
    }
    validate_ifname(&ifname).map_err(|why| format!("ifName: {why}"))?;
    let conf = STANDARD.decode(text("config")?).map_err(|e| format!("config: {e}"))?;
    let conf = String::from_utf8(conf).map_err(|e| format!("config: {e}"))?;
    let conf = RawValue::from_string(conf).ok().and_then(|raw| Conflist::from_resolved(&raw).ok());
    let object_of = |key: &str| {
        object.get(key).filter(|raw| raw.get().starts_with('{') && raw.get() != "{}").map(ToOwned::to_owned)
    };
    let args: Vec<(String, String)> =
        object.decode("cniArgs").map_err(|e| format!("cniArgs: {e}"))?.unwrap_or_default();
    let args: Vec<String> = args.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok(Some(CacheEntry {
        key: Key::new(container_id, ifname),
        network,
        netns: text("netns")?,
        args: (!args.is_empty()).then(|| args.join(";")),
        runtime_config: object_of("capabilityArgs"),
        result: object_of("result"),
        through_us: conf
            .as_ref()
            .is_some_and(|conf| conf.plugins.iter().any(|plugin| plugin.plugin_type == PLUGIN)),
        conf: conf.map(|conf| conf.raw),
    }))
}

/// Whether `CNI_ARGS` say that a CRI runtime made the sandbox `container_id`, so that its list is about it.
#[must_use]
pub fn made_by_cri(args: Option<&str>, container_id: &str) -> bool {
    args.is_some_and(|args| {
        args.split(';').any(|pair| pair.split_once('=') == Some((SANDBOX_ARG, container_id)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn cached(change: &Value) -> Result<Option<CacheEntry>, String> {
        let conf =
            r#"{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[{"type":"calico","mtu":1.50}]}"#;
        let mut info = json!({"kind":"cniCacheV1","containerId":"c1","config":STANDARD.encode(conf),"ifName":"eth0",
            "networkName":"k8s-pod-network","netns":"/run/netns/n1","cniArgs":[["IgnoreUnknown","1"],
            ["K8S_POD_INFRA_CONTAINER_ID","c1"]],"capabilityArgs":{"portMappings":[]},
            "result":{"cniVersion":"0.3.1","ips":[]}});
        let (Value::Object(all), Value::Object(change)) = (&mut info, change.clone()) else { unreachable!() };
        all.extend(change);
        parse(&RawObject::parse(info.to_string().as_bytes()).expect("json"))
    }

    #[test]
    fn an_attachment_is_read_with_its_conf_as_it_was() {
        let entry = cached(&json!({})).expect("valid").expect("one");
        assert_eq!((entry.key, entry.network.as_str()), (Key::new("c1", "eth0"), "k8s-pod-network"));
        assert!(entry.conf.expect("conf").get().contains(r#""mtu":1.50"#));
        assert_eq!(entry.args.as_deref(), Some("IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=c1"));
        assert!(made_by_cri(entry.args.as_deref(), "c1"));
        assert!(!entry.through_us && entry.result.is_some() && entry.runtime_config.is_some());
    }

    #[test]
    fn what_is_no_pod_network_is_passed_over() {
        for change in [
            json!({"kind":"other"}),
            json!({"networkName":"cni-loopback"}),
            json!({"ifName":"lo","networkName":"x"}),
        ] {
            assert!(cached(&change).expect("fine").is_none(), "{change}");
        }
    }

    #[test]
    fn what_cannot_be_an_attachment_says_why() {
        for (change, words) in [
            (json!({"containerId":"../c1"}), "containerId"),
            (json!({"ifName":"a/b"}), "ifName"),
            (json!({"config":"%"}), "config"),
            (json!({"cniArgs":"x"}), "cniArgs"),
        ] {
            let why = cached(&change).expect_err("invalid");
            assert!(why.contains(words), "{change}: {why}");
        }
    }

    #[test]
    fn ours_are_told_by_the_conf_and_a_useless_conf_is_none() {
        let entry_of =
            |conf: &str| cached(&json!({"config":STANDARD.encode(conf)})).expect("valid").expect("one");
        assert!(entry_of(r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"crossfade"}]}"#).through_us);
        let useless = entry_of("{");
        assert!(useless.conf.is_none() && !useless.through_us);
    }

    #[test]
    fn of_the_capability_arguments_an_entry_keeps_what_its_own_plugins_declare() {
        let offered =
            r#"{"portMappings":[{"hostPort":1.50}],"io.kubernetes.cri.pod-annotations":{"last":"PASSWORD"}}"#;
        let kept = |plugins: &str| {
            let conf = format!(r#"{{"cniVersion":"1.0.0","name":"n","plugins":[{{"type":"a"}},{plugins}]}}"#);
            let mut attachment =
                cached(&json!({"config":STANDARD.encode(conf)})).expect("valid").expect("an attachment");
            attachment.runtime_config = Some(RawValue::from_string(offered.into()).expect("JSON"));
            let now = Moment { boot_id: "b".into(), boottime_ms: 1, wall_secs: 1 };
            let entry = attachment.entry(Side::New, Deleter::Crossfade, &now);
            assert_eq!((entry.network.as_str(), entry.listed_at), ("new", Some(now)));
            entry.runtime_config.map(|kept| kept.get().to_owned())
        };
        let declaring = r#"{"type":"b","capabilities":{"portMappings":true}}"#;
        assert_eq!(kept(declaring).as_deref(), Some(r#"{"portMappings":[{"hostPort":1.50}]}"#));
        assert_eq!(kept(r#"{"type":"b"}"#), None);
        assert!(kept("{").is_some_and(|all| all.contains("PASSWORD")), "its plugins are not known yet");
    }

    #[test]
    fn only_the_sandbox_itself_is_made_by_cri() {
        for (args, expected) in [
            (Some("IgnoreUnknown=1;K8S_POD_INFRA_CONTAINER_ID=c1"), true),
            (Some("K8S_POD_INFRA_CONTAINER_ID=c12"), false),
            (Some("K8S_POD_NAME=c1"), false),
            (None, false),
        ] {
            assert_eq!(made_by_cri(args, "c1"), expected, "{args:?}");
        }
    }
}
