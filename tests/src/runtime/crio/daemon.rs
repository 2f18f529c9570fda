//! The stand-in behind a CRI socket, for the programs that ask or drive a runtime: bootstrap, and [`crate::runtime::cri::Cri`].
//!
//! Like CRI-O it holds one lock for what it has loaded: a call of a plugin for a pod holds it, and loading anew waits for it. What the
//! directory holds is read, and every plugin asked for its versions, before the lock is taken. Its Status tells nothing of it. It has
//! no containers: of the runtime service it answers what is about sandboxes, with `unimplemented` for the rest.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixListener as Socket;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use k8s_cri::v1 as api;
use k8s_cri::v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::json;
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::Crio;
use crate::host::netns;
use crate::runtime::caller::runtime::{Runtime, Sandbox};

/// The command line.
#[derive(Debug, Clone, clap::Parser)]
pub struct Options {
    /// Where it listens.
    #[arg(long)]
    pub listen: PathBuf,
    /// Where it reads confs.
    #[arg(long)]
    pub cni_config_dir: PathBuf,
    /// Where it looks for plugins, in their order.
    #[arg(long, value_delimiter = ',')]
    pub cni_plugin_dir: Vec<PathBuf>,
    /// The network that it uses.
    #[arg(long)]
    pub cni_default_network: Option<String>,
}

/// libcni's, which is not changed.
const CACHE: &str = "/var/lib/cni/results";
/// What changes a directory's content, as fsnotify is asked for it.
const EVENTS: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_CLOSE_WRITE);

/// Serves until it is killed.
///
/// # Errors
/// It cannot begin.
pub fn serve(options: &Options) -> Result<()> {
    let runtime = Runtime { bin_dirs: options.cni_plugin_dir.clone(), cache_dir: CACHE.into() };
    let mut crio = Crio::new(&options.cni_config_dir, runtime);
    if let Some(name) = &options.cni_default_network {
        crio = crio.insist_on(name);
    }
    // Before the first look: what changes after it is an event.
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    for dir in options.cni_plugin_dir.iter().chain([&options.cni_config_dir]) {
        inotify.add_watch(dir, EVENTS).with_context(|| format!("watch {}", dir.display()))?;
    }
    let reader = crio.reader();
    crio.hold(reader.read()?);
    let kept = options.listen.with_extension("pods");
    let mut pods = BTreeMap::new();
    if let Ok(bytes) = fs::read(&kept) {
        crio.take_up(&bytes)?;
        let named = |id: &str| api::PodSandboxMetadata { name: id.to_owned(), ..Default::default() };
        pods = crio.pods().map(|id| (id.to_owned(), named(id))).collect();
        // STATUS, GC of every conf, and a CHECK of every pod; one that fails costs the pod its address.
        let lost = crio.start()?;
        anyhow::ensure!(lost.is_empty(), "pods have lost their address: {lost:?}");
    }
    let daemon = Daemon { crio: Arc::new(Mutex::new(crio)), pods: Arc::new(Mutex::new(pods)), kept };
    let crio = Arc::clone(&daemon.crio);
    std::thread::spawn(move || {
        while inotify.read_events().is_ok() {
            match reader.read() {
                Ok(lists) => locked(&crio).hold(lists),
                Err(error) => eprintln!("lab-crio: {error:#}"),
            }
        }
    });
    let _absent = fs::remove_file(&options.listen);
    let socket =
        Socket::bind(&options.listen).with_context(|| format!("listen at {}", options.listen.display()))?;
    socket.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let incoming = UnixListenerStream::new(UnixListener::from_std(socket)?);
        let service = RuntimeServiceServer::new(daemon);
        Ok(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await?)
    })
}

struct Daemon {
    crio: Arc<Mutex<Crio>>,
    /// Names of the pods that are listed, by id.
    pods: Arc<Mutex<BTreeMap<String, api::PodSandboxMetadata>>>,
    /// The file of its pods, for the one that is started after it.
    kept: PathBuf,
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Daemon {
    /// Does something with plugins, off the thread that answers.
    async fn plugins<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Crio) -> Result<T> + Send + 'static,
    ) -> Result<T, Status> {
        let (crio, kept) = (Arc::clone(&self.crio), self.kept.clone());
        let acted = move || {
            let mut crio = locked(&crio);
            let done = act(&mut crio);
            fs::write(&kept, crio.kept()?)?;
            done
        };
        let done = tokio::task::spawn_blocking(acted).await;
        done.map_err(|error| Status::internal(error.to_string()))?
            .map_err(|error| Status::unknown(format!("{error:#}")))
    }
}

