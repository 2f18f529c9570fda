//! The requests to the API server: one Node listed and watched, its metadata and status patched, events; and those about pods of the node.

use std::time::Duration;

use futures_util::Stream;
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, Client, ConfigExt as _};
use kube::core::WatchEvent;
use kube::core::params::{ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::core::request::{Error as Unbuilt, Request};
use kube::{Config, Error};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::{BoxError, ServiceBuilder, service_fn};

use super::error::{ErrorKind, Trouble};
use super::event::EventRecord;
use super::pods::{PodObject, Pods};
use crate::publish::credential::kubeconfig::{self, ClientCredential};
use crate::publish::credential::name;
use crate::publish::credential::resolve;
use crate::publish::report::Credential;
use convergence::publish::decide::Write;
use convergence::publish::node_object::{List, NodeObject};

/// Who writes, for the API server's record of who owns which field.
const MANAGER: &str = "crossfade-bootstrap";
/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long one watch lasts, in seconds; after it the Node is listed again, which is the resync.
pub(super) const WATCH_SECS: u32 = 240;
/// A watch whose other end is gone is silent for ever; the kernel asks (man 7 `tcp`), and no timer of ours has to wake up for it.
const KEEPALIVE: Duration = Duration::from_secs(60);
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/pods";
/// Events of what is in no namespace are in this one.
const EVENTS: &str = "/api/v1/namespaces/default/events";

const JSON: &str = "application/json";
/// *Source*: RFC 6902, section 6.
const JSON_PATCH: &str = "application/json-patch+json";

/// A connection to the API server, for one Node.
pub(super) struct Link {
    client: Client,
    pub(super) node: String,
}

/// An answer that arrived as a whole.
pub(super) struct Reply {
    pub(super) status: u16,
    /// The header `Retry-After`, in seconds.
    pub(super) retry_after: Option<u32>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// The API server did what it was asked for.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self.status, 200..=299)
    }
}

impl Link {
    /// Reads the credential, finds out the name of this node's Node and connects when first asked.
    ///
    /// # Errors
    /// The credential is not there yet, or cannot be used.
    pub(super) async fn open(credential: &Credential) -> Result<(Self, ClientCredential), Trouble> {
        let loaded = kubeconfig::load(&credential.kubeconfig).await?;
        let hostname = std::fs::read_to_string(HOSTNAME).unwrap_or_default();
        let node_name = credential.node_name.as_deref();
        let node = name::decide(loaded.certificate.as_deref(), node_name, &hostname)
            .map_err(|why| Trouble::new(ErrorKind::BadCredential, why))?;
        Ok((Self::new(&loaded.config, node)?, loaded))
    }

