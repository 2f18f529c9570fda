//! The ConfigMaps that a snapshot keeps, without the values that it leaves out.

use serde_json::{Map, Value};

use super::{Kind, Object, Snapshot, Text, is_system};

/// ConfigMaps that checks read, by namespace and name. A snapshot of a live cluster asks for these, and for those of the same kind that a DaemonSet
/// mounts, such as `antrea-config-5ct9ktdt77`.
///
/// *Source*: the manifests of Calico, Canal, Flannel, Cilium, Antrea and the Amazon VPC CNI; rancher/rke2-charts: packages/rke2-canal; EKS for
/// `kube-proxy-config`.
pub const CONFIG_MAPS: [(&str, &str); 13] = [
    ("kube-flannel", "kube-flannel-cfg"),
    ("kube-system", "amazon-vpc-cni"),
    ("kube-system", "antrea-config"),
    ("kube-system", "calico-config"),
    ("kube-system", "canal-config"),
    ("kube-system", "cilium-config"),
    ("kube-system", "coredns"),
    ("kube-system", "kube-flannel-cfg"),
    ("kube-system", "kube-proxy"),
    ("kube-system", "kube-proxy-config"),
    ("kube-system", "kubeadm-config"),
    ("kube-system", "rke2-canal-config"),
    ("kube-system", "rke2-coredns-rke2-coredns"),
];

/// What RKE2 writes before the names of the objects of its charts.
const RKE2: &str = "rke2-";

/// Words that stand before a secret in a ConfigMap of a CNI or of CoreDNS: a line of a Corefile, or a key of JSON or YAML.
///
/// *Source*: flannel-io/flannel: Documentation/backends.md (`PSK` of the backend ipsec); coredns/coredns: plugin/route53 (`aws_access_key`),
/// plugin/etcd (`credentials`), plugin/azure (`client`, `secret`).
const SECRETS: [&str; 7] = ["psk", "aws_access_key", "credentials", "client", "secret", "password", "token"];

