//! Credentials that another program gives out: kubeconfig's `exec`, as EKS nodes have it.
//!
//! *Source*: `client.authentication.k8s.io` v1 and v1beta1, `ExecCredential`. What the program says, on stdout or stderr, is a
//! secret and never passed on.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;
use types::command::problem::Problem;

use crate::host::command::{RunLimits, StderrTo, run_with};
use crate::host::program;

/// The longest wait for a credential, which may have to come from a cloud's service, and its largest size.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(30), max_bytes: 1 << 20 };
/// The versions of the interface that are spoken; both have the same fields.
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs the plugin and puts what it gives in place of it. Returns until when that is good, where it says so.
///
/// # Errors
/// One line that names the plugin, without anything that it said.
pub(crate) fn resolve(auth: &mut AuthInfo) -> Result<Option<Timestamp>, Problem> {
    let Some(plugin) = auth.exec.take() else {
        return Ok(None);
    };
    let name = plugin.command.clone().ok_or_else(|| {
        Problem::new("exec: command: missing; expected the credential plugin")
            .fix("name the credential plugin in exec.command of the kubeconfig")
    })?;
    let failed = |why: String| {
        Problem::new(format!("credential plugin {name}: {why}"))
            .with_place(&name)
            .fix(format!("run {name} by hand to see more"))
    };
    let credential = run(&plugin, &name).map_err(failed)?;
    let usable = credential.token.is_some() || credential.client_certificate_data.is_some();
    if !usable {
        return Err(failed("gave neither a token nor a certificate".into()));
    }
    if let Some(token) = credential.token {
        auth.token = Some(token.into());
    }
    if let (Some(certificate), Some(key)) = (credential.client_certificate_data, credential.client_key_data) {
        auth.client_certificate_data = Some(STANDARD.encode(certificate));
        auth.client_key_data = Some(STANDARD.encode(key).into());
    }
    Ok(credential.expiration_timestamp)
}

fn run(plugin: &ExecConfig, name: &str) -> Result<Status, String> {
    let version = plugin.api_version.as_deref().unwrap_or_default();
    if !VERSIONS.contains(&version) {
        return Err(format!("expected apiVersion {}, found {version:?}", VERSIONS.join(" or ")));
    }
    if plugin.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err("wants a terminal (interactiveMode Always), and a service has none".into());
    }
    let mut spec = json!({ "interactive": false });
    if plugin.provide_cluster_info {
        spec["cluster"] = serde_json::to_value(&plugin.cluster).map_err(|_| "cluster: cannot be told")?;
    }
    let info = json!({ "apiVersion": version, "kind": "ExecCredential", "spec": spec });
    let mut command = program::command(name).map_err(|e| e.to_string())?;
    command.args(plugin.args.iter().flatten());
    for variable in plugin.env.iter().flatten() {
        if let (Some(key), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(key, value);
        }
    }
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    let answer = run_with(&mut command, LIMITS, Vec::new(), StderrTo::Nowhere).map_err(|e| e.to_string())?;
    if !answer.status.success() {
        return Err(format!("ended with {}", answer.status));
    }
    let credential: ExecCredential =
        serde_json::from_slice(&answer.stdout).map_err(|_| "gave no ExecCredential in JSON".to_owned())?;
    if credential.api_version != version {
        return Err(format!("was asked in {version} and answered in another version"));
    }
    credential.status.ok_or_else(|| "gave an ExecCredential without status".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::config::Kubeconfig;

    /// Fails the test that finds it in an error.
    const CANARY: &str = "canary-5f3b";

    fn auth(version: &str, script: &str) -> AuthInfo {
        let text = json!({ "users": [{ "name": "u", "user": { "exec": {
            "apiVersion": version, "command": "/bin/sh", "args": ["-c", script],
            "env": [{ "name": "SAID", "value": CANARY }], "interactiveMode": "Never",
        }}}]});
        let kubeconfig = Kubeconfig::from_yaml(&text.to_string()).expect("a kubeconfig");
        kubeconfig.auth_infos[0].auth_info.clone().expect("a user")
    }

    fn token(auth: &AuthInfo) -> String {
        serde_json::to_value(auth).expect("JSON")["token"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_token_in_both_versions() {
        for version in VERSIONS {
            let mut auth = auth(
                version,
                r#"echo "$KUBERNETES_EXEC_INFO" | grep -q '"interactive":false' || exit 9
                printf '{"apiVersion":"%s","kind":"ExecCredential","status":{"expirationTimestamp":"2030-01-01T00:00:00Z","token":"%s"}}' \
                "$(echo "$KUBERNETES_EXEC_INFO" | sed 's/.*"apiVersion":"\([^"]*\)".*/\1/')" "$SAID""#,
            );
            let expires_at = resolve(&mut auth).expect("a token");
            assert_eq!(
                expires_at.map(|expires_at| expires_at.to_string()).as_deref(),
                Some("2030-01-01T00:00:00Z")
            );
            assert_eq!(token(&auth), CANARY);
            assert!(auth.exec.is_none());
        }
    }

    #[test]
    fn a_certificate_goes_where_kube_looks_for_one() {
        let mut auth = auth(
            VERSIONS[0],
            r#"echo '{"apiVersion":"client.authentication.k8s.io/v1","status":{"clientCertificateData":"CERT","clientKeyData":"KEY"}}'"#,
        );
        assert_eq!(resolve(&mut auth), Ok(None));
        assert_eq!(auth.client_certificate_data, Some(STANDARD.encode("CERT")));
    }

    #[test]
    fn what_goes_wrong_is_named_and_nothing_of_what_was_said() {
        for (version, script, expected) in [
            (VERSIONS[0], "echo $SAID; echo $SAID >&2; exit 1", "exit status: 1"),
            (VERSIONS[0], "echo $SAID", "no ExecCredential"),
            (VERSIONS[0], r#"echo "{\"apiVersion\":\"$SAID\"}""#, "another version"),
            (
                VERSIONS[0],
                r#"echo '{"apiVersion":"client.authentication.k8s.io/v1","status":{}}'"#,
                "neither",
            ),
            (VERSIONS[0], r#"echo '{"apiVersion":"client.authentication.k8s.io/v1"}'"#, "without status"),
            ("client.authentication.k8s.io/v1alpha1", "exit 0", "expected apiVersion"),
        ] {
            let error = resolve(&mut auth(version, script)).expect_err(script);
            assert!(error.what.contains(expected) && error.what.contains("/bin/sh"), "{error}");
            assert!(!error.to_string().contains(CANARY), "{error}");
        }
        let mut wants = auth(VERSIONS[0], "exit 0");
        wants.exec.as_mut().expect("exec").interactive_mode = Some(ExecInteractiveMode::Always);
        assert!(resolve(&mut wants).expect_err("no terminal").what.contains("terminal"));
    }
}
