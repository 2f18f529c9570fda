//! CRI client: sandboxes through a runtime's socket.
//!
//! A blocking facade over the runtime service, version 1. One [`Cri`] serves any number of threads, and reconnects by
//! itself after the runtime was restarted. Errors carry the runtime's own text.

pub mod container;
mod sandbox;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hyper_util::rt::TokioIo;
use k8s_cri::v1 as api;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use serde_json::Value;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::host::deadline::until;
pub(crate) use sandbox::cgroup_parent;
pub use sandbox::{PortMapping, Protocol, Sandbox, SandboxEntry, Status};

/// Tells a runtime that answers from one that hangs; above the shim's longest deadline.
const ANSWER_WITHIN: Duration = Duration::from_secs(240);

/// Tells a runtime that is starting from one that never serves.
const SERVES: Duration = Duration::from_secs(120);

/// What containerd says to every request until its CRI plugin has come up.
const STARTING: &str = "server is not initialized yet";

/// A runtime behind its socket.
#[derive(Debug)]
pub struct Cri {
    /// Current-thread: the caller drives it, so several callers share it without a thread of its own.
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

impl Cri {
    /// A client of the runtime at `socket`, a path as the lab sees it. Connects with the first call.
    ///
    /// # Errors
    /// No event loop.
    pub fn new(socket: &Path) -> Result<Cri> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("event loop of the CRI client")?;
        let socket = socket.to_path_buf();
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let guard = runtime.enter();
        let channel = Endpoint::from_static("http://cri.invalid").connect_with_connector_lazy(connector);
        drop(guard);
        Ok(Cri { runtime, channel })
    }

    /// Runs a sandbox and returns its id. A containerd that has just started listens before it serves; kubelet asks again, and so does
    /// this.
    ///
    /// # Errors
    /// The runtime's, such as what the CNI plugin said.
    pub fn run_sandbox(&self, sandbox: &Sandbox) -> Result<String> {
        until("a runtime that serves", SERVES, || match self.run_sandbox_once(sandbox) {
            Err(error) if format!("{error:#}").contains(STARTING) => Ok(None),
            other => other.map(Some),
        })
    }

    fn run_sandbox_once(&self, sandbox: &Sandbox) -> Result<String> {
        let request =
            api::RunPodSandboxRequest { config: Some(sandbox.config()?), runtime_handler: String::new() };
        let mut client = self.client();
        let answer = self.call(client.run_pod_sandbox(request));
        Ok(answer.with_context(|| format!("RunPodSandbox {}", sandbox.name))?.pod_sandbox_id)
    }

    /// Runs a sandbox with a deadline that the runtime knows, as kubelet does; past it the runtime gives the sandbox up.
    ///
    /// # Errors
    /// The runtime's, such as that the deadline passed.
    pub fn run_sandbox_within(&self, sandbox: &Sandbox, deadline: Duration) -> Result<String> {
        let config = Some(sandbox.config()?);
        let mut request =
            tonic::Request::new(api::RunPodSandboxRequest { config, runtime_handler: String::new() });
        request.set_timeout(deadline);
        let mut client = self.client();
        let answer = self.call(client.run_pod_sandbox(request));
        Ok(answer.with_context(|| format!("RunPodSandbox {}", sandbox.name))?.pod_sandbox_id)
    }

    /// Stops a sandbox; stopping it again is no error.
    ///
    /// # Errors
    /// The runtime's, such as what the CNI plugin said.
    pub fn stop(&self, id: &str) -> Result<()> {
        let request = api::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut client = self.client();
        self.call(client.stop_pod_sandbox(request)).with_context(|| format!("StopPodSandbox {id}")).map(drop)
    }

