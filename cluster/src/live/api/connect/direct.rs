//! Connections that end with the request that its caller gave up.
//!
//! Such a request must not reach the API server later: by then another holder may have the Lease. The library goes on to send it, and a closed connection
//! leaves the kernel to send what is unsent. So the connection of such a request is reset, and the kernel gives up what is not acknowledged in time. The
//! library has no option for that, so its client is put together here. Over a proxy, which has buffers of its own, the library's stays.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use http::{Extensions, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{
    self, CaptureConnection, Connection, HttpConnector, capture_connection,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::{Body, ClientBuilder, ConfigExt as _, DynBody};
use kube::{Config, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::util::BoxService;
use tower::{BoxError, Layer as _, Service, ServiceExt as _};
use tower_http::decompression::DecompressionLayer;

/// For so long the kernel tries to send what the API server does not acknowledge: the least that a holder waits for an answer.
const UNACKNOWLEDGED: Duration = Duration::from_secs(7);

type BoxedBody = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// What the library's builder makes of a configuration without a proxy and without retries, over such connections.
///
/// *Source*: kube-client 5.0.0, `src/client/builder.rs`, `make_generic_builder`.
///
/// # Errors
/// The credential cannot be used.
pub(super) fn builder(config: &Config) -> Result<ClientBuilder<BoxedBody>, Error> {
    let mut connector =
        TimeoutConnector::new(config.rustls_https_connector_with_connector(ResettingConnector::new())?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let client = Client::builder(TokioExecutor::new()).build(connector).map_err(BoxError::from);
    let client = config.extra_headers_layer()?.layer(client);
    let unpacking =
        DecompressionLayer::new().no_br().no_deflate().no_zstd().gzip(!config.disable_compression);
    let base = config.base_uri_layer();
    let boxed = |body| Box::new(body) as Box<DynBody>;
    let client = match config.auth_layer()? {
        Some(auth) => base
            .layer(unpacking.layer(auth.layer(client)))
            .map_response(move |response: Response<_>| {
                response.map(|body| boxed(body.map_err(BoxError::from)))
            })
            .boxed(),
        None => base
            .layer(unpacking.layer(client))
            .map_response(move |response: Response<_>| {
                response.map(|body| boxed(body.map_err(BoxError::from)))
            })
            .boxed(),
    };
    Ok(ClientBuilder::new(client, config.default_namespace.clone()))
}

/// Makes TCP connections that are reset when they are dropped.
#[derive(Debug, Clone)]
struct ResettingConnector(HttpConnector);

/// Such a connection.
#[derive(Debug)]
struct ResettableStream {
    tcp: TcpStream,
    reset: Arc<Reset>,
}

/// Whether a connection is to be reset, and the task that serves it.
#[derive(Debug, Default)]
struct Reset {
    is_set: AtomicBool,
    task: AtomicWaker,
}

/// A request that is under way. Dropped before it is answered, it takes its connection along.
#[derive(Debug)]
pub(in crate::live) struct RequestGuard(Option<CaptureConnection>);

impl RequestGuard {
    /// This request, which is about to be made.
    pub(in crate::live) fn new<B>(request: &mut Request<B>) -> Self {
        Self(Some(capture_connection(request)))
    }

    /// Its answer is there.
    pub(in crate::live) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut extensions = Extensions::new();
        if let Some(captured) = self.0.take()
            && let Some(connection) = &*captured.connection_metadata()
        {
            connection.get_extras(&mut extensions);
        }
        if let Some(reset) = extensions.get::<Arc<Reset>>() {
            reset.is_set.store(true, Ordering::Release);
            reset.task.wake();
        }
    }
}

impl Reset {
    /// An error once the connection is to be reset; the task hears of it.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        self.task.register(context.waker());
        if self.is_set.load(Ordering::Acquire) {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "its request was given up"));
        }
        Ok(())
    }
}

impl ResettingConnector {
    fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        Self(connector)
    }
}

impl Service<Uri> for ResettingConnector {
    type Response = TokioIo<ResettableStream>;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connecting = self.0.call(server);
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            // Where the system cannot, the API server's own deadline is what bounds a request.
            drop(tcp.set_zero_linger());
            Ok(TokioIo::new(ResettableStream { tcp, reset: Arc::default() }))
        })
    }
}

impl Connection for ResettableStream {
    fn connected(&self) -> connect::Connected {
        self.tcp.connected().extra(Arc::clone(&self.reset))
    }
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reset.check(context)?;
        Pin::new(&mut self.tcp).poll_read(context, into)
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.reset.check(context)?;
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reset.check(context)?;
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reset.check(context)?;
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.reset.check(context)?;
        Pin::new(&mut self.tcp).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::live::api::answer::answer;

    /// A server that takes a connection and its first bytes, and reads on once the caller has given up.
    #[test]
    fn what_a_caller_gave_up_does_not_arrive_later() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (begun, has_begun) = oneshot::channel();
        let (given_up, is_given_up) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut first = [0; 16];
            stream.read_exact(&mut first).expect("the first bytes");
            begun.send(()).expect("a caller");
            is_given_up.recv().expect("a caller");
            let mut rest = Vec::new();
            let read = stream.read_to_end(&mut rest).map_err(|e| e.kind());
            end.send((read, rest.len())).expect("a caller");
        });
        let size = 64 << 20;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (read, length) = runtime.block_on(async {
            let config = Config::new(format!("http://{address}").parse().expect("an address"));
            let client = builder(&config).expect("a client").build();
            let request = Request::post("/evict").body(Body::from(vec![b'x'; size])).expect("a request");
            tokio::select! {
                answer = answer(&client, request) => panic!("{answer:?}"),
                begun = has_begun => begun.expect("a server"),
            }
            // The task of the connection notices that its request was given up.
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
            given_up.send(()).expect("a server");
            ended.await.expect("a server")
        });
        server.join().expect("no panic");
        assert!(length < size, "{length} bytes arrived");
        assert_eq!(read, Err(ErrorKind::ConnectionReset), "{length} bytes arrived");
    }
}
