//! A health service over gRPC, as the AWS VPC CNI's agent has one.

use std::fs;
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::{Answer, GrpcHealth};

/// A health service.
#[derive(Debug)]
pub(super) struct Service {
    health: GrpcHealth,
    running: Option<Running>,
}

/// A health service with a listener, in a thread of its own.
#[derive(Debug)]
struct Running {
    reporter: HealthReporter,
    /// Dropped to end listening.
    ends: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Service {
    /// Answers as the spec says.
    ///
    /// # Errors
    /// The place cannot be bound, or the service has no such answer.
    pub(super) fn new(health: GrpcHealth) -> Result<Self> {
        let answer = health.answer;
        let mut service = Self { health, running: None };
        service.answer(answer)?;
        Ok(service)
    }

    /// Answers so from now on.
    ///
    /// # Errors
    /// The place cannot be bound, or the service has no such answer.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<()> {
        let status = match answer {
            Answer::Ready => ServingStatus::Serving,
            Answer::Unavailable => ServingStatus::NotServing,
            Answer::Refuse => return self.stop(),
            Answer::Hang | Answer::Reset => bail!("a health service over gRPC has no answer {answer:?}"),
        };
        if self.running.is_none() {
            self.running = Some(self.start()?);
        }
        if let Some(running) = &self.running {
            runtime()?.block_on(running.reporter.set_service_status("", status));
        }
        Ok(())
    }

    fn start(&self) -> Result<Running> {
        let (reporter, service) = tonic_health::server::health_reporter();
        let server = Server::builder().add_service(service);
        let (ends, ended) = oneshot::channel::<()>();
        let ended = async { drop(ended.await) };
        let place = &self.health.place;
        let named = || format!("listen on {place}");
        let runtime = runtime()?;
        let thread = if place.starts_with('/') {
            let path = Path::new(place);
            fs::create_dir_all(path.parent().with_context(named)?).with_context(named)?;
            let listener = runtime.block_on(async { UnixListener::bind(path) }).with_context(named)?;
            let incoming = UnixListenerStream::new(listener);
            std::thread::spawn(move || {
                drop(runtime.block_on(server.serve_with_incoming_shutdown(incoming, ended)))
            })
        } else {
            let listener = runtime.block_on(TcpListener::bind(place)).with_context(named)?;
            let incoming = TcpListenerStream::new(listener);
            std::thread::spawn(move || {
                drop(runtime.block_on(server.serve_with_incoming_shutdown(incoming, ended)))
            })
        };
        Ok(Running { reporter, ends, thread })
    }

    /// Stops to listen; the file of a socket goes.
    fn stop(&mut self) -> Result<()> {
        let Some(Running { ends, thread, .. }) = self.running.take() else { return Ok(()) };
        drop(ends);
        thread.join().map_err(|_| anyhow::anyhow!("the health service over gRPC panicked"))?;
        if self.health.place.starts_with('/') {
            fs::remove_file(&self.health.place).with_context(|| format!("unlink {}", self.health.place))?;
        }
        Ok(())
    }
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("start a runtime")
}
