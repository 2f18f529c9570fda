//! Lists one kind, page by page.

use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeSeed as _;
use serde_json::Value;
use snapshot::model::{Kind, Reading};
use snapshot::{Collector, Page};
use types::api::refusal::Refusal;

use crate::live::api::answer::{PAGE, answer, smaller_limit};
use crate::live::api::call::ApiRequest;
use crate::live::api::error::{Meaning, from_refusal, meaning};
use crate::live::api::path::encode;
use crate::live::snapshot::Event;

/// How often a request is made that fails for a moment. A list is only read, so that making it twice harms nothing.
const TRIES: u32 = 5;
/// How often a list begins anew because its continuation expired.
const RESTARTS: u32 = 3;

/// A page of a list, of which only the list's metadata is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListEnvelope {
    metadata: ListMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    r#continue: String,
    remaining_item_count: Option<usize>,
}

/// A page of a list, of which only the objects are read.
#[derive(Debug, Deserialize)]
struct Items {
    items: Vec<Value>,
}

/// Asks for a path and makes a request again that fails for a moment.
///
/// # Errors
/// What the last failure means.
pub(in crate::live) async fn ask(
    client: &Client,
    path: &str,
    again: &mut dyn FnMut(String),
) -> Result<String, Meaning> {
    let mut wait = Duration::from_millis(500);
    for tries_left in (0..TRIES).rev() {
        let request = ApiRequest::get(path).request().map_err(Meaning::Failed)?;
        match answer(client, request).await.map_err(meaning).and_then(text) {
            Err(Meaning::Transient(why)) if tries_left > 0 => {
                again(why);
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            done => return done,
        }
    }
    Err(Meaning::Failed(format!("{path} was never asked for")))
}

/// The text of an answer that is no refusal.
fn text(response: http::Response<Vec<u8>>) -> Result<String, Meaning> {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        return Err(from_refusal(&Refusal::read(status.as_u16(), None, response.body())));
    }
    String::from_utf8(response.into_body()).map_err(|e| Meaning::Failed(format!("the answer: {e}")))
}

/// Lists all objects of a kind into the collector, from the first group and version that serves it.
///
/// # Errors
/// A failure that is not about this kind alone.
pub(in crate::live) async fn list(
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
    // A server without the core of the API is no API server, or one behind a path that the address lacks.
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
    let mut objects = 0;
    let mut part = |part: ListEvent<'_>| {
        match part {
            ListEvent::Page { text, remaining, is_last } => {
                let mut json = serde_json::Deserializer::from_str(text);
                objects += Page::new(collector, &api_version, kind).deserialize(&mut json)?;
                if !is_last {
                    progress(&Event::Page { kind, objects, remaining });
                }
            }
            ListEvent::Restart => {
                collector.forget(kind);
                objects = 0;
            }
            ListEvent::Again(why) => progress(&Event::Again { kind, why }),
        }
        Ok(())
    };
    each_part(client, &format!("{root}/{api_version}/{}", kind.plural_name()), &mut part).await?;
    Ok(objects)
}

/// What happens while a list is read.
#[derive(Debug)]
pub(in crate::live) enum ListEvent<'a> {
    /// A page arrived.
    Page {
        /// The answer.
        text: &'a str,
        /// How many objects are still to come, where the API server says it.
        remaining: Option<usize>,
        /// No other page comes.
        is_last: bool,
    },
    /// The list begins anew: what was read belongs to another moment.
    Restart,
    /// A request failed and is made again; why.
    Again(String),
}

/// The objects of a list, as the API server has them; lists leave out their `apiVersion` and `kind`.
///
/// # Errors
/// What the last failure means.
pub(in crate::live) async fn list_objects(
    client: &Client,
    path: &str,
    again: &mut dyn FnMut(String),
) -> Result<Vec<Value>, Meaning> {
    let mut all = Vec::new();
    let mut take = |part: ListEvent<'_>| {
        match part {
            ListEvent::Page { text, .. } => all.extend(serde_json::from_str::<Items>(text)?.items),
            ListEvent::Restart => all.clear(),
            ListEvent::Again(why) => again(why),
        }
        Ok(())
    };
    each_part(client, path, &mut take).await?;
    Ok(all)
}

