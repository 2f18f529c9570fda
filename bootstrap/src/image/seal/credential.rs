//! Kubeconfigs with a credential in them. What is found is named, never quoted.

use serde_json::Value;

/// What of a user is a credential, or leads to one.
const KEYS: [&str; 6] = ["token", "password", "client-key-data", "client-key", "tokenFile", "auth-provider"];
/// What the name of an environment variable with a secret holds.
const SECRET: [&str; 4] = ["SECRET", "TOKEN", "PASSWORD", "PRIVATE_KEY"];

/// Which credentials a kubeconfig has; none where it is none, or has none. What runs a plugin holds nothing itself.
///
/// What is no YAML (the template of one, say) is looked through line by line.
#[must_use]
pub(crate) fn find(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let Ok(document) = serde_saphyr::from_str::<Value>(&text) else {
        return find_by_line(&text);
    };
    let users = document["users"].as_array().into_iter().flatten().map(|named| &named["user"]);
    let mut paths: Vec<String> = users.flat_map(user_keys).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn user_keys(user: &Value) -> Vec<String> {
    let is_set = |value: &Value| !value.is_null() && value.as_str() != Some("");
    let mut paths: Vec<String> =
        KEYS.iter().filter(|key| is_set(&user[**key])).map(|key| (*key).to_owned()).collect();
    let variables = user["exec"]["env"].as_array().into_iter().flatten();
    let names = variables
        .filter(|variable| is_set(&variable["value"]))
        .filter_map(|variable| variable["name"].as_str());
    paths.extend(names.filter(|name| is_secret(name)).map(|name| format!("exec.env {name}")));
    paths
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET.iter().any(|word| name.contains(word))
}

fn find_by_line(text: &str) -> Vec<String> {
    let keys = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        let key = key.trim().trim_start_matches("- ").trim_matches('"');
        KEYS.iter().find(|candidate| **candidate == key && !value.trim().is_empty())
    });
    let mut matched_keys: Vec<String> = keys.map(|key| (*key).to_owned()).collect();
    matched_keys.sort();
    matched_keys.dedup();
    matched_keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_kubeconfig_or_beside_it() {
        let exec =
            "users:\n- name: kubelet\n  user:\n    exec:\n      command: /usr/bin/aws-iam-authenticator\n";
        for (text, expected) in [
            ("users:\n- name: u\n  user:\n    token: abc\n", &["token"][..]),
            (r#"{"users":[{"name":"u","user":{"password":"x","username":"y"}}]}"#, &["password"]),
            ("users:\n- user: {client-certificate: /c, client-key: /k}\n", &["client-key"]),
            ("users:\n- user: {client-key-data: QQ==}\n- user: {token: x}\n", &["client-key-data", "token"]),
            ("users:\n- user: {tokenFile: /t}\n", &["tokenFile"]),
            ("users:\n- user: {token: ''}\n- user: {}\n- {}\n", &[]),
            (exec, &[]),
            (
                "users:\n- user: {exec: {env: [{name: AWS_SECRET_ACCESS_KEY, value: x}]}}\n",
                &["exec.env AWS_SECRET_ACCESS_KEY"],
            ),
            ("users:\n- user: {exec: {env: [{name: AWS_REGION, value: x}]}}\n", &[]),
            ("clusters: []\n", &[]),
            ("no: [yaml\n  token: abc\n  \"password\": x\n", &["password", "token"]),
            ("{{ template }}: [\n  token:\n", &[]),
            ("", &[]),
        ] {
            assert_eq!(find(text.as_bytes()), expected, "{text}");
        }
    }
}
