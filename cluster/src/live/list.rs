//! Lists one kind, page by page.

use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeSeed as _;

use super::error::{Meaning, meaning};
use super::path::encoded;
use super::progress::Event;
use crate::model::{Kind, Reading};
use crate::snapshot::{Collector, Page};

/// Objects in one page; what kubectl asks for as well.
const PAGE: usize = 500;
/// How often a request is made that fails for a moment. A list is only read, so that making it twice harms nothing.
const TRIES: u32 = 5;
/// How often a list begins anew because its continuation expired.
const RESTARTS: u32 = 3;

/// Where a page is in its list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    metadata: ListMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    r#continue: String,
    remaining_item_count: Option<usize>,
}

/// Asks for a path and makes a request again that fails for a moment.
///
/// # Errors
/// What the last failure means.
pub(super) async fn ask(
    client: &Client,
    path: &str,
    again: &mut dyn FnMut(String),
) -> Result<String, Meaning> {
    let mut wait = Duration::from_millis(500);
    for left in (0..TRIES).rev() {
        let request =
            http::Request::get(path).body(Vec::new()).map_err(|e| Meaning::Failed(e.to_string()))?;
        match client.request_text(request).await.map_err(|e| meaning(&e)) {
            Err(Meaning::Transient(why)) if left > 0 => {
                again(why);
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            done => return done,
        }
    }
    Err(Meaning::Failed(format!("{path} was never asked for")))
}

/// Lists all objects of a kind into the collector, from the first group and version that serves it.
///
/// # Errors
/// A failure that is not about this kind alone.
pub(super) async fn list(
    client: &Client,
    kind: Kind,
    collector: &mut Collector,
    progress: &mut dyn FnMut(&Event),
) -> Result<Reading, Meaning> {
    for (group, version) in kind.served_by() {
        match pages(client, kind, group, version, collector, progress).await {
            Ok(objects) => {
                progress(&Event::Done { kind, objects });
                return Ok(Reading::Read);
            }
            Err(Meaning::NotFound) => {}
            Err(Meaning::Forbidden(why)) => return Ok(Reading::Forbidden(why)),
            Err(other) => return Err(other),
        }
    }
    // Whoever does not have the core of the API is no API server, or one behind a path that the address lacks.
    let is_core = kind.served_by().iter().any(|(group, _)| group.is_empty());
    if is_core { Err(Meaning::NotFound) } else { Ok(Reading::NotServed) }
}

async fn pages(
    client: &Client,
    kind: Kind,
    group: &str,
    version: &str,
    collector: &mut Collector,
    progress: &mut dyn FnMut(&Event),
) -> Result<usize, Meaning> {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let root = if group.is_empty() { "/api" } else { "/apis" };
    let path = format!("{root}/{api_version}/{}?limit={PAGE}", kind.plural());
    let (mut objects, mut restarts) = (0, 0);
    let mut next = String::new();
    loop {
        let page = if next.is_empty() { path.clone() } else { format!("{path}&continue={}", encoded(&next)) };
        let text = match ask(client, &page, &mut |why| progress(&Event::Again { kind, why })).await {
            Err(Meaning::Expired) if restarts < RESTARTS => {
                // What was read belongs to another moment.
                collector.forget(kind);
                (objects, next) = (0, String::new());
                restarts += 1;
                continue;
            }
            page => page?,
        };
        let failed = |e: serde_json::Error| Meaning::Failed(format!("the answer of {path}: {e}"));
        let mut json = serde_json::Deserializer::from_str(&text);
        objects += Page::new(collector, &api_version, kind).deserialize(&mut json).map_err(failed)?;
        let Listed { metadata } = serde_json::from_str(&text).map_err(failed)?;
        next = metadata.r#continue;
        if next.is_empty() {
            return Ok(objects);
        }
        progress(&Event::Page { kind, objects, remaining: metadata.remaining_item_count });
    }
}