/// Whether an object of this name is the one that its project calls `known`: kustomize appends a hash to names, and RKE2 writes its own name before them.
#[must_use]
pub fn is_named(name: &str, pattern: &str) -> bool {
    let of_rke2 = name.strip_prefix(RKE2).unwrap_or(name);
    [name, of_rke2]
        .iter()
        .any(|name| name.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

/// Whether a snapshot keeps a ConfigMap of this name.
pub(super) fn is_kept(name: &str) -> bool {
    CONFIG_MAPS.iter().any(|(_, pattern)| is_named(name, pattern))
}

/// Removes what may be a secret from the values of a ConfigMap.
pub(super) fn without_secrets(object: &mut Map<String, Value>) {
    object.remove("binaryData");
    let Some(Value::Object(data)) = object.get_mut("data") else { return };
    for value in data.values_mut() {
        if let Value::String(text) = value
            && text.lines().any(is_secret)
        {
            *text = clean(text);
        }
    }
}

/// A text without its secrets. Where JSON stands on one line, that line is more than the secret, so JSON is read as what it is.
fn clean(text: &str) -> String {
    if let Ok(mut json @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
        remove(&mut json);
        return json.to_string();
    }
    text.lines().filter(|line| !is_secret(line)).flat_map(|line| [line, "\n"]).collect()
}

fn remove(value: &mut Value) {
    match value {
        Value::Object(all) => {
            all.retain(|key, _| !SECRETS.contains(&key.to_ascii_lowercase().as_str()));
            all.values_mut().for_each(remove);
        }
        Value::Array(all) => all.iter_mut().for_each(remove),
        _ => {}
    }
}

/// Whether a line begins with the name of a secret, or has it among others in braces.
fn is_secret(line: &str) -> bool {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    let named = if line.contains('{') { usize::MAX } else { 1 };
    let mut named = words.filter(|word| !word.is_empty()).take(named);
    named.any(|word| SECRETS.contains(&word.to_ascii_lowercase().as_str()))
}

impl Snapshot {
    /// The ConfigMap that its project calls `known`. If there are several, as kustomize leaves them behind, the one that a DaemonSet mounts is meant.
    #[must_use]
    pub fn config_map(&self, pattern: &str) -> Option<&Object> {
        let all = self.objects(Kind::CONFIG_MAP).iter().filter(|object| is_named(object.name(), pattern));
        let mounted: Vec<(&Text, &Text)> = self.mounted_config_maps().collect();
        let is_mounted = |object: &Object| {
            mounted
                .iter()
                .any(|(space, name)| (space.as_ref(), name.as_ref()) == (object.namespace(), object.name()))
        };
        all.min_by_key(|object| {
            (!is_system(object.namespace()), !is_mounted(object), object.name() != pattern)
        })
    }

    /// Namespace and name of each ConfigMap that a DaemonSet mounts.
    pub fn mounted_config_maps(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.workloads(Kind::DAEMON_SET).iter().flat_map(|workload| {
            let volumes = workload.spec.template.spec.volumes.iter();
            let named = volumes.filter(|volume| volume.source.as_ref() == "configMap");
            named.filter_map(|volume| Some((&workload.metadata.namespace, volume.target.as_ref()?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_may_have_a_hash_or_begin_with_rke2() {
        for (name, known, is) in [
            ("antrea-config", "antrea-config", true),
            ("antrea-config-5ct9ktdt77", "antrea-config", true),
            ("antrea-configuration", "antrea-config", false),
            ("my-antrea-config", "antrea-config", false),
            ("rke2-canal-config", "canal-config", true),
            ("rke2-canal-config", "rke2-canal-config", true),
            ("canal-config", "rke2-canal-config", false),
        ] {
            assert_eq!(is_named(name, known), is, "{name} for {known}");
        }
    }

    fn config_map(name: &str) -> Object {
        let map = json!({"metadata": {"name": name, "namespace": "kube-system"}, "data": {"a": name}});
        Object::new(Kind::CONFIG_MAP, map).expect("kept")
    }

    #[test]
    fn of_several_with_a_hash_the_mounted_one_is_meant() {
        let mut snapshot = Snapshot::default();
        let all = ["antrea-config", "antrea-config-aaa", "antrea-config-bbb"].map(config_map);
        snapshot.objects.insert(Kind::CONFIG_MAP, all.into());
        let mounted_name =
            |snapshot: &Snapshot| snapshot.config_map("antrea-config").map(|object| object.name().to_owned());
        assert_eq!(mounted_name(&snapshot).as_deref(), Some("antrea-config"));
        let agent = |namespace: &str| {
            let spec = json!({"volumes": [{"name": "c", "configMap": {"name": "antrea-config-bbb"}}]});
            let agent = json!({"metadata": {"name": "antrea-agent", "namespace": namespace}, "spec": {"template": {"spec": spec}}});
            vec![serde_json::from_value(agent).expect("a DaemonSet")]
        };
        snapshot.workloads.insert(Kind::DAEMON_SET, agent("elsewhere"));
        assert_eq!(mounted_name(&snapshot).as_deref(), Some("antrea-config"));
        snapshot.workloads.insert(Kind::DAEMON_SET, agent("kube-system"));
        assert_eq!(mounted_name(&snapshot).as_deref(), Some("antrea-config-bbb"));
    }

    #[test]
    fn a_secret_in_a_config_map_is_not_kept() {
        let net = r#"{"Network": "10.244.0.0/16", "Backend": {"Type": "ipsec", "PSK": "c4nary"}}"#;
        let core = ".:53 {\n    route53 example.org.:Z1 {\n        aws_access_key A c4nary\n    }\n    acl {\n        allow net 10.244.0.0/16\n    }\n}\n";
        let map = json!({"metadata": {"name": "coredns"}, "data": {"net-conf.json": net, "Corefile": core},
            "binaryData": {"x": "c4nary"}});
        let kept = Object::new(Kind::CONFIG_MAP, map).expect("kept");
        assert!(!kept.value().to_string().contains("c4nary"), "{}", kept.value());
        let net: Value = serde_json::from_str(kept.data("net-conf.json").expect("JSON")).expect("JSON");
        assert_eq!(net, json!({"Network": "10.244.0.0/16", "Backend": {"Type": "ipsec"}}));
        assert!(kept.data("Corefile").is_some_and(|text| text.contains("allow net 10.244.0.0/16")));
        // A value that is only called like a secret.
        let conf = "ipsec:\n  authenticationMode: \"psk\"\n";
        let map = json!({"metadata": {"name": "antrea-config"}, "data": {"antrea-agent.conf": conf}});
        assert_eq!(Object::new(Kind::CONFIG_MAP, map).expect("kept").data("antrea-agent.conf"), Some(conf));
    }
}
