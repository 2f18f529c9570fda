//! The client of a CRI runtime's socket. Every request is bounded in time.

use anyhow::Context as _;
use convergence::runtime::cache::LOOPBACK_NETWORK;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream as UnixSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerFilter, ContainerState, ContainerStateValue, ListContainersRequest, ListPodSandboxRequest,
    NamespaceMode, PodSandboxState, PodSandboxStatusRequest, StatusRequest, StopContainerRequest,
    StopPodSandboxRequest, VersionRequest,
};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::error::Elapsed;
use tonic::transport::{Channel, Endpoint, Uri};

use convergence::runtime::{CniSetup, Network, Sandbox, State};

/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How much longer than the containers' grace the runtime may take to stop a sandbox: the CNI's DEL is part of it.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at what the runtime has loaded.
const PAUSE: Duration = Duration::from_millis(50);

/// Largest answer, in bytes: ten thousand sandboxes with all their labels.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// What a verbose status of a sandbox says beyond the CRI's own messages. containerd and CRI-O use the same keys; *source*: `SandboxInfo` in both.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SandboxInfo {
    pid: Option<i32>,
    runtime_type: Option<String>,
    runtime_spec: RuntimeSpec,
}

/// As much of an OCI runtime specification as names the network namespace.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeSpec {
    linux: RuntimeSpecLinux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeSpecLinux {
    namespaces: Vec<RuntimeSpecNamespace>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeSpecNamespace {
    #[serde(rename = "type")]
    kind: String,
    path: PathBuf,
}

impl SandboxInfo {
    /// Reads the text of a runtime; what it says in another way is not known.
    fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn netns(&self) -> Option<PathBuf> {
        let all = &self.runtime_spec.linux.namespaces;
        let network = all.iter().find(|namespace| namespace.kind == "network")?;
        Some(network.path.clone()).filter(|path| path.is_absolute())
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    socket: PathBuf,
}

impl Runtime {
    /// The runtime at `endpoint`: `unix:///path`, or the path alone.
    ///
    /// # Errors
    /// When it is neither.
    pub(crate) fn connect(endpoint: &str) -> Result<Self> {
        let path = types::node::socket_path(endpoint);
        if path.is_absolute() {
            Ok(Self { socket: path.into() })
        } else {
            bail!("runtime endpoint {endpoint:?}: expected unix:///PATH")
        }
    }

    /// Whether there is a socket at all.
    #[must_use]
    pub(crate) fn is_there(&self) -> bool {
        self.socket.exists()
    }

    /// The id of the process that listens; 0 if it is in another pid namespace than this process.
    ///
    /// # Errors
    /// No process listens.
    pub(crate) fn pid(&self) -> Result<i32> {
        let context = || format!("ask {} for its process", self.socket.display());
        let socket = UnixSocket::connect(&self.socket).with_context(context)?;
        Ok(getsockopt(&socket, PeerCredentials).with_context(context)?.pid())
    }

    /// What it calls itself: `containerd`, `cri-o`, ...
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn name(&self) -> Result<String> {
        self.ask(async |mut client| {
            let answer = client.version(VersionRequest { version: String::new() }).await?;
            Ok(answer.into_inner().runtime_name)
        })
        .with_context(|| format!("ask {} for its name", self.socket.display()))
    }

    /// All its sandboxes by id, with their states.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn sandboxes(&self) -> Result<BTreeMap<String, State>> {
        self.ask(async |mut client| {
            let answer = client.list_pod_sandbox(ListPodSandboxRequest { filter: None }).await?;
            let state = |state: i32| match state == i32::from(PodSandboxState::SandboxReady) {
                true => State::Ready,
                false => State::NotReady,
            };
            let all = answer.into_inner().items.into_iter();
            Ok(all.map(|sandbox| (sandbox.id, state(sandbox.state))).collect())
        })
        .with_context(|| format!("list the sandboxes of {}", self.socket.display()))
    }

    /// The sandboxes that run on a pod network, those of `known` left out; one on the host's own has nothing attached.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn list_pod_network_sandboxes(&self, ids: &BTreeSet<String>) -> Result<Vec<Sandbox>> {
        self.ask(async |mut client| {
            let answer = client.list_pod_sandbox(ListPodSandboxRequest { filter: None }).await?;
            let ready = PodSandboxState::SandboxReady as i32;
            let mut sandboxes = Vec::new();
            for sandbox in answer.into_inner().items {
                if sandbox.state != ready || ids.contains(&sandbox.id) {
                    continue;
                }
                let request = PodSandboxStatusRequest { pod_sandbox_id: sandbox.id.clone(), verbose: true };
                let answer = match client.pod_sandbox_status(request).await {
                    // It ended meanwhile.
                    Err(status) if status.code() == tonic::Code::NotFound => continue,
                    other => other?.into_inner(),
                };
                let status = answer.status.unwrap_or_default();
                let options = status.linux.and_then(|linux| linux.namespaces?.options).unwrap_or_default();
                if options.network != NamespaceMode::Node as i32 {
                    let pod = sandbox.metadata.unwrap_or_default();
                    let info =
                        answer.info.get("info").map(|text| SandboxInfo::parse(text)).unwrap_or_default();
                    sandboxes.push(Sandbox {
                        id: sandbox.id,
                        namespace: pod.namespace,
                        name: pod.name,
                        uid: pod.uid,
                        handler: sandbox.runtime_handler,
                        netns: info.netns(),
                        runtime_type: info.runtime_type,
                        pid: info.pid.filter(|pid| *pid > 0),
                    });
                }
            }
            Ok(sandboxes)
        })
        .with_context(|| format!("list the sandboxes of {}", self.socket.display()))
    }

    /// How it is set up for CNI; none where it does not tell.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn cni_setup(&self) -> Result<Option<CniSetup>> {
        self.ask(async |mut client| {
            let answer = client.status(StatusRequest { verbose: true }).await?.into_inner();
            Ok(answer.info.get("cniconfig").and_then(|text| setup(text)))
        })
        .with_context(|| format!("ask {} for its status", self.socket.display()))
    }

    /// Whether it could attach pods now, by its own word; else its reason. *Source*: the condition `NetworkReady` of the CRI's Status.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn network_ready(&self) -> Result<Result<(), String>> {
        self.ask(async |mut client| {
            let answer = client.status(StatusRequest { verbose: false }).await?.into_inner();
            let conditions = answer.status.unwrap_or_default().conditions;
            let network = conditions.into_iter().find(|condition| condition.r#type == "NetworkReady");
            Ok(match network {
                Some(condition) if !condition.status => {
                    Err(format!("{} {}", condition.reason, condition.message).trim().to_owned())
                }
                Some(_) | None => Ok(()),
            })
        })
        .with_context(|| format!("ask {} for its status", self.socket.display()))
    }

    /// Waits until what the runtime has loaded is `right`. What it had before may still be at work. Does not wait for a runtime that does
    /// not tell what it loads.
    ///
    /// containerd 2 answers no status while an ADD or DEL that runs keeps it from loading a conf, so a missing answer is waited for as well.
    /// *Source*: go-cni, whose `Load` waits for the lock that every call to a plugin holds, and whose `Status` waits behind `Load`.
    ///
    /// # Errors
    /// The runtime is not there, or has not loaded it, or not answered, within that time.
    pub(crate) fn wait_for(&self, within: Duration, right: impl Fn(&CniSetup) -> bool) -> Result<()> {
        let end = Instant::now() + within;
        loop {
            let is_over = Instant::now() >= end;
            match self.cni_setup() {
                Ok(None) => return Ok(()),
                Ok(Some(setup)) if right(&setup) => return Ok(()),
                Ok(Some(_)) if is_over => bail!(
                    "{} has not loaded the conf within {} s; an ADD or DEL that hangs holds it up",
                    self.socket.display(),
                    within.as_secs()
                ),
                Err(why) if is_over || !why.is::<Elapsed>() => return Err(why),
                Ok(Some(_)) | Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Stops a sandbox as a pod ends: its containers get a signal and `grace` to end, then the sandbox is stopped. kubelet makes a new one, if
    /// the pod is to run.
    ///
    /// The containers are stopped all at once: kubelet would start one that ended first again while others have time to end. No hook of a
    /// container runs, since hooks are kubelet's.
    ///
    /// # Errors
    /// The runtime refused, or it did not answer within `grace` and a minute.
    pub(crate) fn stop(&self, sandbox: &str, grace: Duration) -> Result<()> {
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        self.ask_within(grace + STOPS_WITHIN, async |mut client| {
            let filter = ContainerFilter {
                pod_sandbox_id: sandbox.to_owned(),
                state: Some(ContainerStateValue { state: ContainerState::ContainerRunning.into() }),
                ..ContainerFilter::default()
            };
            let listed = client.list_containers(ListContainersRequest { filter: Some(filter) }).await?;
            let stops = listed.into_inner().containers.into_iter().map(|container| {
                let mut client = client.clone();
                async move {
                    client.stop_container(StopContainerRequest { container_id: container.id, timeout }).await
                }
            });
            for stopped in join_all(stops).await {
                stopped?;
            }
            client.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: sandbox.to_owned() }).await?;
            Ok(())
        })
        .with_context(|| format!("stop sandbox {sandbox} at {}", self.socket.display()))
    }

    fn ask<T>(&self, question: impl AsyncFnOnce(RuntimeServiceClient<Channel>) -> Result<T>) -> Result<T> {
        self.ask_within(ANSWER_WITHIN, question)
    }

    fn ask_within<T>(
        &self,
        within: Duration,
        question: impl AsyncFnOnce(RuntimeServiceClient<Channel>) -> Result<T>,
    ) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = self.socket.clone();
        runtime.block_on(async {
            let answer = async {
                // The address is never used: the connector knows the socket.
                let channel = Endpoint::from_static("http://localhost")
                    .connect_with_connector(tower::service_fn(move |_: Uri| {
                        let socket = socket.clone();
                        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
                    }))
                    .await?;
                question(RuntimeServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES)).await
            };
            tokio::time::timeout(within, answer)
                .await
                .with_context(|| format!("no answer within {} s", within.as_secs()))?
        })
    }
}

