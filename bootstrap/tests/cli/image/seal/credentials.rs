//! Credentials of clusters, networks and registries: each is named where it lies, and none is quoted.

use super::document;
use super::image::image;
use super::refused::finding;

const SECRET: &str = "canary-77ab";

/// Where a credential may lie, and what is in the file.
const PLANTED: [(&str, &str); 34] = [
    // Calico, with its datastore and with Kubernetes.
    ("etc/kubernetes/cni/net.d/calico-kubeconfig", "users:\n- user: {token: canary-77ab}\n"),
    (
        "etc/kubernetes/cni/net.d/10-calico.conflist",
        r#"{"plugins":[{"policy":{"k8s_auth_token":"canary-77ab"}}]}"#,
    ),
    ("etc/cni/net.d/calico-tls/etcd-key", "-----BEGIN RSA PRIVATE KEY-----\ncanary-77ab\n"),
    (
        "etc/cni/net.d/10-calico.conflist",
        r#"{"name":"k","plugins":[{"type":"calico","policy":{"k8s_auth_token":"canary-77ab"}}]}"#,
    ),
    ("etc/cni/net.d/10-old.conf", r#"{"name":"k","type":"calico","etcd_key":"canary-77ab"}"#),
    ("etc/calico/calicoctl.cfg", "spec:\n  etcdPassword: canary-77ab\n"),
    ("etc/calico/certs/key.pem", "-----BEGIN PRIVATE KEY-----\ncanary-77ab\n"),
    // Multus.
    ("etc/cni/net.d/multus.d/multus.kubeconfig", "users:\n- user: {token: canary-77ab}\n"),
    ("etc/cni/net.d/multus.d/certs/multus-client.pem", "-----BEGIN EC PRIVATE KEY-----\ncanary-77ab\n"),
    ("etc/cni/net.d/whereabouts.d/whereabouts.kubeconfig", "users:\n- user: {token: canary-77ab}\n"),
    // k3s and RKE2.
    ("etc/rancher/k3s/k3s.yaml", "users:\n- user: {client-key-data: canary-77ab}\n"),
    ("etc/rancher/rke2/rke2.yaml", "users:\n- user: {client-key-data: canary-77ab}\n"),
    ("etc/rancher/k3s/config.yaml", "server: https://a:6443\ntoken: canary-77ab\n"),
    ("etc/rancher/rke2/config.yaml.d/10.yaml", "agent-token: canary-77ab\n"),
    ("etc/rancher/k3s/registries.yaml", "configs: {r: {auth: {username: u, password: canary-77ab}}}\n"),
    ("etc/rancher/node/password", "canary-77ab"),
    ("var/lib/rancher/k3s/server/token", "canary-77ab"),
    ("var/lib/rancher/rke2/server/node-token", "canary-77ab"),
    ("var/lib/rancher/k3s/server/agent-token", "canary-77ab"),
    ("var/lib/rancher/k3s/agent/kubelet.kubeconfig", "users:\n- user: {client-key: /var/lib/x}\n"),
    ("var/lib/rancher/rke2/agent/client-kubelet.key", "-----BEGIN EC PRIVATE KEY-----\ncanary-77ab\n"),
    // Registries: kubelet, docker, podman, containerd, CRI-O.
    ("var/lib/kubelet/config.json", r#"{"auths":{"r":{"auth":"canary-77ab"}}}"#),
    ("var/lib/kubelet/.dockercfg", r#"{"r":{"auth":"canary-77ab","email":"a@b"}}"#),
    ("root/.docker/config.json", r#"{"auths":{"r":{"identitytoken":"canary-77ab"}}}"#),
    ("home/me/.docker/config.json", r#"{"auths":{"r":{"auth":"canary-77ab"}}}"#),
    ("run/containers/0/auth.json", r#"{"auths":{"r":{"auth":"canary-77ab"}}}"#),
    ("etc/containers/auth.json", r#"{"auths":{"r":{"auth":"canary-77ab"}}}"#),
    ("root/.config/containers/auth.json", r#"{"auths":{"r":{"auth":"canary-77ab"}}}"#),
    (
        "etc/containerd/config.toml",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.r.auth]\npassword = \"canary-77ab\"\n",
    ),
    (
        "etc/containerd/conf.d/10.toml",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.r.auth]\nauth = \"canary-77ab\"\n",
    ),
    (
        "etc/containerd/certs.d/r/hosts.toml",
        "[host.\"https://r\".header]\nAuthorization = \"Basic canary-77ab\"\n",
    ),
    ("etc/crio/auth/ns-1.json", r#"{"auths":{"r":{"auth":"canary-77ab"}}}"#),
    ("srv/pull-secret.json", r#"{"auths":{"r":{"auth":"canary-77ab"}}}"#),
    ("etc/kubernetes/azure.json", r#"{"aadClientSecret":"canary-77ab"}"#),
];

/// What lies beside them, and holds none.
const HARMLESS: [(&str, &str); 9] = [
    (
        "root/.docker/config.json",
        r#"{"auths":{"r":{}},"credsStore":"secretservice","credHelpers":{"r":"ecr-login"}}"#,
    ),
    ("var/lib/kubelet/config.json", r#"{"credHelpers":{"r":"ecr-login"}}"#),
    (
        "etc/rancher/k3s/config.yaml",
        "server: https://a:6443\ntoken-file: /run/secrets/token\nnode-label: [a=b]\n",
    ),
    ("etc/rancher/k3s/registries.yaml", "mirrors: {docker.io: {endpoint: [https://mirror]}}\n"),
    (
        "etc/containerd/config.toml",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n",
    ),
    (
        "etc/containerd/certs.d/r/hosts.toml",
        "server = \"https://r\"\n[host.\"https://m\"]\ncapabilities = [\"pull\"]\n",
    ),
    ("etc/cni/net.d/calico-tls/etcd-ca", "-----BEGIN CERTIFICATE-----\n"),
    ("etc/crio/crio.conf", "[crio.image]\npause_image = \"p\"\n"),
    ("etc/kubernetes/azure.json", r#"{"useManagedIdentityExtension":true,"aadClientSecret":""}"#),
];

#[test]
fn every_credential_is_named_where_it_lies_and_never_quoted() {
    let mut missed = Vec::new();
    for (file, content) in PLANTED {
        let tree = image();
        tree.write(file, content);
        tree.write(
            "etc/crio/crio.conf.d/10.conf",
            "[crio.image]\nglobal_auth_file = \"/srv/pull-secret.json\"\n",
        );
        let run = tree.run(&["image", "seal", "--check", "--output", "json"]);
        let report: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
        let path = format!("/{file}");
        let none = Vec::new();
        let all = report["findings"].as_array().unwrap_or(&none);
        let fits = |finding: &&serde_json::Value| {
            let why = finding["why"].as_str().expect("text");
            finding["path"] == path.as_str()
                && ["credential", "private key", "token", "login"].iter().any(|word| why.contains(word))
        };
        if !all.iter().any(|finding| fits(&finding)) {
            missed.push(file);
            continue;
        }
        assert_eq!(run.status, 3, "{file}: {report}");
        assert!(!report.to_string().contains(SECRET), "{file}: {report}");
        assert!(tree.has(file), "{file}");
        tree.run_expecting(&["image", "seal", "--check", "--allow", &path], 0);
    }
    assert!(missed.is_empty(), "{} of {} are not seen: {missed:#?}", missed.len(), PLANTED.len());
}

#[test]
fn what_holds_no_credential_may_stay() {
    let tree = image();
    for (file, content) in HARMLESS {
        tree.write(file, content);
    }
    assert!(
        tree.run_expecting(&["image", "seal", "--check"], 0).contains("nothing is in the way of an image")
    );
}

#[test]
fn a_conf_with_a_credential_is_named_wherever_the_runtime_reads_confs() {
    let tree = image();
    tree.write(
        "etc/containerd/config.toml",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nconf_dir = \"/srv/net.d\"\n",
    );
    tree.write(
        "srv/net.d/10-x.conflist",
        r#"{"name":"x","plugins":[{"type":"x","k8s_auth_token":"canary-77ab"}]}"#,
    );
    let report = document(&tree, &["image", "seal", "--check"], 3);
    assert!(
        report.to_string().contains("a conf with a credential written into it (k8s_auth_token)"),
        "{report}"
    );
    assert!(!report.to_string().contains(SECRET), "{report}");
    let (_, fix) = finding(&report, "/srv/net.d/10-x.conflist");
    assert!(fix.contains("remove it"), "{fix}");
}
