//! A log of requests: method, address, status and how long the answer took. Neither headers nor bodies, since these may hold secrets.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response, Uri};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// Logs every request of a client.
#[derive(Debug, Clone)]
pub(in crate::live) struct RequestLog {
    /// The address of the API server, without a credential.
    server: String,
    log: fn(&str),
}

impl RequestLog {
    /// Tells of requests to this server.
    pub(in crate::live) fn new(server: &Uri, tell: fn(&str)) -> Self {
        let scheme = server.scheme_str().unwrap_or("https");
        let port = server.port().map(|port| format!(":{port}")).unwrap_or_default();
        let path = server.path().trim_end_matches('/');
        Self { server: format!("{scheme}://{}{port}{path}", server.host().unwrap_or_default()), log: tell }
    }
}

impl<S> Layer<S> for RequestLog {
    type Service = LoggedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LoggedService { log: self.clone(), inner }
    }
}

/// A client that logs its requests.
#[derive(Debug, Clone)]
pub(in crate::live) struct LoggedService<S> {
    log: RequestLog,
    inner: S,
}

impl<S, B> Service<Request<Body>> for LoggedService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let what = format!("{} {}{}", request.method(), self.log.server, request.uri());
        let (tell, since) = (self.log.log, Instant::now());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into);
            let status = answer.as_ref().map(|answer| answer.status().as_u16());
            tell(&line(&what, status.ok(), since.elapsed()));
            answer
        })
    }
}

/// `GET https://10.0.0.1:6443/version 200 in 13 ms`.
fn line(what: &str, status: Option<u16>, took: Duration) -> String {
    let status = status.map_or_else(|| "without an answer".into(), |status| status.to_string());
    format!("{what} {status} in {} ms", took.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_server_without_a_credential() {
        let uri: Uri =
            "https://user:c4nary@rancher.example:8443/k8s/clusters/c-1/".parse().expect("an address");
        assert_eq!(RequestLog::new(&uri, |_| {}).server, "https://rancher.example:8443/k8s/clusters/c-1");
        let what = "GET https://a/version";
        assert_eq!(line(what, Some(200), Duration::from_millis(13)), "GET https://a/version 200 in 13 ms");
        assert_eq!(line(what, None, Duration::ZERO), "GET https://a/version without an answer in 0 ms");
    }
}