/// Lists a path page by page.
///
/// # Errors
/// What the last failure means.
pub(in crate::live) async fn each_part(
    client: &Client,
    path: &str,
    take: &mut dyn FnMut(ListEvent<'_>) -> Result<(), serde_json::Error>,
) -> Result<(), Meaning> {
    let failed = |e: serde_json::Error| Meaning::Failed(format!("the answer of {path}: {e}"));
    let mut restarts = 0;
    let (mut next, mut limit) = (String::new(), PAGE);
    loop {
        let mut page = format!("{path}?limit={limit}");
        if !next.is_empty() {
            page.push_str(&format!("&continue={}", encode(&next)));
        }
        // The receiver takes the news that a request is made again.
        let answer = ask(client, &page, &mut |why| drop(take(ListEvent::Again(why)))).await;
        let text = match answer {
            Err(Meaning::Expired) if restarts < RESTARTS => {
                take(ListEvent::Restart).map_err(failed)?;
                next = String::new();
                restarts += 1;
                continue;
            }
            Err(Meaning::TooLong(why)) => {
                // A continuation goes with the limit of its list, so the list begins anew.
                limit = smaller_limit(limit).ok_or(Meaning::TooLong(why))?;
                take(ListEvent::Restart).map_err(failed)?;
                next = String::new();
                continue;
            }
            answer => answer?,
        };
        let ListEnvelope { metadata } = serde_json::from_str(&text).map_err(failed)?;
        next = metadata.r#continue;
        let is_last = next.is_empty();
        take(ListEvent::Page { text: &text, remaining: metadata.remaining_item_count, is_last })
            .map_err(failed)?;
        if is_last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::api::test_server::{Answer, Server, run};

    /// Objects of the largest size that etcd takes: 500 of them are longer than what is read. Each row: the largest limit that is short enough, and what is
    /// asked for.
    #[test]
    fn a_page_that_is_too_long_is_asked_for_with_fewer_objects() {
        for (most, limits) in [(500, &[500, 500][..]), (50, &[500, 50, 50]), (1, &[500, 50, 5, 1, 1])] {
            run(async {
                let server = Server::by_rule(move |request| {
                    let query = request.line.split_once("limit=").expect("a limit").1;
                    let (limit, next) = query.split_once('&').unwrap_or((query, ""));
                    if limit.parse::<usize>().expect("a number") > most {
                        return Answer::endless();
                    }
                    let metadata = if next.is_empty() { r#"{"continue":"c"}"# } else { "{}" };
                    Answer::text(200, &format!(r#"{{"metadata":{metadata},"items":[]}}"#))
                });
                let mut pages = 0;
                let mut take = |part: ListEvent<'_>| {
                    match part {
                        ListEvent::Page { .. } => pages += 1,
                        ListEvent::Restart => pages = 0,
                        ListEvent::Again(why) => panic!("{why}"),
                    }
                    Ok(())
                };
                each_part(&server.client(), "/api/v1/pods", &mut take).await.expect("read");
                assert_eq!(pages, 2);
                let requests: Vec<String> = server.lines();
                let expected = limits.iter().map(|limit| format!("GET /api/v1/pods?limit={limit}"));
                assert!(
                    requests.iter().zip(expected).all(|(request, start)| request.starts_with(&start)),
                    "{requests:?}"
                );
                assert_eq!(requests.len(), limits.len());
            });
        }
    }

    #[test]
    fn one_object_that_is_too_long_is_an_error_that_names_the_call() {
        run(async {
            let server = Server::by_rule(|_| Answer::endless());
            let read = each_part(&server.client(), "/api/v1/pods", &mut |_| Ok(())).await;
            let Err(Meaning::TooLong(why)) = read else { panic!("{read:?}") };
            assert!(why.contains("GET /api/v1/pods?limit=1 is longer than 64 MiB"), "{why}");
        });
    }
}
