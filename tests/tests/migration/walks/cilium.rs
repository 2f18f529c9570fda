//! A stand-in for Cilium's chart and its agents: the objects that `check` reads, and an agent on each node that answers probes and writes its node's conf
//! by the settings that a real agent reads when it starts.
//!
//! *Source*: cilium/cilium 1.17: install/kubernetes/cilium/templates/cilium-configmap.yaml, pkg/option/resolver.go, daemon/cmd/cni/config.go.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use lab::host::fabric::Overlay;
use lab::host::node::Node;
use lab::kubernetes::api::node_path;
use lab::kubernetes::{Api, Cluster, MERGE, manifest, tools};
use lab::standin::agent::{Agent, Answer, HttpHealth, Spec, UnixHealth};
use serde_json::{Value, json};

use crate::flannel::host_agent;

const NAMESPACE: &str = "kube-system";
const CONFIG_MAP: &str = "cilium-config";
/// A value of the chart, and the key of the ConfigMap that the chart makes of it.
const KEYS: [(&str, &str); 15] = [
    ("bpf.hostLegacyRouting", "enable-host-legacy-routing"),
    ("cni.chainingMode", "cni-chaining-mode"),
    ("cni.customConf", "custom-cni-conf"),
    ("cni.exclusive", "cni-exclusive"),
    ("cni.uninstall", "cni-uninstall"),
    ("hostFirewall.enabled", "enable-host-firewall"),
    ("ipam.mode", "ipam"),
    ("ipam.operator.clusterPoolIPv4PodCIDRList", "cluster-pool-ipv4-cidr"),
    ("kubeProxyReplacement", "kube-proxy-replacement"),
    ("operator.unmanagedPodWatcher.restart", WATCHER),
    ("policyEnforcementMode", "enable-policy"),
    ("routingMode", "routing-mode"),
    ("socketLB.enabled", "bpf-lb-sock"),
    ("tunnelPort", "tunnel-port"),
    ("tunnelProtocol", "tunnel-protocol"),
];
/// Where the chart has the agent write the conf, on the host's file system as the agent sees it.
const WRITTEN: &str = "/host/etc/cni/net.d/05-cilium.conflist";

/// Where an agent writes the conf.
const CONF: &str = "write-cni-conf-when-ready";
/// How often the operator looks for pods that are not Cilium's.
const WATCHER: &str = "unmanaged-pod-watcher-interval";
/// Keys of the ConfigMap that are none of the agent's own: those of the operator, of the pod's other containers and of the chart.
const NO_FLAGS: [&str; 4] = ["cluster-pool-ipv4-cidr", "cni-uninstall", "custom-cni-conf", WATCHER];

/// The settings of an agent, as it reads them when it starts.
type Settings = BTreeMap<String, String>;

/// The data of the ConfigMap for values of the chart, a value by its dotted name each.
fn config_map(values: &[(String, Value)]) -> Settings {
    let key = |name: &str| KEYS.iter().find(|(value, _)| *value == name).map(|(_, key)| *key);
    let mut data = Settings::new();
    for (name, value) in values {
        let Some(key) = key(name) else { continue };
        let text = match (key, value) {
            (WATCHER, Value::Bool(restarts)) => if *restarts { "15" } else { "0" }.to_owned(),
            (_, Value::Array(ranges)) => {
                ranges.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
            }
            (_, Value::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        };
        data.insert(key.to_owned(), text);
    }
    if data.get("custom-cni-conf").is_some_and(|custom| custom == "false") {
        data.insert(CONF.to_owned(), WRITTEN.to_owned());
    }
    data
}

/// The values of a Helm file, by their dotted names.
fn flatten(prefix: &str, values: &Value, flat: &mut Vec<(String, Value)>) {
    match values {
        Value::Object(keys) => {
            for (key, value) in keys {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, flat);
            }
        }
        value => flat.push((prefix.to_owned(), value.clone())),
    }
}

/// The values that `--set NAME=VALUE` gives in a command.
fn set_values(command: &str) -> Vec<(String, Value)> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "--set").filter_map(|pair| pair[1].split_once('='));
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    pairs.map(|(name, text)| (name.to_owned(), value(text))).collect()
}

/// `helm install cilium` with a file of values: ConfigMap, CRD, and the pods of operator and agents, which do nothing.
pub(crate) fn install(cluster: &Cluster, values: &str) -> Result<()> {
    let api = cluster.api()?;
    let values: Value = serde_saphyr::from_str(values).context("the values")?;
    let mut flat = Vec::new();
    flatten("", &values, &mut flat);
    let data = config_map(&flat);
    let mut cilium = manifest::workload(
        "DaemonSet",
        NAMESPACE,
        "cilium",
        None,
        &host_agent("cilium-agent", tools::CILIUM),
    );
    let labels = json!({ "k8s-app": "cilium" });
    cilium["spec"]["selector"]["matchLabels"] = labels.clone();
    cilium["spec"]["template"]["metadata"]["labels"] = labels;
    api.create(&[
        definition(),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "namespace": NAMESPACE, "name": CONFIG_MAP }, "data": data,
        }),
        cilium,
        manifest::workload(
            "Deployment",
            NAMESPACE,
            "cilium-operator",
            Some(1),
            &host_agent("cilium-operator", tools::CILIUM),
        ),
    ])?;
    until_started(&api)
}