    /// Connects with this credential when first asked.
    ///
    /// # Errors
    /// It cannot be used for TLS.
    fn new(config: &Config, node: String) -> Result<Self, Trouble> {
        let bad = |what: &str| Trouble::new(ErrorKind::BadCredential, what);
        let resolver = service_fn(async |name: Name| resolve::addresses(name.as_str()).map(Vec::into_iter));
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_WITHIN));
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE / 4));
        http.set_keepalive_retries(Some(4));
        // What the library says of a key may show some of it.
        let https = config.rustls_https_connector_with_connector(http).map_err(|_| {
            bad("client certificate, key or certificate authority: expected PEM that belongs together")
        })?;
        let authorization =
            config.auth_layer().map_err(|_| bad("token: expected characters that a header may have"))?;
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(authorization)
            .map_err(BoxError::from)
            .service(
                hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(https),
            );
        Ok(Self { client: Client::new(service, "default"), node })
    }

    /// This node's Node, if it is registered, and the version to watch from.
    ///
    /// # Errors
    /// As every request's: [`Trouble`].
    pub(super) async fn list(&self) -> Result<(Option<NodeObject>, String), Trouble> {
        let parameters = ListParams::default().fields(&self.selector());
        let list: List = self.ask("list this Node", Request::new(NODES).list(&parameters)).await?;
        Ok((list.items.into_iter().next(), list.metadata.resource_version))
    }

    /// The pods that are bound to this node.
    ///
    /// # Errors
    /// As every request's: [`Trouble`].
    pub(super) async fn pods(&self) -> Result<Vec<PodObject>, Trouble> {
        self.list_pods(ListParams::default()).await
    }

    /// The same as the API server has them in its cache, where pods are indexed by node. The answer may be older than the last write. It costs little: before
    /// Kubernetes 1.31, an answer that must not be old is read from etcd, with the pods of all nodes.
    ///
    /// *Source*: Kubernetes, `meta/v1`, `ListOptions`: `resourceVersion` 0; KEP-2340.
    ///
    /// # Errors
    /// As every request's: [`Trouble`].
    pub(super) async fn pods_in_cache(&self) -> Result<Vec<PodObject>, Trouble> {
        self.list_pods(ListParams::default().match_any()).await
    }

    async fn list_pods(&self, parameters: ListParams) -> Result<Vec<PodObject>, Trouble> {
        // kubelet may list no other pods. *Source*: kubernetes, plugin/pkg/auth/authorizer/node, AuthorizeNodeWithSelectors.
        let parameters = parameters.fields(&format!("spec.nodeName={}", self.node));
        let list: Pods = self.ask("list the pods of this node", Request::new(PODS).list(&parameters)).await?;
        Ok(list.items)
    }

    /// What happens to this node's Node from then on.
    ///
    /// # Errors
    /// As every request's: [`Trouble`].
    pub(super) async fn watch(
        &self,
        version: &str,
    ) -> Result<impl Stream<Item = Result<WatchEvent<NodeObject>, Error>> + use<>, Trouble> {
        let parameters = WatchParams {
            bookmarks: false,
            ..WatchParams::default().fields(&self.selector()).timeout(WATCH_SECS)
        };
        let what = "watch this Node";
        let request = Request::new(NODES).watch(&parameters, version).map_err(|e| build_trouble(what, &e))?;
        with_timeout(what, self.client.request_events(request)).await
    }

    /// Carries a patch out. Returns the Node as it is then.
    ///
    /// # Errors
    /// As every request's: [`Trouble`].
    pub(super) async fn write(&self, write: &Write) -> Result<NodeObject, Trouble> {
        let nodes = Request::new(NODES);
        let parameters = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        match write {
            Write::Metadata(body) => {
                let request = nodes.patch(&self.node, &parameters, &Patch::Merge(body));
                self.ask("patch this Node", request).await
            }
            Write::Status(body) => {
                let request =
                    nodes.patch_subresource("status", &self.node, &parameters, &Patch::Strategic(body));
                self.ask("patch this Node's status", request).await
            }
        }
    }

    /// Writes an event.
    ///
    /// # Errors
    /// As every request's: [`Trouble`].
    pub(super) async fn record(&self, record: &EventRecord) -> Result<(), Trouble> {
        let events = Request::new(EVENTS);
        let request = match record {
            EventRecord::First(body) => events.create(&PostParams::default(), body.to_string().into_bytes()),
            EventRecord::Again { name, body } => {
                events.patch(name, &PatchParams::default(), &Patch::Merge(body))
            }
        };
        self.ask::<Value>("write an event of this Node", request).await.map(drop)
    }

    /// The path of a pod. Namespaces and names are DNS labels and subdomains, so nothing in them has to be encoded; the API server refuses others.
    pub(super) fn pod(namespace: &str, name: &str) -> String {
        format!("/api/v1/namespaces/{namespace}/pods/{name}")
    }

    /// Reads what is at a path.
    ///
    /// # Errors
    /// No answer arrived.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, Trouble> {
        self.exchange(Method::GET, path, JSON, Vec::new()).await
    }

    /// Sends a JSON document to a path.
    ///
    /// # Errors
    /// No answer arrived; what was asked for may have happened.
    pub(super) async fn post(&self, path: &str, body: Vec<u8>) -> Result<Reply, Trouble> {
        self.exchange(Method::POST, path, JSON, body).await
    }

    /// Deletes what is at a path, by these options.
    ///
    /// # Errors
    /// No answer arrived; what was asked for may have happened.
    pub(super) async fn delete(&self, path: &str, body: Vec<u8>) -> Result<Reply, Trouble> {
        self.exchange(Method::DELETE, path, JSON, body).await
    }

    /// Carries a JSON patch out on what is at a path.
    ///
    /// # Errors
    /// No answer arrived; what was asked for may have happened.
    pub(super) async fn patch(&self, path: &str, body: Vec<u8>) -> Result<Reply, Trouble> {
        self.exchange(Method::PATCH, path, JSON_PATCH, body).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        media: &str,
        body: Vec<u8>,
    ) -> Result<Reply, Trouble> {
        let what = format!("{method} {path}");
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::ACCEPT, JSON)
            .header(http::header::CONTENT_TYPE, media)
            .body(body.into())
            .map_err(|e| Trouble::new(ErrorKind::Refused, format!("{what}: {e}")))?;
        with_timeout(&what, async {
            let response = self.client.send(request).await?;
            let status = response.status().as_u16();
            let header = response.headers().get(http::header::RETRY_AFTER);
            let retry_after = header.and_then(|value| value.to_str().ok()?.parse().ok());
            let body = response.into_body().collect_bytes().await?.into();
            Ok(Reply { status, retry_after, body })
        })
        .await
    }

    fn selector(&self) -> String {
        format!("metadata.name={}", self.node)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        request: Result<http::Request<Vec<u8>>, Unbuilt>,
    ) -> Result<T, Trouble> {
        let request = request.map_err(|e| build_trouble(what, &e))?;
        with_timeout(what, self.client.request(request)).await
    }
}

fn build_trouble(what: &str, error: &Unbuilt) -> Trouble {
    Trouble::new(ErrorKind::Refused, format!("{what}: {error}"))
}

async fn with_timeout<T>(what: &str, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Trouble> {
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer.map_err(|error| Trouble::from_error(what, &error)),
        Err(_) => Err(Trouble::new(
            ErrorKind::Unreachable,
            format!("{what}: no answer within {} s", ANSWER_WITHIN.as_secs()),
        )),
    }
}
