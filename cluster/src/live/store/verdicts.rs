//! The last verdicts of gates whose commands the holder runs, for `status`, which starts no command. No decision reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use migration::plan::{Gate, Plan};
use migration::roll::world::{Color, World};
use serde::{Deserialize, Serialize};

use super::Store;
use super::object::{self, ConfigMap, RUN_LABEL, bytes, change_path, create_path};
use super::run::valid;
use crate::live::api::call::ApiRequest;
use crate::live::api::path::MANAGER;

/// The key of the verdicts.
const KEY: &str = "verdicts.json";
/// The ConfigMap is written this often at most.
const EVERY: Duration = Duration::from_secs(5);
/// Verdicts that stay the same are written this often, so that their age is known.
const AGAIN: Duration = Duration::from_mins(1);
/// How many characters of a reason are shown.
const WORDS: usize = 200;
/// How far the clocks of two machines may be apart, beside the time between two writes.
const SKEW: Duration = Duration::from_mins(2);

/// A verdict as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedVerdict {
    /// How the gate was.
    #[serde(rename = "is")]
    pub color: Color,
    /// When its command was started, by the holder's clock, in RFC 3339.
    #[serde(rename = "at")]
    pub time: String,
    /// Why, in words.
    #[serde(default)]
    pub why: String,
}

/// The verdicts of a run as its holder writes them.
#[derive(Debug)]
pub struct Verdicts {
    store: Store,
    run: String,
    last: BTreeMap<String, RecordedVerdict>,
    written_at: Option<Duration>,
}

/// `crossfade-gates-r-7k2m`.
pub(super) fn name(run: &str) -> String {
    format!("crossfade-gates-{run}")
}

impl Store {
    /// The verdicts of a run, to be written.
    #[must_use]
    pub fn verdicts_of(&self, run: &str) -> Verdicts {
        Verdicts { store: self.clone(), run: run.to_owned(), last: BTreeMap::new(), written_at: None }
    }

    /// The verdicts that the holder of a run wrote last; none if they cannot be read.
    pub async fn verdicts(&self, run: &str) -> BTreeMap<String, RecordedVerdict> {
        self.load(run).await.unwrap_or_default()
    }

    async fn load(&self, run: &str) -> Option<BTreeMap<String, RecordedVerdict>> {
        valid(run).ok()?;
        let reply = self.read("read the verdicts", &name(run)).await.ok()??;
        of_map(&reply.object().ok()?)
    }
}

/// The verdicts in a ConfigMap; none if it has none that can be read.
pub(super) fn parse(text: &str) -> Option<BTreeMap<String, RecordedVerdict>> {
    of_map(&serde_json::from_str(text).ok()?)
}

fn of_map(map: &ConfigMap) -> Option<BTreeMap<String, RecordedVerdict>> {
    serde_json::from_str(map.data.get(KEY)?).ok()
}

impl Verdicts {
    /// Writes the verdicts of commands if they have changed, or after a minute. A failure is no fault of the run: the next call tries again.
    pub async fn flush(&mut self, plan: &Plan, world: &World) {
        let (now, wall) = (self.store.caller.clock().now(), self.store.caller.clock().wall());
        let recorded = |gate: &Gate| {
            let verdict = world.verdicts.get(&gate.name).filter(|_| gate.source.is_recorded())?;
            let ago = jiff::SignedDuration::try_from(now.saturating_sub(verdict.checked_at)).ok()?;
            let timestamp = wall.checked_sub(ago).ok()?;
            let why = verdict.why.clone();
            Some((
                gate.name.clone(),
                RecordedVerdict { color: verdict.color, time: format!("{timestamp:.0}"), why },
            ))
        };
        let next: BTreeMap<String, RecordedVerdict> = plan.gates.iter().filter_map(recorded).collect();
        let since = self.written_at.map(|written| now.saturating_sub(written));
        let words = |all: &BTreeMap<String, RecordedVerdict>| -> Vec<(String, Color, String)> {
            all.iter()
                .map(|(name, recorded_verdict)| {
                    (name.clone(), recorded_verdict.color, recorded_verdict.why.clone())
                })
                .collect()
        };
        let has_changed = words(&next) != words(&self.last);
        let is_due = since.is_none_or(|since| since >= AGAIN || has_changed && since >= EVERY);
        if !is_due || next == self.last {
            return;
        }
        self.written_at = Some(now);
        if self.write(&next).await.is_some() {
            self.last = next;
        }
    }

    async fn write(&self, all: &BTreeMap<String, RecordedVerdict>) -> Option<()> {
        valid(&self.run).ok()?;
        let name = name(&self.run);
        let text = serde_json::to_string(all).ok()?;
        let change = serde_json::json!({ "data": { KEY: text } });
        let patched = self
            .store
            .caller
            .call(&ApiRequest::merge(change_path(&name, MANAGER), bytes(&change)))
            .await
            .ok()?;
        if patched.is_done() {
            return Some(());
        }
        if !patched.refusal().is_not_found() {
            return None;
        }
        let map = object::new(&name, &[(RUN_LABEL, &self.run)], &[(KEY, &text)]);
        let created = self.store.caller.call(&ApiRequest::post(create_path(), bytes(&map))).await.ok()?;
        created.is_done().then_some(())
    }
}

/// What is known of a gate by what its holder recorded: how it is, if that is not too old, and why.
#[must_use]
pub(in crate::live) fn last_verdict(
    record: Option<&RecordedVerdict>,
    gate: &Gate,
    wall: Timestamp,
) -> (Option<Color>, String) {
    let Some(RecordedVerdict { color: is, time: timestamp, why }) = record else {
        return (
            None,
            "no holder has recorded a verdict; only the holder of the run starts the command".into(),
        );
    };
    let lasts = Duration::from_secs(gate.fresh_seconds.into()) + AGAIN + SKEW;
    let Ok(timestamp) = timestamp.parse::<Timestamp>() else {
        return (None, "its recorded verdict has no time".into());
    };
    let is_fresh = timestamp.duration_until(wall).unsigned_abs() <= lasts;
    let colon = if why.is_empty() { "" } else { ": " };
    let why: String = why.chars().take(WORDS).collect();
    let text = format!("{} at {timestamp:.0}{colon}{why}", is.into_str());
    if is_fresh {
        (Some(*is), text)
    } else {
        (None, format!("no holder has recorded a verdict since {text}"))
    }
}

#[cfg(test)]
mod tests;
