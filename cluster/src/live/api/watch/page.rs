//! A list, page by page.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Source;
use crate::live::api::answer::{PAGE, smaller_limit};
use crate::live::api::call::{ApiRequest, CallError, Caller, Reply};

/// How often a page is asked for that fails for a moment. A list is only read, so that making the request twice harms nothing.
const TRIES: u32 = 5;
/// How often a list begins anew because its continuation expired.
const RESTARTS: u32 = 3;

#[derive(Debug, Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: ListMeta,
    /// Go writes null for an empty list.
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    r#continue: String,
    resource_version: String,
}

/// Hands each object of a list to `take` as JSON, and gives the version of the list. `take` gets nothing when the list begins anew: what it took before
/// belongs to another moment.
///
/// # Errors
/// Why the list cannot be read, in words.
pub(in crate::live) async fn pages(
    caller: &Caller,
    source: &Source,
    take: &mut (dyn FnMut(Option<&str>) + Send),
) -> Result<String, String> {
    let (mut next, mut restarts, mut limit) = (String::new(), 0, PAGE);
    loop {
        let reply = match page(caller, &source.page(limit, &next)).await {
            Ok(reply) => reply,
            Err(CallError::Lost(why)) => return Err(why),
            Err(CallError::TooLong(why)) => {
                // A continuation goes with the limit of its list, so the list begins anew.
                limit = smaller_limit(limit).ok_or(why)?;
                next.clear();
                take(None);
                continue;
            }
        };
        if !reply.is_done() {
            let refusal = reply.refusal();
            if refusal.code != 410 || restarts == RESTARTS {
                return Err(refusal.to_string());
            }
            restarts += 1;
            next.clear();
            take(None);
            continue;
        }
        let Page { metadata, items } = serde_json::from_slice(&reply.body)
            .map_err(|e| format!("the answer of {}: {e}", source.page(limit, "")))?;
        for item in items.unwrap_or_default() {
            take(Some(item.get()));
        }
        next = metadata.r#continue;
        if next.is_empty() {
            return Ok(metadata.resource_version);
        }
    }
}

/// One page, asked for again while it fails for a moment.
async fn page(caller: &Caller, path: &str) -> Result<Reply, CallError> {
    let mut wait = Duration::from_millis(500);
    let mut tries_left = TRIES;
    loop {
        tries_left -= 1;
        let reply = caller.page(&ApiRequest::get(path)).await;
        let is_passing = match &reply {
            Ok(reply) => !reply.is_done() && reply.refusal().is_passing(),
            Err(CallError::Lost(_)) => true,
            Err(CallError::TooLong(_)) => false,
        };
        if !is_passing || tries_left == 0 {
            return reply;
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
}