/// The verbs that it has no answer for.
macro_rules! unimplemented_verbs {
    ($($verb:ident: $request:ident -> $response:ident,)*) => {
        #[tonic::async_trait]
        impl RuntimeService for Daemon {
            $(async fn $verb(&self, _: Request<api::$request>) -> Result<Response<api::$response>, Status> {
                Err(Status::unimplemented(stringify!($verb)))
            })*

            type GetContainerEventsStream =
                std::pin::Pin<Box<dyn Stream<Item = Result<api::ContainerEventResponse, Status>> + Send>>;

            async fn get_container_events(
                &self,
                _: Request<api::GetEventsRequest>,
            ) -> Result<Response<Self::GetContainerEventsStream>, Status> {
                Err(Status::unimplemented("get_container_events"))
            }

            async fn status(&self, _: Request<api::StatusRequest>) -> Result<Response<api::StatusResponse>, Status> {
                let condition = |kind: &str| api::RuntimeCondition {
                    r#type: kind.to_owned(),
                    status: true,
                    ..Default::default()
                };
                let conditions = ["RuntimeReady", "NetworkReady"].map(condition).to_vec();
                // What CRI-O 1.37 tells with `verbose`: nothing of CNI.
                let info = [("config".to_owned(), json!({"sandboxImage": "pause"}).to_string())].into();
                Ok(Response::new(api::StatusResponse {
                    status: Some(api::RuntimeStatus { conditions }),
                    info,
                    ..Default::default()
                }))
            }

            async fn list_pod_sandbox(
                &self,
                _: Request<api::ListPodSandboxRequest>,
            ) -> Result<Response<api::ListPodSandboxResponse>, Status> {
                let sandbox = |(id, metadata): (&String, &api::PodSandboxMetadata)| api::PodSandbox {
                    id: id.clone(),
                    metadata: Some(metadata.clone()),
                    ..Default::default()
                };
                let items = locked(&self.pods).iter().map(sandbox).collect();
                Ok(Response::new(api::ListPodSandboxResponse { items }))
            }

            async fn pod_sandbox_status(
                &self,
                request: Request<api::PodSandboxStatusRequest>,
            ) -> Result<Response<api::PodSandboxStatusResponse>, Status> {
                let id = request.into_inner().pod_sandbox_id;
                let metadata = locked(&self.pods).get(&id).cloned();
                let metadata = metadata.ok_or_else(|| Status::not_found(format!("no sandbox {id}")))?;
                // All are on the pod network, which is the default.
                let status = api::PodSandboxStatus { id, metadata: Some(metadata), ..Default::default() };
                Ok(Response::new(api::PodSandboxStatusResponse { status: Some(status), ..Default::default() }))
            }

            async fn run_pod_sandbox(
                &self,
                request: Request<api::RunPodSandboxRequest>,
            ) -> Result<Response<api::RunPodSandboxResponse>, Status> {
                let metadata = request.into_inner().config.and_then(|config| config.metadata).unwrap_or_default();
                let id = format!("{}-{}", metadata.name, metadata.attempt);
                let path = format!("/run/netns/{id}");
                let failed = |error: anyhow::Error| Status::internal(format!("{error:#}"));
                fs::create_dir_all("/run/netns").map_err(|error| failed(error.into()))?;
                netns::pin(path.as_ref()).map_err(failed)?;
                let mut sandbox = Sandbox::new(&id, &path);
                sandbox.args = format!(
                    "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={id};K8S_POD_UID={}",
                    metadata.namespace, metadata.name, metadata.uid
                );
                self.plugins(move |crio| crio.run_pod(sandbox).map(drop)).await?;
                locked(&self.pods).insert(id.clone(), metadata);
                Ok(Response::new(api::RunPodSandboxResponse { pod_sandbox_id: id }))
            }

            async fn stop_pod_sandbox(
                &self,
                request: Request<api::StopPodSandboxRequest>,
            ) -> Result<Response<api::StopPodSandboxResponse>, Status> {
                let id = request.into_inner().pod_sandbox_id;
                let path = format!("/run/netns/{id}");
                self.plugins(move |crio| crio.stop_pod(&id)).await?;
                // A second stop finds none.
                let _gone = nix::mount::umount2(path.as_str(), nix::mount::MntFlags::MNT_DETACH);
                let _absent = fs::remove_file(path);
                Ok(Response::new(api::StopPodSandboxResponse {}))
            }

            async fn remove_pod_sandbox(
                &self,
                request: Request<api::RemovePodSandboxRequest>,
            ) -> Result<Response<api::RemovePodSandboxResponse>, Status> {
                let id = request.into_inner().pod_sandbox_id;
                locked(&self.pods).remove(&id);
                self.plugins(move |crio| Ok(crio.remove_pod(&id))).await?;
                Ok(Response::new(api::RemovePodSandboxResponse {}))
            }
        }
    };
}

unimplemented_verbs! {
    version: VersionRequest -> VersionResponse,
    create_container: CreateContainerRequest -> CreateContainerResponse,
    start_container: StartContainerRequest -> StartContainerResponse,
    stop_container: StopContainerRequest -> StopContainerResponse,
    remove_container: RemoveContainerRequest -> RemoveContainerResponse,
    list_containers: ListContainersRequest -> ListContainersResponse,
    container_status: ContainerStatusRequest -> ContainerStatusResponse,
    update_container_resources: UpdateContainerResourcesRequest -> UpdateContainerResourcesResponse,
    reopen_container_log: ReopenContainerLogRequest -> ReopenContainerLogResponse,
    exec_sync: ExecSyncRequest -> ExecSyncResponse,
    exec: ExecRequest -> ExecResponse,
    attach: AttachRequest -> AttachResponse,
    port_forward: PortForwardRequest -> PortForwardResponse,
    container_stats: ContainerStatsRequest -> ContainerStatsResponse,
    list_container_stats: ListContainerStatsRequest -> ListContainerStatsResponse,
    pod_sandbox_stats: PodSandboxStatsRequest -> PodSandboxStatsResponse,
    list_pod_sandbox_stats: ListPodSandboxStatsRequest -> ListPodSandboxStatsResponse,
    update_runtime_config: UpdateRuntimeConfigRequest -> UpdateRuntimeConfigResponse,
    checkpoint_container: CheckpointContainerRequest -> CheckpointContainerResponse,
    list_metric_descriptors: ListMetricDescriptorsRequest -> ListMetricDescriptorsResponse,
    list_pod_sandbox_metrics: ListPodSandboxMetricsRequest -> ListPodSandboxMetricsResponse,
    runtime_config: RuntimeConfigRequest -> RuntimeConfigResponse,
}
