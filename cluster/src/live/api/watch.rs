//! Objects of one path, as they are and as they change: a list in pages, then a watch from its version.
//!
//! Each object is read into a slim type when it arrives, and its JSON is let go. A watch ends after twenty seconds and goes on from its last version, so that
//! a connection that died is noticed within half a minute. When the version is too old (410), as after an outage, the list begins anew. It does so, too, when
//! a watch ends without an event or a bookmark: an answer alone does not prove that changes arrive.

mod lines;
mod page;
mod source;
mod stream;

use std::time::Duration;

use serde::Deserialize;

use crate::live::api::call::Caller;
use lines::Lines;
pub(in crate::live) use page::pages;
pub(in crate::live) use source::Source;
use stream::WatchEnd;

/// First pause after a failure, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(30);
/// A watch that ends within this time is no watch.
const SHORT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) enum Change<T> {
    /// These are all; whatever else was known is gone.
    All(Vec<T>),
    /// This one is new, or has changed.
    Put(T),
    Gone(T),
    /// The API server sent a bookmark, or an object of no interest: all that happened before is known.
    InSync,
    /// What is known may be out of date; why. It goes on by itself.
    Lost(String),
    /// What is known is out of date: what has happened since is not reported any more, and all is read anew.
    Expired,
}

/// Reads an object; none if it is of no interest.
pub(in crate::live) type Read<T> = Box<dyn Fn(&str) -> Result<Option<T>, String> + Send + Sync>;
/// Takes what became known.
pub(in crate::live) type Sink<T> = Box<dyn Fn(Change<T>) + Send + Sync>;

/// A watch that goes on until it is dropped.
pub(in crate::live) struct Watch<T> {
    pub(in crate::live) caller: Caller,
    pub(in crate::live) source: Source,
    pub(in crate::live) read: Read<T>,
    pub(in crate::live) sink: Sink<T>,
}

impl<T: Send> Watch<T> {
    /// Lists and watches.
    pub(in crate::live) async fn run(self) {
        let mut version: Option<String> = None;
        let mut pause = PAUSE;
        let mut is_failing = false;
        loop {
            let began = tokio::time::Instant::now();
            let ended = match &mut version {
                Some(version) => self.stream(version).await,
                none => match self.list().await {
                    Ok(listed) => {
                        *none = Some(listed);
                        continue;
                    }
                    Err(why) => WatchEnd::Failed(why),
                },
            };
            if version.is_some() && began.elapsed() >= SHORT {
                pause = PAUSE;
            }
            match ended {
                WatchEnd::Orderly if began.elapsed() >= SHORT => continue,
                WatchEnd::Orderly => {}
                WatchEnd::Unproven(why) => {
                    version = None;
                    (self.sink)(Change::Lost(why));
                    if began.elapsed() >= SHORT {
                        continue;
                    }
                }
                WatchEnd::Expired => {
                    version = None;
                    (self.sink)(Change::Expired);
                    // After an outage, too, since the API server has just answered.
                    if std::mem::take(&mut is_failing) {
                        pause = PAUSE;
                    }
                }
                WatchEnd::Failed(why) => {
                    is_failing = true;
                    (self.sink)(Change::Lost(why));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Lists all, and gives the version of the list.
    async fn list(&self) -> Result<String, String> {
        let mut all = Vec::new();
        let mut wrong = None;
        let mut take = |item: Option<&str>| match item.map(|item| (self.read)(item)) {
            None => all.clear(),
            Some(Ok(items)) => all.extend(items),
            Some(Err(why)) => wrong = Some(describe_unread(item.unwrap_or_default(), &why)),
        };
        let version = pages(&self.caller, &self.source, &mut take).await?;
        if let Some(why) = wrong {
            return Err(why);
        }
        (self.sink)(Change::All(all));
        Ok(version)
    }
}

/// Why an object cannot be read, with its name: a reader who looks for the reason looks for the object.
fn describe_unread(json: &str, why: &str) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct TestObject {
        metadata: Metadata,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Metadata {
        namespace: String,
        name: String,
    }
    let TestObject { metadata: Metadata { namespace, name } } =
        serde_json::from_str(json).unwrap_or_default();
    let place = if namespace.is_empty() { namespace } else { format!("{namespace}/") };
    format!("{place}{name} cannot be read: {why}")
}

#[cfg(test)]
mod tests;
