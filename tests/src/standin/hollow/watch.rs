//! Lists a collection and watches it for ever.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::seen::{Change, Object};
use crate::kubernetes::Client;

const PAGE: u32 = 500;
/// After so many seconds the API server ends a watch.
const ENDS_AFTER: u32 = 300;
/// What is waited after a watch that failed.
const AGAIN: Duration = Duration::from_millis(200);

/// One line of a watch.
#[derive(Debug, Deserialize)]
struct Event {
    r#type: String,
    object: Object,
}

/// Hands on what happens in a collection until `is_over` says so. What failed begins anew.
pub(super) fn watch(client: &Client, path: &str, is_over: impl Fn() -> bool, mut take: impl FnMut(Change)) {
    while !is_over() {
        // Why does not matter: the next list makes up for everything.
        if follow(client, path, &is_over, &mut take).is_err() {
            std::thread::sleep(AGAIN);
        }
    }
}

/// One list, and what happens after it.
fn follow(
    client: &Client,
    path: &str,
    is_over: &impl Fn() -> bool,
    take: &mut impl FnMut(Change),
) -> Result<()> {
    let (objects, mut version) = list(client, path)?;
    take(Change::All(objects));
    while !is_over() {
        let from = format!(
            "{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={ENDS_AFTER}"
        );
        for line in client.watch_as_text(&from)? {
            let Event { r#type, object } = serde_json::from_str(&line?).context("an event")?;
            ensure!(r#type != "ERROR", "the version is too old");
            version.clone_from(&object.metadata.resource_version);
            match r#type.as_str() {
                "BOOKMARK" => {}
                "DELETED" => take(Change::Gone(Box::new(object))),
                _ => take(Change::Put(Box::new(object))),
            }
            if is_over() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// All objects, and the version of the list.
fn list(client: &Client, path: &str) -> Result<(Vec<Object>, String)> {
    let (mut objects, mut next) = (Vec::new(), String::new());
    loop {
        let mut page = client.get(&format!("{path}?limit={PAGE}&continue={next}"))?.object()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        next = text(&page["metadata"]["continue"]);
        let items: Option<Vec<Object>> = serde_json::from_value(page["items"].take()).context("a page")?;
        objects.extend(items.unwrap_or_default());
        if next.is_empty() {
            return Ok((objects, text(&page["metadata"]["resourceVersion"])));
        }
    }
}
