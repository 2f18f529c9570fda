//! The journal: what a run did and why, one JSON object in each line. It is history; no decision reads it.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::text::quote::quote;

use super::Store;
use super::mirror::Mirror;
use super::object::{self, ConfigMap, PART_LABEL, RUN_LABEL, bytes, change_path, create_path};
use super::run::valid;
use crate::live::api::call::{ApiRequest, Reply};
use crate::live::api::failure::{Failure, lost_failure, refused_failure};
use crate::live::api::path::{MANAGER, config_map};

/// The key of the lines.
pub(super) const KEY: &str = "journal.jsonl";
/// The label's value that tells journals from other objects of a run.
pub(super) const PART: &str = "journal";
/// Lines in one ConfigMap, in bytes.
const LARGEST: usize = 64 << 10;
/// Longest text in a line, in bytes. Names and messages of others may be longer.
const TEXT: usize = 2 << 10;
/// Longest line, in bytes.
const LINE: usize = LARGEST / 2;
/// Full parts that wait to be written, at most: an API server that refuses every write must not fill this machine's memory.
const MOST: usize = 64;
/// The open ConfigMap is written this often at most.
const EVERY: Duration = Duration::from_secs(5);

/// The journal of a run, open at its end.
#[derive(Debug)]
pub struct Journal {
    store: Store,
    run: String,
    open: Part,
    /// Full parts that are not written yet, the oldest first.
    full: Vec<Part>,
    /// How many full parts were dropped, since no more than [`MOST`] wait.
    dropped: usize,
    /// When the open part was written last.
    written_at: Option<Duration>,
    mirror: Mirror,
}

/// One ConfigMap of it.
#[derive(Debug, Default)]
struct Part {
    number: u32,
    /// The `resourceVersion`; none if it was never written.
    version: Option<String>,
    lines: String,
    is_written: bool,
}

impl Store {
    /// Opens the journal of a run at its end.
    ///
    /// # Errors
    /// A request failed.
    pub async fn journal(&self, run: &str) -> Result<Journal, Failure> {
        valid(run)?;
        let what = "read the journal";
        let selector = format!("{RUN_LABEL}={run},{PART_LABEL}={PART}");
        let listed = self.list_meta(what, &selector).await?;
        let last = listed.names().filter_map(|name| part_number(&name, run)).max();
        let mut open = Part { number: 1, ..Part::default() };
        if let Some(number) = last {
            let map: ConfigMap = self
                .require_done(what, &ApiRequest::get(config_map(&name(run, number))))
                .await?
                .object()
                .map_err(|why| lost_failure(what, &why))?;
            open = Part {
                number,
                version: Some(map.metadata.resource_version),
                lines: map.data.get(KEY).cloned().unwrap_or_default(),
                is_written: true,
            };
        }
        let (store, run) = (self.clone(), run.to_owned());
        let mirror = Mirror::from_environment(&run);
        Ok(Journal { store, run, open, full: Vec::new(), dropped: 0, written_at: None, mirror })
    }

    async fn require_done(&self, what: &str, ask: &ApiRequest) -> Result<Reply, Failure> {
        let reply = self.caller.call(ask).await.map_err(|why| lost_failure(what, &why))?;
        if reply.is_done() { Ok(reply) } else { Err(refused_failure(what, &reply.refusal())) }
    }
}