/// Stand-ins of the agents. Dropping them ends them.
pub(crate) fn start_agents(cluster: &Cluster) -> Result<Vec<Agent>> {
    cluster.workers.iter().map(|worker| start_agent(&worker.node)).collect()
}

/// `helm upgrade cilium` with these values beside those of before; gives the operator's interval of looks for pods that are not Cilium's.
pub(crate) fn upgrade(api: &Api, command: &str) -> Result<String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}");
    let data = config_map(&set_values(command));
    let map = api.client.patch(&path, MERGE, &json!({ "data": data }))?.object()?;
    Ok(map["data"][WATCHER].as_str().unwrap_or("0").to_owned())
}

/// The settings of a node's agent as flags of a real one, which reads each from a file of its name.
pub(crate) fn flags(api: &Api, node: &str) -> Result<Vec<String>> {
    let mut settings = settings_of(api, node)?;
    if settings.get("custom-cni-conf").is_some_and(|custom| custom == "true") {
        settings.remove(CONF);
    }
    settings.retain(|key, _| !NO_FLAGS.contains(&key.as_str()));
    // An agent on the node itself, not in a pod, has the host's files at their own paths.
    Ok(settings.iter().map(|(key, value)| format!("--{key}={}", value.trim_start_matches("/host"))).collect())
}

/// The DaemonSet has an agent on each node again.
pub(crate) fn until_started(api: &Api) -> Result<()> {
    api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/cilium"))
}

/// The agent of a node starts again: it reads its settings, and writes the conf if these say so.
pub(crate) fn restart_agent(api: &Api, node: &Node, overlay: &Overlay) -> Result<()> {
    let settings = settings_of(api, node.name())?;
    let custom = settings.get("custom-cni-conf").is_some_and(|custom| custom == "true");
    let Some(path) = settings.get(CONF).filter(|_| !custom) else { return Ok(()) };
    let path = path.strip_prefix("/host").context("a path on the host")?;
    let chains = settings.get("cni-chaining-mode").is_some_and(|mode| mode == "portmap");
    node.write(path, conf(node, overlay, chains).to_string())
}

/// The conf that an agent writes; the mode of chaining is the name of the network.
fn conf(node: &Node, overlay: &Overlay, chains_portmap: bool) -> Value {
    let mut conf =
        crate::place::conf(node, overlay, if chains_portmap { "portmap" } else { "cilium" }, "cni-new");
    if let (false, Some(plugins)) = (chains_portmap, conf["plugins"].as_array_mut()) {
        plugins.retain(|plugin| plugin["type"] != "portmap");
    }
    conf
}

/// The ConfigMap, and over it the `CiliumNodeConfigs` whose selectors match the node, in the order of their names.
fn settings_of(api: &Api, node: &str) -> Result<Settings> {
    let strings = |object: &Value| -> Settings {
        let pairs = object.as_object().into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    };
    let config = api.get(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{CONFIG_MAP}"))?;
    let labels = strings(&api.get(&node_path(node))?["metadata"]["labels"]);
    let mut settings = strings(&config["data"]);
    for object in api.list(&format!("/apis/cilium.io/v2/namespaces/{NAMESPACE}/ciliumnodeconfigs"))? {
        let selector = strings(&object["spec"]["nodeSelector"]["matchLabels"]);
        if selector.iter().all(|(key, value)| labels.get(key) == Some(value)) {
            settings.extend(strings(&object["spec"]["defaults"]));
        }
    }
    Ok(settings)
}

fn start_agent(node: &Node) -> Result<Agent> {
    let spec = Spec {
        name: "cilium".into(),
        unix: Some(UnixHealth { path: "/run/cilium/cilium.sock".into(), answer: Answer::Ready }),
        http: Some(HttpHealth {
            header: Some("brief: true".into()),
            ..HttpHealth::plain("127.0.0.1:9879".parse()?, Answer::Ready)
        }),
        ..Spec::default()
    };
    fs::create_dir_all(node.outside("/run/cilium"))?;
    Agent::start(spec, Some(node.pid().as_raw().cast_unsigned()))
}

/// The CRD of `CiliumNodeConfig`; its schema keeps every field.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "ciliumnodeconfigs.cilium.io" },
        "spec": {
            "group": "cilium.io", "scope": "Namespaced",
            "names": { "kind": "CiliumNodeConfig", "plural": "ciliumnodeconfigs", "singular": "ciliumnodeconfig" },
            "versions": [{
                "name": "v2", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    })
}