fn setup(text: &str) -> Option<CniSetup> {
    let config: Value = serde_json::from_str(text).ok()?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let networks = list(&config["Networks"]);
    Some(CniSetup {
        conf_dir: config["PluginConfDir"].as_str()?.into(),
        bin_dirs: list(&config["PluginDirs"])
            .iter()
            .filter_map(|dir| dir.as_str().map(PathBuf::from))
            .collect(),
        max_confs: config["PluginMaxConfNum"].as_u64()?,
        networks: networks.iter().map(|network| &network["Config"]).filter_map(network).collect(),
    })
}

/// A pod network as it was loaded. *Source*: go-cni, `ConfigResult`: `{"Name","CNIVersion","Plugins":[{"Network":{"type"},"Source"}],"Source"}`.
fn network(config: &Value) -> Option<Network> {
    let name = config["Name"].as_str().unwrap_or_default();
    let types = config["Plugins"].as_array().into_iter().flatten();
    (name != LOOPBACK_NETWORK).then(|| Network {
        name: name.to_owned(),
        types: types.filter_map(|plugin| plugin["Network"]["type"].as_str().map(str::to_owned)).collect(),
        conf: config["Source"].as_str().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setup_of_containerd_is_read() {
        // As containerd 1.6 prints it.
        let text = r#"{"PluginDirs":["/opt/cni/bin"],"PluginConfDir":"/etc/cni/net.d","PluginMaxConfNum":1,"Prefix":"eth",
            "Networks":[{"Config":{"Name":"cni-loopback","CNIVersion":"0.3.1","Plugins":[{"Network":{"type":"loopback",
            "ipam":{},"dns":{}},"Source":"{}"}],"Source":"{}"},"IFName":"lo"},{"Config":{"Name":"n","CNIVersion":"1.0.0",
            "Plugins":[{"Network":{"type":"crossfade","ipam":{},"dns":{}},"Source":"{}"}],"Source":"{}"},"IFName":"eth0"}]}"#;
        let setup = setup(text).expect("told");
        let loaded = Network { name: "n".into(), types: vec!["crossfade".into()], conf: "{}".into() };
        assert_eq!(setup.networks, [loaded]);
        assert!(setup.is_ours("n") && setup.has_ours());
        assert_eq!((setup.max_confs, setup.bin_dirs), (1, vec![PathBuf::from("/opt/cni/bin")]));
        assert!(super::setup("{}").is_none() && super::setup("x").is_none());
    }

    #[test]
    fn endpoints() {
        for (endpoint, good) in
            [("unix:///run/x.sock", true), ("/run/x.sock", true), ("tcp://1.2.3.4:1", false)]
        {
            assert_eq!(Runtime::connect(endpoint).is_ok(), good, "{endpoint}");
        }
    }
}
