//! Settings with a credential written into them: confs, configurations of runtimes and agents, logins at registries. What is found
//! is named by its key, never quoted.

use serde_json::Value;

/// What a key with a credential is called, without `-` and `_` and in small letters.
const KEYS: [&str; 22] = [
    // containerd's registry.configs and a login file. *Source*: containerd: docs/cri/registry.md; docker/cli: cli/config/types.
    "auth",
    "password",
    "identitytoken",
    "registrytoken",
    // hosts.toml's headers. *Source*: containerd: docs/hosts.md.
    "authorization",
    "xauthtoken",
    // k3s and RKE2. *Source*: docs.k3s.io/cli/server: what their config.yaml may say.
    "token",
    "agenttoken",
    "etcds3accesskey",
    "etcds3secretkey",
    // Calico and Canal. *Source*: projectcalico/calico: cni-plugin/pkg/types/types.go; calicoctl's configuration.
    "k8sauthtoken",
    "k8sapitoken",
    "etcdpassword",
    "etcdkey",
    // Cloud providers of kubelet. *Source*: cloud-provider-azure and cloud-provider-openstack, their configuration.
    "aadclientsecret",
    "aadclientcertpassword",
    "secret",
    "clientsecret",
    "secretkey",
    "applicationcredentialsecret",
    // A kubeconfig as a part of something else.
    "clientkeydata",
    "privatekey",
];
/// Which of them may as well name the file that holds it.
const FILES: [&str; 2] = ["etcdkey", "privatekey"];
/// How deep a document is looked into; none of these files has half as many levels.
const DEPTH: u32 = 64;

/// The keys of a JSON, TOML or YAML document under which a credential stands; what is none of these is looked through line by line.
/// A kubeconfig has rules of its own ([`super::credential`]).
#[must_use]
pub(crate) fn find(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut pointers = Vec::new();
    match parse_lines(&text) {
        Some(documents) => {
            let others = documents.iter().filter(|document| !document["users"].is_array());
            others.for_each(|document| walk(document, DEPTH, &mut pointers));
        }
        None => text.lines().for_each(|line| find_by_line(line, &mut pointers)),
    }
    pointers.sort();
    pointers.dedup();
    pointers
}

fn parse_lines(text: &str) -> Option<Vec<Value>> {
    if let Ok(document) = serde_json::from_str(text) {
        return Some(vec![document]);
    }
    if let Ok(document) = toml_edit::de::from_str(text) {
        return Some(vec![document]);
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).ok()?;
    // Any text is a YAML string.
    documents
        .iter()
        .all(|document| document.is_object() || document.is_array() || document.is_null())
        .then_some(documents)
}

fn walk(value: &Value, depth: u32, pointers: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if is_secret(key, value) {
                    pointers.push(key.clone());
                }
                walk(value, depth - 1, pointers);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| walk(value, depth - 1, pointers)),
        _ => {}
    }
}

/// Whether a value is a credential by its key; a header has its values in a list.
fn is_secret(key: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => is_secret_text(key, text),
        Value::Number(_) => is_secret_text(key, "0"),
        Value::Array(all) => {
            all.iter().any(|item| item.as_str().is_some_and(|text| is_secret_text(key, text)))
        }
        _ => false,
    }
}

fn is_secret_text(key: &str, value: &str) -> bool {
    let key: String = key.chars().filter(|c| !"-_".contains(*c)).flat_map(char::to_lowercase).collect();
    let names_a_file = FILES.contains(&key.as_str()) && value.starts_with('/');
    KEYS.contains(&key.as_str()) && !value.trim().is_empty() && !names_a_file
}

fn find_by_line(line: &str, pointers: &mut Vec<String>) {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return;
    }
    if let Some((key, value)) = line.split_once(['=', ':']) {
        let plain =
            |text: &str| text.trim().trim_start_matches("- ").trim_matches(['"', '\'', ',']).to_owned();
        let key = plain(key);
        if is_secret_text(&key, &plain(value)) {
            pointers.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_told_by_its_key_in_whatever_it_is_written() {
        for (text, expected) in [
            (
                r#"{"plugins":[{"type":"calico","policy":{"type":"k8s","k8s_auth_token":"x"}}]}"#,
                &["k8s_auth_token"][..],
            ),
            (r#"{"etcd_key":"-----BEGIN PRIVATE KEY-----"}"#, &["etcd_key"]),
            (r#"{"etcd_key":"/calico-secrets/etcd-key","etcd_key_file":"/k"}"#, &[]),
            (r#"{"auths":{"registry.example":{"auth":"dTpw"}}}"#, &["auth"]),
            (
                r#"{"auths":{"registry.example":{}},"credsStore":"secretservice","credHelpers":{"a":"ecr-login"}}"#,
                &[],
            ),
            (
                "[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"r\".auth]\nusername = \"u\"\npassword = \"x\"\n",
                &["password"],
            ),
            ("[host.\"https://r\".header]\nAuthorization = [\"Basic x\"]\n", &["Authorization"]),
            ("[host.\"https://r\"]\ncapabilities = [\"pull\"]\n", &[]),
            ("server: https://a:6443\ntoken: K10x::server:y\nnode-label:\n- a=b\n", &["token"]),
            ("server: https://a:6443\ntoken-file: /run/token\ntoken: ''\n", &[]),
            (
                "configs:\n  r:\n    auth: {username: u, password: x}\n---\nagent-token: 7\n",
                &["agent-token", "password"],
            ),
            ("[Global]\nauth-url=https://k\n# password=no\n; password=no\npassword = x\n", &["password"]),
            ("{% raw %}: [\n  \"password\": \"x\",\n", &["password"]),
            ("password\n", &[]),
            ("users:\n- user: {token: x}\n", &[]),
            ("", &[]),
        ] {
            assert_eq!(find(text.as_bytes()), expected, "{text}");
        }
    }
}
