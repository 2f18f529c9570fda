//! The plugin's annotations on the Pod where Kubernetes is its datastore.
//!
//! *Source*: `projectcalico/calico`, `libcalico-go/lib/backend/k8s/resources/workloadendpoint.go`: a strategic merge patch of `pods/status`. A
//! released endpoint has an empty address, and keeps the id of its container.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result};
use lab::kubernetes::{Client, Identity, STRATEGIC};
use serde_json::{Value, json};

use crate::conf::Call;

const CONTAINER: &str = "cni.projectcalico.org/containerID";
const ADDRESS: &str = "cni.projectcalico.org/podIP";
const ADDRESSES: &str = "cni.projectcalico.org/podIPs";

/// Writes the sandbox and its addresses on the Pod.
///
/// # Errors
/// What the API server says.
pub(crate) fn write(call: &Call, addresses: &[IpAddr]) -> Result<()> {
    let Some((client, path)) = pod(call)? else { return Ok(()) };
    let all: Vec<String> = addresses
        .iter()
        .map(|address| format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }))
        .collect();
    let first = all.first().map(String::as_str).unwrap_or_default();
    say(&client, &path, &json!({ CONTAINER: call.container_id, ADDRESS: first, ADDRESSES: all.join(",") }))
}

/// Releases the Pod's address, if the Pod names this very sandbox.
///
/// # Errors
/// What the API server says; a Pod that is gone has nothing to release.
pub(crate) fn release(call: &Call) -> Result<()> {
    let Some((client, path)) = pod(call)? else { return Ok(()) };
    let answer = client.get(&path)?;
    if answer.status == 404 {
        return Ok(());
    }
    if answer.object()?["metadata"]["annotations"][CONTAINER] != call.container_id {
        eprintln!("[WARNING] CNI_CONTAINERID does not match WorkloadEndpoint ContainerID");
        return Ok(());
    }
    say(&client, &path, &json!({ ADDRESS: "", ADDRESSES: "" }))
}

fn say(client: &Client, path: &str, annotations: &Value) -> Result<()> {
    let body = json!({ "metadata": { "annotations": annotations } });
    client.patch(&format!("{path}/status"), STRATEGIC, &body)?.object().map(drop)
}

/// The API server and the path of the Pod; none where nothing is written, or for what is no Pod.
fn pod(call: &Call) -> Result<Option<(Client, String)>> {
    let (Some(server), Some((namespace, name))) = (&call.conf.kubernetes, call.pod()) else {
        return Ok(None);
    };
    let file = &server.kubeconfig;
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    let kubeconfig: Value = serde_json::from_str(&read(file)?).context("the kubeconfig")?;
    let named = |value: &Value| read(&file.with_file_name(value.as_str().unwrap_or_default()));
    let (cluster, user) = (&kubeconfig["clusters"][0]["cluster"], &kubeconfig["users"][0]["user"]);
    let base = cluster["server"].as_str().context("no server in the kubeconfig")?;
    let identity =
        Identity { certificate: named(&user["client-certificate"])?, key: named(&user["client-key"])? };
    let client = Client::with_certificate(base, &named(&cluster["certificate-authority"])?, &identity)?;
    Ok(Some((client, format!("/api/v1/namespaces/{namespace}/pods/{name}"))))
}