    /// Stops a sandbox with a deadline that the runtime knows, as kubelet does.
    ///
    /// # Errors
    /// The runtime's, such as that the deadline passed.
    pub fn stop_within(&self, id: &str, deadline: Duration) -> Result<()> {
        let mut request = tonic::Request::new(api::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() });
        request.set_timeout(deadline);
        let mut client = self.client();
        self.call(client.stop_pod_sandbox(request)).with_context(|| format!("StopPodSandbox {id}")).map(drop)
    }

    /// Removes a sandbox, stopping it first if it runs.
    ///
    /// # Errors
    /// The runtime's.
    pub fn remove(&self, id: &str) -> Result<()> {
        let request = api::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut client = self.client();
        self.call(client.remove_pod_sandbox(request))
            .with_context(|| format!("RemovePodSandbox {id}"))
            .map(drop)
    }

    /// Every sandbox the runtime knows.
    ///
    /// # Errors
    /// The runtime's.
    pub fn list(&self) -> Result<Vec<SandboxEntry>> {
        let mut client = self.client();
        let answer = self.call(client.list_pod_sandbox(api::ListPodSandboxRequest { filter: None }));
        let items = answer.context("ListPodSandbox")?.items.into_iter().map(|item| {
            let metadata = item.metadata.unwrap_or_default();
            SandboxEntry {
                ready: item.state == i32::from(api::PodSandboxState::SandboxReady),
                id: item.id,
                name: metadata.name,
                namespace: metadata.namespace,
            }
        });
        Ok(items.collect())
    }

    /// What the runtime knows about one sandbox.
    ///
    /// # Errors
    /// The runtime's, or an answer that is not understood.
    pub fn status(&self, id: &str) -> Result<Status> {
        let request = api::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
        let mut client = self.client();
        let answer = self
            .call(client.pod_sandbox_status(request))
            .with_context(|| format!("PodSandboxStatus {id}"))?;
        let status = answer.status.context("a status without a status")?;
        let network = status.network.unwrap_or_default();
        let info = answer.info.get("info").context("verbose information")?;
        let info: Value = serde_json::from_str(info).context("verbose information")?;
        Ok(Status {
            ready: status.state == i32::from(api::PodSandboxState::SandboxReady),
            ip: if network.ip.is_empty() { None } else { Some(network.ip.parse().context(network.ip)?) },
            additional_ips: network
                .additional_ips
                .iter()
                .map(|ip| ip.ip.parse().with_context(|| ip.ip.clone()))
                .collect::<Result<_>>()?,
            netns: netns(&info).unwrap_or_default(),
            pid: info.get("pid").and_then(Value::as_i64).unwrap_or(0),
            info,
        })
    }

    /// Tells the runtime the node's pod CIDR, as kubelet does when the API server has given it one.
    ///
    /// # Errors
    /// The runtime's.
    pub fn update_pod_cidr(&self, cidr: &str) -> Result<()> {
        let network_config = Some(api::NetworkConfig { pod_cidr: cidr.to_owned() });
        let runtime_config = Some(api::RuntimeConfig { network_config });
        let mut client = self.client();
        let call = client.update_runtime_config(api::UpdateRuntimeConfigRequest { runtime_config });
        self.call(call).context("UpdateRuntimeConfig").map(drop)
    }

    /// The runtime's condition `NetworkReady`, with its reason and message.
    ///
    /// # Errors
    /// The runtime's; while it starts, that it does not answer.
    pub fn network_ready(&self) -> Result<(bool, String)> {
        let mut client = self.client();
        let answer = self.call(client.status(api::StatusRequest { verbose: false })).context("Status")?;
        let conditions = answer.status.map(|status| status.conditions).unwrap_or_default();
        let condition = conditions.into_iter().find(|condition| condition.r#type == "NetworkReady");
        let condition = condition.context("a status without NetworkReady")?;
        Ok((condition.status, format!("{} {}", condition.reason, condition.message).trim().to_owned()))
    }

    /// Types of the plugins of the conf that the runtime has read, in their order; containerd alone tells.
    ///
    /// # Errors
    /// The runtime's, or it does not tell.
    pub fn conf_plugins(&self) -> Result<Vec<String>> {
        let confs = self.confs()?;
        let plugins = confs.iter().flat_map(|conf| conf["Plugins"].as_array()).flatten();
        Ok(plugins.filter_map(|plugin| plugin["Network"]["type"].as_str()).map(str::to_owned).collect())
    }

    /// `cniVersion` of the conf that the runtime has read; containerd alone tells.
    ///
    /// # Errors
    /// The runtime's, or it does not tell.
    pub fn conf_versions(&self) -> Result<Vec<String>> {
        let confs = self.confs()?;
        Ok(confs.iter().filter_map(|conf| conf["CNIVersion"].as_str()).map(str::to_owned).collect())
    }

    /// What the runtime says of itself: `config` is its whole configuration, `cniconfig` the confs it has read.
    ///
    /// # Errors
    /// The runtime's, or it does not tell.
    pub fn info(&self, key: &str) -> Result<Value> {
        let mut client = self.client();
        let answer = self.call(client.status(api::StatusRequest { verbose: true })).context("Status")?;
        let text = answer.info.get(key).with_context(|| format!("a status without {key}"))?;
        serde_json::from_str(text).with_context(|| key.to_owned())
    }

    /// The confs that the runtime has read.
    fn confs(&self) -> Result<Vec<Value>> {
        let mut text = self.info("cniconfig")?;
        let Value::Array(networks) = text["Networks"].take() else { return Ok(Vec::new()) };
        // The first is always the runtime's own loopback.
        Ok(networks.into_iter().skip(1).map(|mut network| network["Config"].take()).collect())
    }

    /// The runtime's name and version, as in `containerd 1.6.20`.
    ///
    /// # Errors
    /// The runtime's; while it starts, that it does not answer.
    pub fn version(&self) -> Result<String> {
        let mut client = self.client();
        let answer =
            self.call(client.version(api::VersionRequest { version: "v1".to_owned() })).context("Version")?;
        Ok(format!("{} {}", answer.runtime_name, answer.runtime_version))
    }

    fn client(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone())
    }

    /// Drives one call to its end.
    fn call<T>(&self, call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Result<T> {
        match self.runtime.block_on(async { tokio::time::timeout(ANSWER_WITHIN, call).await }) {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(anyhow!("{:?}: {}", status.code(), status.message())),
            Err(_elapsed) => Err(anyhow!("no answer within {} s", ANSWER_WITHIN.as_secs())),
        }
    }
}

/// The network namespace that the runtime wrote into the sandbox's specification.
fn netns(info: &Value) -> Option<PathBuf> {
    let namespaces = info.pointer("/runtimeSpec/linux/namespaces")?.as_array()?;
    let network = namespaces.iter().find(|namespace| namespace["type"] == "network")?;
    network["path"].as_str().map(PathBuf::from)
}