/// Cuts long texts, and takes away what does not fit: a ConfigMap holds no endless line, and a line that cannot be written would keep all later ones.
fn shorten(value: &mut Value, bytes_left: &mut usize) {
    match value {
        Value::String(text) if text.len() > TEXT.min(*bytes_left) => {
            *text = quote(text.as_bytes(), TEXT.min(*bytes_left))
        }
        Value::Array(all) => {
            all.truncate(*bytes_left / 8);
            all.iter_mut().for_each(|object| shorten(object, bytes_left));
        }
        Value::Object(all) => all.values_mut().for_each(|object| shorten(object, bytes_left)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    *bytes_left = bytes_left.saturating_sub(value.as_str().map_or(8, str::len));
}

/// `crossfade-journal-r-7k2m-0001`.
fn name(run: &str, number: u32) -> String {
    format!("crossfade-journal-{run}-{number:04}")
}

/// Which part of the journal of a run a ConfigMap is; none if it is no part of it.
pub(super) fn part_number(name: &str, run: &str) -> Option<u32> {
    name.strip_prefix(&format!("crossfade-journal-{run}-"))?.parse().ok()
}

impl Journal {
    /// The same without a file on this machine.
    #[cfg(test)]
    pub(in crate::live) fn without_mirror(self) -> Self {
        Self { mirror: Mirror::nowhere(), ..self }
    }

    /// The same with this file.
    #[cfg(test)]
    pub(in crate::live) fn mirrored(self, file: std::path::PathBuf) -> Self {
        Self { mirror: Mirror::new(file), ..self }
    }

    /// Adds a line. It is in the mirror at once, and in the cluster with the next [`Self::flush`].
    ///
    /// # Errors
    /// It is no JSON, or the mirror cannot be written.
    pub fn note(&mut self, line: &impl Serialize) -> Result<(), Problem> {
        let wrong = |e| Problem::new(format!("a line of the journal: {e}"));
        let mut line = serde_json::to_string(line).map_err(wrong)?;
        if line.len() > LINE {
            let mut cut = serde_json::from_str(&line).map_err(wrong)?;
            let mut bytes_left = LINE;
            shorten(&mut cut, &mut bytes_left);
            line = cut.to_string();
        }
        self.add(&line);
        self.mirror.add(&line)
    }

    fn add(&mut self, line: &str) {
        if !self.open.lines.is_empty() && self.open.lines.len() + line.len() + 1 > LARGEST {
            let next = Part { number: self.open.number.saturating_add(1), ..Part::default() };
            let full = std::mem::replace(&mut self.open, next);
            if !full.is_written {
                self.full.push(full);
                if self.full.len() > MOST {
                    self.full.remove(0);
                    self.dropped = self.dropped.saturating_add(1);
                }
            }
        }
        self.open.lines.push_str(line);
        self.open.lines.push('\n');
        self.open.is_written = false;
    }

    /// What becomes of lines that are not in the cluster, as the operator is told.
    #[must_use]
    pub fn describe_fallback(&self) -> String {
        let mirror = match self.mirror.place() {
            Some(file) => format!("{} has every line", file.display()),
            None => "no file on this machine has them".into(),
        };
        let dropped = match self.dropped {
            0 => String::new(),
            parts => format!("; {} KiB of the oldest are dropped", parts.saturating_mul(LARGEST >> 10)),
        };
        format!("its lines are written with the next write that works{dropped}; {mirror}")
    }

    /// Writes what is not written, the open part at most once in five seconds. `is_last` writes it in any case.
    ///
    /// A write that failed is made again by the next flush. It stands on the version that it knows, so that no other writer's lines are lost.
    ///
    /// # Errors
    /// A request failed, or another client wrote this journal.
    pub async fn flush(&mut self, is_last: bool) -> Result<(), Failure> {
        while let Some(part) = self.full.first() {
            self.write(part).await?;
            self.full.remove(0);
        }
        let now = self.store.caller.clock().now();
        let is_due = self.written_at.is_none_or(|written| now.saturating_sub(written) >= EVERY);
        if self.open.is_written || !(is_due || is_last) {
            return Ok(());
        }
        self.written_at = Some(now);
        self.open.version = Some(self.write(&self.open).await?);
        self.open.is_written = true;
        Ok(())
    }

    /// Writes a part, and gives its new version.
    async fn write(&self, part: &Part) -> Result<String, Failure> {
        let what = "write the journal";
        let name = name(&self.run, part.number);
        let ask = match &part.version {
            None => {
                let labels = [(RUN_LABEL, self.run.as_str()), (PART_LABEL, PART)];
                ApiRequest::post(create_path(), bytes(&object::new(&name, &labels, &[(KEY, &part.lines)])))
            }
            Some(version) => {
                let change = object::change_object(version, &[], &[(KEY, Some(&part.lines))]);
                ApiRequest::merge(change_path(&name, MANAGER), bytes(&change))
            }
        };
        let reply = self.store.caller.call(&ask).await.map_err(|why| lost_failure(what, &why))?;
        if reply.is_done() {
            let map: ConfigMap = reply.object().map_err(|why| lost_failure(what, &why))?;
            return Ok(map.metadata.resource_version);
        }
        let refusal = reply.refusal();
        if refusal.is_conflict()
            && let Some(version) = self.find_own_version(&name, part).await?
        {
            return Ok(version);
        }
        Err(refused_failure(what, &refusal))
    }

    /// The version of a part that is in the cluster as it was to be written: its answer was lost.
    async fn find_own_version(&self, name: &str, part: &Part) -> Result<Option<String>, Failure> {
        let what = "write the journal";
        let map: ConfigMap = self
            .store
            .require_done(what, &ApiRequest::get(config_map(name)))
            .await?
            .object()
            .map_err(|why| lost_failure(what, &why))?;
        let there = map.data.get(KEY).map_or("", String::as_str);
        if there == part.lines {
            return Ok(Some(map.metadata.resource_version));
        }
        if !part.lines.starts_with(there) {
            let problem = Problem::new(format!("{what}: another process writes {name}"));
            return Err((
                Exit::Failed,
                problem
                    .with_place(format!("ConfigMap/crossfade/{name}"))
                    .fix("kubectl crossfade status names the holder"),
            ));
        }
        // An earlier write of this program arrived, and its answer did not.
        let change = object::change_object(&map.metadata.resource_version, &[], &[(KEY, Some(&part.lines))]);
        let reply = self
            .store
            .require_done(what, &ApiRequest::merge(change_path(name, MANAGER), bytes(&change)))
            .await?;
        let map: ConfigMap = reply.object().map_err(|why| lost_failure(what, &why))?;
        Ok(Some(map.metadata.resource_version))
    }
}

#[cfg(test)]
mod tests;
