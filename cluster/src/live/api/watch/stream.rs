//! Changes as they happen.

use std::time::Duration;
use types::api::refusal::Refusal;

use http::header::{ACCEPT_ENCODING, HeaderValue};
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::source::ENDS_AFTER;
use super::{Change, Lines, Watch, describe_unread};
use crate::live::api::call::ApiRequest;
use crate::live::api::error::chain;

/// Nothing can be silent for this long: the API server ends a watch before.
const SILENT: Duration = Duration::from_secs(ENDS_AFTER + 10);

/// Longest refusal that is read, in bytes.
const REFUSAL: usize = 64 << 10;

#[derive(Debug)]
pub(super) enum WatchEnd {
    /// The API server ended it, as it does after a time.
    Orderly,
    /// It ended or fell silent without an event or a bookmark, so that nothing proves that it told all: list anew; why.
    Unproven(String),
    /// Its version is too old: list anew.
    Expired,
    /// It broke; why.
    Failed(String),
}

/// One line of a watch.
#[derive(Debug, Deserialize)]
struct Event<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// What every object has, a bookmark too.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectVersion {
    metadata: Version,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Version {
    resource_version: String,
}

/// `Status` of an event that ends a watch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusCode {
    code: u16,
}

impl<T: Send> Watch<T> {
    /// Hands on what happens after a version, and moves the version on.
    pub(super) async fn stream(&self, version: &mut String) -> WatchEnd {
        let mut body = match self.open(version).await {
            Ok(body) => body,
            Err(ended) => return ended,
        };
        let (mut lines, mut is_synced) = (Lines::default(), false);
        loop {
            let frame = match tokio::time::timeout(SILENT, body.frame()).await {
                Ok(None) if is_synced => return WatchEnd::Orderly,
                Ok(None) => {
                    return WatchEnd::Unproven("the watch ended without an event or a bookmark".into());
                }
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(e))) => return WatchEnd::Failed(chain(&e)),
                Err(_) => {
                    let why = format!("nothing arrived for {} s", SILENT.as_secs());
                    return if is_synced { WatchEnd::Failed(why) } else { WatchEnd::Unproven(why) };
                }
            };
            let Ok(piece) = frame.into_data() else { continue };
            let whole = match lines.push(&piece) {
                Ok(whole) => whole,
                Err(why) => return WatchEnd::Failed(why),
            };
            for line in whole {
                if let Some(ended) = self.event(&line, version) {
                    return ended;
                }
                is_synced = true;
            }
        }
    }

    async fn open(&self, version: &str) -> Result<Body, WatchEnd> {
        self.caller.turn().await;
        let mut request = ApiRequest::get(self.source.watch(version)).request().map_err(WatchEnd::Failed)?;
        // Kubernetes 1.37 compresses each event by itself, and tower-http unpacks only the first one (tower-rs/tower-http#737).
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let lost = |e: kube::Error| WatchEnd::Failed(format!("no answer: {}", chain(&e)));
        let response = tokio::time::timeout(SILENT, self.caller.client().send(request)).await;
        let response = response.map_err(|_| WatchEnd::Failed("no answer".into()))?.map_err(lost)?;
        let (status, body) = (response.status().as_u16(), response.into_body());
        if status == 200 {
            return Ok(body);
        }
        let body = tokio::time::timeout(SILENT, Limited::new(body, REFUSAL).collect()).await;
        let body = body.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default();
        Err(match Refusal::read(status, None, &body) {
            refusal if refusal.code == 410 => WatchEnd::Expired,
            refusal => WatchEnd::Failed(refusal.to_string()),
        })
    }

    /// Hands on one event.
    fn event(&self, line: &[u8], version: &mut String) -> Option<WatchEnd> {
        let wrong =
            |e: serde_json::Error| Some(WatchEnd::Failed(format!("an event that cannot be read: {e}")));
        let Event { r#type: what, object } = match serde_json::from_slice(line) {
            Ok(event) => event,
            Err(e) => return wrong(e),
        };
        if what == "ERROR" {
            let code = serde_json::from_str(object.get()).map_or(0, |StatusCode { code }| code);
            let refusal = Refusal::read(code, None, object.get().as_bytes());
            return Some(if code == 410 { WatchEnd::Expired } else { WatchEnd::Failed(refusal.to_string()) });
        }
        let ObjectVersion { metadata } = match serde_json::from_str(object.get()) {
            Ok(versioned) => versioned,
            Err(e) => return wrong(e),
        };
        let item = if what == "BOOKMARK" { Ok(None) } else { (self.read)(object.get()) };
        match item {
            Ok(Some(item)) if what == "DELETED" => (self.sink)(Change::Gone(item)),
            Ok(Some(item)) => (self.sink)(Change::Put(item)),
            Ok(None) => (self.sink)(Change::InSync),
            Err(why) => return Some(WatchEnd::Failed(describe_unread(object.get(), &why))),
        }
        *version = metadata.resource_version;
        None
    }
}
