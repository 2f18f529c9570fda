//! A runtime that lists other sandboxes from one question to the next, and answers nothing else.

use std::os::unix::net::UnixListener as Socket;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use k8s_cri::v1 as api;
use k8s_cri::v1::runtime_service_server::{RuntimeService, RuntimeServiceServer};
use lab::host::scratch::Scratch;
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// What it lists when it is asked for the nth time, from 0. The caller of the runtime waits meanwhile.
type Answer = dyn Fn(usize) -> Vec<&'static str> + Send + Sync;

/// The runtime; it answers until the program ends.
pub(crate) struct Lists {
    socket: PathBuf,
    _dir: Scratch,
}

impl Lists {
    pub(crate) fn start(answer: impl Fn(usize) -> Vec<&'static str> + Send + Sync + 'static) -> Result<Self> {
        let dir = Scratch::new("lists")?;
        let socket = dir.join("cri.sock");
        let listener = Socket::bind(&socket).context("listen")?;
        listener.set_nonblocking(true)?;
        let served = ServedRuntime { answer: Box::new(answer), asked: AtomicUsize::new(0) };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let incoming = UnixListenerStream::new(UnixListener::from_std(listener).expect("a socket"));
                let service = RuntimeServiceServer::new(served);
                let server = tonic::transport::Server::builder().add_service(service);
                server.serve_with_incoming(incoming).await.expect("a server");
            });
        });
        Ok(Self { socket, _dir: dir })
    }

    /// The option that names it.
    pub(crate) fn endpoint(&self) -> String {
        format!("--runtime-endpoint=unix://{}", self.socket.display())
    }
}

struct ServedRuntime {
    answer: Box<Answer>,
    asked: AtomicUsize,
}

/// The verbs that it has no answer for.
macro_rules! unimplemented_verbs {
    ($($verb:ident: $request:ident -> $response:ident,)*) => {
        #[tonic::async_trait]
        impl RuntimeService for ServedRuntime {
            $(async fn $verb(&self, _: Request<api::$request>) -> Result<Response<api::$response>, Status> {
                Err(Status::unimplemented(stringify!($verb)))
            })*

            type GetContainerEventsStream =
                Pin<Box<dyn Stream<Item = Result<api::ContainerEventResponse, Status>> + Send>>;

            async fn get_container_events(
                &self,
                _: Request<api::GetEventsRequest>,
            ) -> Result<Response<Self::GetContainerEventsStream>, Status> {
                Err(Status::unimplemented("get_container_events"))
            }

            async fn list_pod_sandbox(
                &self,
                _: Request<api::ListPodSandboxRequest>,
            ) -> Result<Response<api::ListPodSandboxResponse>, Status> {
                let ids = (self.answer)(self.asked.fetch_add(1, Ordering::SeqCst));
                let sandbox = |id: &str| api::PodSandbox { id: id.to_owned(), ..Default::default() };
                let items = ids.into_iter().map(sandbox).collect();
                Ok(Response::new(api::ListPodSandboxResponse { items }))
            }
        }
    };
}

unimplemented_verbs! {
    version: VersionRequest -> VersionResponse,
    status: StatusRequest -> StatusResponse,
    run_pod_sandbox: RunPodSandboxRequest -> RunPodSandboxResponse,
    stop_pod_sandbox: StopPodSandboxRequest -> StopPodSandboxResponse,
    remove_pod_sandbox: RemovePodSandboxRequest -> RemovePodSandboxResponse,
    pod_sandbox_status: PodSandboxStatusRequest -> PodSandboxStatusResponse,
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
