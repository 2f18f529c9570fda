//! One call: environment, conf, and the report of a failure.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The plugin's conf, as far as it is read here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conf {
    /// The version to answer in.
    pub(crate) cni_version: String,
    /// The network's name.
    pub(crate) name: String,
    /// Who gives addresses.
    pub(crate) ipam: Option<Ipam>,
    /// The pod's addresses, where no IPAM gives them.
    #[serde(default)]
    pub(crate) addresses: Vec<IpAddr>,
    /// Of both ends, in bytes.
    pub(crate) mtu: Option<u32>,
    /// What becomes of a pod that has a default route.
    #[serde(default)]
    pub(crate) existing_default: ExistingDefault,
    /// Whether the result's interface has the pod's MAC address and netns.
    #[serde(default)]
    pub(crate) sandbox_in_result: bool,
    /// Whether the result names the pod's interface, beside the host's end, and has the addresses on it.
    #[serde(default)]
    pub(crate) pod_in_result: bool,
    /// Begins the name of every host end.
    #[serde(default = "cali")]
    pub(crate) host_prefix: String,
    /// Where pods and addresses are registered; nowhere if absent.
    pub(crate) datastore: Option<PathBuf>,
    /// Where the Pod is annotated; nowhere if absent.
    #[cfg(feature = "kubernetes")]
    pub(crate) kubernetes: Option<Kubernetes>,
    #[serde(default)]
    pub(crate) nodename: String,
}

/// The API server, and who asks it.
#[cfg(feature = "kubernetes")]
#[derive(Debug, Deserialize)]
pub(crate) struct Kubernetes {
    /// Of kubelet's credential, or of another that may patch `pods/status`.
    pub(crate) kubeconfig: PathBuf,
}

fn cali() -> String {
    "cali".to_owned()
}

/// Who gives addresses.
#[derive(Debug, Deserialize)]
pub(crate) struct Ipam {
    /// Name of a plugin.
    #[serde(rename = "type")]
    pub(crate) plugin: String,
    /// Where host-local keeps its stores.
    #[serde(rename = "dataDir", default = "host_locals_own")]
    pub(crate) data_dir: PathBuf,
}

fn host_locals_own() -> PathBuf {
    "/var/lib/cni/networks".into()
}

/// What becomes of a pod that has a default route already.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExistingDefault {
    /// ADD fails: file exists.
    #[default]
    Fail,
    /// The old route stays, none is added.
    Keep,
}

/// One call of the plugin.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) conf: Conf,
    /// The conf's bytes, as they came.
    pub(crate) stdin: Vec<u8>,
    /// The pod's interface.
    pub(crate) ifname: String,
    /// The pod's netns; none if it is empty.
    pub(crate) netns: Option<PathBuf>,
    /// Where plugins are.
    pub(crate) path: Vec<PathBuf>,
    /// The sandbox.
    pub(crate) container_id: String,
    args: String,
}

impl Call {
    /// Reads environment and conf.
    ///
    /// # Errors
    /// What is missing or cannot be parsed.
    pub(crate) fn read(stdin: &[u8]) -> Result<Self> {
        let variable = |name| std::env::var(name).context(name);
        let path = std::env::var_os("CNI_PATH").unwrap_or_default();
        Ok(Self {
            conf: serde_json::from_slice(stdin).context("parse the conf")?,
            stdin: stdin.to_vec(),
            ifname: variable("CNI_IFNAME")?,
            netns: variable("CNI_NETNS").ok().filter(|path| !path.is_empty()).map(PathBuf::from),
            path: std::env::split_paths(&path).collect(),
            container_id: variable("CNI_CONTAINERID")?,
            args: variable("CNI_ARGS").unwrap_or_default(),
        })
    }

    /// Where host-local keeps this network's leases; none if no IPAM gives addresses.
    pub(crate) fn store(&self) -> Option<PathBuf> {
        Some(self.conf.ipam.as_ref()?.data_dir.join(&self.conf.name))
    }

    /// Namespace and name of the Kubernetes pod; none if it is no such pod.
    pub(crate) fn pod(&self) -> Option<(&str, &str)> {
        let arg = |key: &str| {
            let mut pairs = self.args.split(';').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
        };
        Some((arg("K8S_POD_NAMESPACE")?, arg("K8S_POD_NAME")?))
    }

    /// Name of the host's end: the prefix and as many digits as fit an interface's name (of `cali`: eleven) of a hash of
    /// namespace and name of the pod, or, of no Kubernetes pod, of the container's id. A pod that comes back under its
    /// name has the same one, and so has its second interface, as with Calico.
    pub(crate) fn host_end(&self) -> String {
        let workload = match self.pod() {
            Some((namespace, pod)) => format!("{namespace}.{pod}"),
            None => self.container_id.clone(),
        };
        let digest = Sha256::digest(workload);
        let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let prefix = &self.conf.host_prefix;
        format!("{prefix}{}", &hex[..15_usize.saturating_sub(prefix.len()).min(hex.len())])
    }
}

/// Why a call failed, as the protocol tells it.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u32,
    msg: String,
    details: String,
}

impl Failure {
    /// A conf for another version of the protocol: code 1.
    pub(crate) fn incompatible(version: &str, supported: &[&str]) -> Self {
        Self {
            code: 1,
            msg: "incompatible CNI versions".to_owned(),
            details: format!("config is {version:?}, plugin supports {supported:?}"),
        }
    }

    /// A verb that is none: code 4.
    pub(crate) fn unknown_verb(verb: &str) -> Self {
        Self { code: 4, msg: format!("unknown CNI_COMMAND: {verb}"), details: String::new() }
    }

    /// Another plugin's own error document, or whatever it said instead.
    pub(crate) fn of_plugin(plugin: &str, stdout: &[u8], stderr: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(stdout).unwrap_or_default();
        let text = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
        match document["code"].as_u64().and_then(|code| u32::try_from(code).ok()) {
            Some(code) => Self { code, msg: text("msg"), details: text("details") },
            None => Self {
                code: 999,
                msg: format!("{plugin}: {}", String::from_utf8_lossy(stderr).trim()),
                details: String::from_utf8_lossy(stdout).into_owned(),
            },
        }
    }

    /// The protocol's error document.
    pub(crate) fn document(&self) -> Value {
        json!({"code": self.code, "msg": self.msg, "details": self.details})
    }
}

impl From<anyhow::Error> for Failure {
    /// Any other error is code 999, as with every Go plugin.
    fn from(error: anyhow::Error) -> Self {
        Self { code: 999, msg: format!("{error:#}"), details: String::new() }
    }
}
