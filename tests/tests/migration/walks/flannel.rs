//! A stand-in for Flannel as its published manifest installs it: the objects that `check` reads, and what an agent leaves on a node.
//!
//! *Source*: flannel-io/flannel 0.26: Documentation/kube-flannel.yml, pkg/trafficmngr/iptables/iptables.go, pkg/backend/vxlan/device.go.

use anyhow::Result;
use lab::host::fabric::Overlay;
use lab::host::node::Node;
use lab::kubernetes::api::node_path;
use lab::kubernetes::{Api, Cluster, STRATEGIC, manifest, tools};
use serde_json::{Value, json};

/// The namespace and the DaemonSet of the manifest.
pub(crate) const NAMESPACE: &str = "kube-flannel";
const AGENT: &str = "kube-flannel-ds";
/// Rules, interface, and plugin of a node; `$1` is the node's address and `$2` the range of its pods. The manifest has `--ip-masq`, which masquerades
/// packets between Flannel's pods and any other address, in both directions. The lab's own overlay has the port of a real one.
const NODE: &str = "set -e
masq() { iptables -w -t nat -A FLANNEL-POSTRTG \"$@\"; }
iptables -w -t nat -N FLANNEL-POSTRTG
iptables -w -t nat -A POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG
masq -m mark --mark 0x4000/0x4000 -m comment --comment 'flanneld masq' -j RETURN
masq -s \"$2\" -d 10.244.0.0/16 -m comment --comment 'flanneld masq' -j RETURN
masq -s 10.244.0.0/16 -d \"$2\" -m comment --comment 'flanneld masq' -j RETURN
masq ! -s 10.244.0.0/16 -d \"$2\" -m comment --comment 'flanneld masq' -j RETURN
masq -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment 'flanneld masq' -j MASQUERADE --random-fully
masq ! -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment 'flanneld masq' -j MASQUERADE --random-fully
iptables -w -t filter -N FLANNEL-FWD
iptables -w -t filter -A FORWARD -m comment --comment 'flanneld forward' -j FLANNEL-FWD
iptables -w -t filter -A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment 'flanneld forward' -j ACCEPT
iptables -w -t filter -A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment 'flanneld forward' -j ACCEPT
ip link add flannel.1 type vxlan id 4095 dstport 8475 local \"$1\" nolearning
mkdir -p /run/flannel /var/lib/cni/flannel /opt/cni/bin
echo FLANNEL_NETWORK=10.244.0.0/16 >/run/flannel/subnet.env
cat >/opt/cni/bin/flannel <<'END'
#!/bin/bash
# As the real one: the delegate's conf is kept by container, and a DEL needs nothing else.
cat >/dev/null
kept=/var/lib/cni/flannel/$CNI_CONTAINERID
[[ $CNI_COMMAND != ADD ]] || cp /run/flannel/delegate.json \"$kept\"
IFS=: read -ra dirs <<<\"$CNI_PATH\"
for dir in \"${dirs[@]}\"; do
    [[ ! -x $dir/bridge ]] || bridge=$dir/bridge
done
[[ -f $kept ]] || exit 0
\"$bridge\" <\"$kept\" || exit
[[ $CNI_COMMAND != DEL ]] || rm \"$kept\"
END
chmod 0755 /opt/cni/bin/flannel";

/// Makes what Flannel's agent and its init container have put on a node.
pub(crate) fn install_on(node: &Node, overlay: &Overlay) -> Result<()> {
    let pods = overlay.subnet(node.index());
    node.run(&["bash", "-c", NODE, "flannel", &node.address().to_string(), &pods])?;
    let mut conf = crate::place::conf(node, overlay, "cbr0", "cni0");
    node.write("/run/flannel/delegate.json", conf["plugins"][0].to_string())?;
    conf["plugins"][0] =
        json!({ "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } });
    node.write("/etc/cni/net.d/10-flannel.conflist", conf.to_string())
}

/// Creates the objects of the manifest, as far as `check` reads them.
pub(crate) fn create(cluster: &Cluster) -> Result<()> {
    let api = cluster.api()?;
    api.namespace(NAMESPACE)?;
    let network = json!({
        "Network": cluster.old.cidr(), "EnableNFTables": false, "Backend": { "Type": "vxlan" },
    });
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "namespace": NAMESPACE, "name": "kube-flannel-cfg", "labels": { "app": "flannel" } },
        "data": { "net-conf.json": network.to_string() },
    });
    let mut agent = host_agent("kube-flannel", tools::FLANNEL);
    agent["containers"][0]["args"] = json!(["--ip-masq", "--kube-subnet-mgr"]);
    agent["serviceAccountName"] = json!("flannel");
    api.create(&rights())?;
    api.create(&[config, manifest::workload("DaemonSet", NAMESPACE, AGENT, None, &agent)])?;
    api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{AGENT}"))
}

/// What an agent writes on its Node when it starts.
pub(crate) fn annotate(api: &Api, node: &Node) -> Result<()> {
    for (key, value) in [
        ("backend-data", r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}"#),
        ("backend-type", "vxlan"),
        ("kube-subnet-manager", "true"),
        ("public-ip", &node.address().to_string()),
    ] {
        api.annotate(node.name(), &format!("flannel.alpha.coreos.com/{key}"), json!(value))?;
    }
    let condition = json!({ "type": "NetworkUnavailable", "status": "False", "reason": "FlannelIsUp" });
    set_condition(api, node.name(), &condition)
}

/// Writes a condition of a Node.
pub(crate) fn set_condition(api: &Api, node: &str, condition: &Value) -> Result<()> {
    let patch = json!({ "status": { "conditions": [condition] } });
    api.client.patch(&format!("{}/status", node_path(node)), STRATEGIC, &patch)?.object().map(drop)
}

/// The account of the manifest and its rights.
fn rights() -> [Value; 3] {
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let rule = |resource: &str, verbs: &[&str]| json!({ "apiGroups": [""], "resources": [resource], "verbs": verbs });
    [
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "namespace": NAMESPACE, "name": "flannel" },
        }),
        json!({
            "apiVersion": version, "kind": "ClusterRole", "metadata": { "name": "flannel" },
            "rules": [
                rule("pods", &["get"]), rule("nodes", &["get", "list", "watch"]), rule("nodes/status", &["patch"]),
            ],
        }),
        json!({
            "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": { "name": "flannel" },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": "flannel" },
            "subjects": [{ "kind": "ServiceAccount", "namespace": NAMESPACE, "name": "flannel" }],
        }),
    ]
}

/// The pod of an agent, which does nothing: it uses its node's network and tolerates every taint.
pub(crate) fn host_agent(container: &str, image: &str) -> Value {
    json!({
        "hostNetwork": true,
        "tolerations": [{ "operator": "Exists" }],
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": container, "image": image, "imagePullPolicy": "Never",
            // The arguments of the real agent are names of the shell's.
            "command": [tools::BUSYBOX, "sh", "-c", format!("exec {} sleep 1000000000", tools::BUSYBOX), container],
        }],
    })
}
