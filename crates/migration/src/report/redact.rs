//! Takes names out of what is known of a run: each has the same pseudonym everywhere, and what people and other programs wrote is removed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use types::policy::Phase;

use super::journal::{self, JournalEvent, Piece};
use super::{GateVerdict, Sources};
use crate::drive::event::ActRecord;
use crate::plan::{Gate, GateSource, Plan, WaveName};
use crate::roll::run::{Run, RunRequest, State};
use crate::roll::wait::Reason;

/// What stands for a text that is not kept.
pub const REMOVED: &str = "[removed]";
/// Keys whose values are words of this program, numbers of others, or hashes.
const WORDS: [&str; 25] = [
    "event",
    "act",
    "state",
    "to",
    "from",
    "desired",
    "start",
    "passes",
    "is",
    "kind",
    "strategy",
    "way",
    "ways",
    "method",
    "image",
    "invariant",
    "until",
    "since",
    "at",
    "uid",
    "hash",
    "settings",
    "measured",
    "sent",
    "lost",
];
/// Keys of texts that people and other programs wrote, or that quote them.
const TEXTS: [&str; 6] = ["why", "help", "accepted", "refused", "command", "finding"];

/// The pseudonyms of names: `node-1`, `namespace-2`.
#[derive(Debug, Default)]
struct Pseudonyms(BTreeMap<String, String>);

/// Names by what they name.
#[derive(Debug, Default)]
struct Names(BTreeMap<&'static str, BTreeSet<String>>);

impl Names {
    fn add(&mut self, kind: &'static str, name: &str) {
        if !name.is_empty() {
            self.0.entry(kind).or_default().insert(name.to_owned());
        }
    }

    /// `NAMESPACE/NAME` of such an object.
    fn add_in_namespace(&mut self, kind: &'static str, title: &str) {
        match title.split_once('/') {
            Some((namespace, name)) => {
                self.add("namespace", namespace);
                self.add(kind, name);
            }
            None => self.add("node", title),
        }
    }

    /// `Node/NAME`, `Namespace/NAME`, `KIND/NAMESPACE/NAME`, or the name of a node.
    fn add_object(&mut self, title: &str) {
        match title.split_once('/') {
            // What is no object: the run itself, or words.
            None if title == "Run" || title.contains(' ') => {}
            None => self.add("node", title),
            // The plan has the names of gates and waves.
            Some(("Gate" | "Wave" | "Lease", _)) => {}
            Some(("Node", name)) => self.add("node", name),
            Some(("Namespace", name)) => self.add("namespace", name),
            Some(("Pool", name)) => self.add("pool", name),
            Some(("Pod", rest)) => self.add_in_namespace("pod", rest),
            Some((_, rest)) if rest.contains('/') => self.add_in_namespace("workload", rest),
            Some((_, name)) => self.add("object", name),
        }
    }

    /// `user@host:pid:random`: the first two parts are a person on a machine.
    fn add_person(&mut self, holder: &str) {
        self.add("person", person(holder));
    }

    fn add_plan(&mut self, plan: &Plan) {
        for wave in &plan.waves {
            match &wave.name {
                WaveName::Zone(zone) => self.add("zone", zone),
                WaveName::Group(group) => self.add("group", group),
                WaveName::Other(name) => self.add("wave", name),
                WaveName::Scouts
                | WaveName::Dns
                | WaveName::DnsStragglers
                | WaveName::Canary
                | WaveName::ControlPlane => {}
            }
            for planned in &wave.nodes {
                self.add("node", &planned.name);
                self.add("pool", &planned.pool);
            }
        }
        plan.left_out.iter().for_each(|excluded| self.add("node", &excluded.name));
        for pool in &plan.pools {
            self.add("pool", &pool.name);
            pool.zones.iter().for_each(|zone| self.add("zone", zone));
        }
        let is_own = |gate: &&Gate| matches!(gate.source, GateSource::Command(_));
        plan.gates.iter().filter(is_own).for_each(|gate| self.add("gate", &gate.name));
        for agent in &plan.agents {
            self.add("namespace", &agent.namespace);
            self.add("workload", &agent.name);
        }
        self.add("namespace", &plan.dns.namespace);
        for pattern in plan.pods.delete.iter().chain(&plan.pods.disrupt).chain(&plan.pods.in_place) {
            self.add("pattern", pattern);
        }
        plan.waivers
            .iter()
            .filter_map(|waiver| waiver.object.as_deref())
            .for_each(|object| self.add_object(object));
    }

    fn add_run(&mut self, run: &Run) {
        run.skipped.keys().for_each(|object| self.add_object(object));
        run.short.keys().chain(run.moved_owners.keys()).for_each(|workload| self.add_object(workload));
        run.delete.iter().for_each(|pod| self.add_in_namespace("pod", pod));
        run.requests.keys().chain(&run.bounds.only).for_each(|node| self.add("node", node));
        run.bounds.pool.iter().for_each(|pool| self.add("pool", pool));
        run.unenforced.iter().flat_map(|kind| &kind.policies).for_each(|policy| self.add_object(policy));
        if let State::Paused(pause) | State::Stopped(pause) = &run.state {
            self.add_person(&pause.operator);
        }
    }

    fn add_event(&mut self, event: &JournalEvent) {
        match event {
            JournalEvent::Holds { holder, .. } => self.add_person(holder),
            JournalEvent::Acted { act, .. } => self.add_act(act),
            JournalEvent::Waits { wait } => self.add_object(&wait.object.to_string()),
            JournalEvent::Over { object, .. } | JournalEvent::Finished { object } => self.add_object(object),
            JournalEvent::Wished { wish, .. } => {
                self.add_person(&wish.operator);
                match &wish.what {
                    RunRequest::Skip(object) | RunRequest::Retry(object) | RunRequest::Rollback(object) => {
                        self.add_object(object);
                    }
                    RunRequest::Resume(bounds) => {
                        bounds.only.iter().for_each(|node| self.add("node", node));
                        bounds.pool.iter().for_each(|pool| self.add("pool", pool));
                    }
                    RunRequest::Pause | RunRequest::PauseNow | RunRequest::Abort(_) => {}
                }
            }
            JournalEvent::Counted { .. } | JournalEvent::Broken { .. } | JournalEvent::Replanned {} => {}
        }
    }

    fn add_act(&mut self, act: &ActRecord) {
        match act {
            ActRecord::Patch { node, .. } => self.add("node", node),
            ActRecord::Hook { machine, node, .. } => {
                self.add_in_namespace("machine", machine);
                self.add("node", node);
            }
            ActRecord::Evict { pod, node, owner, .. } => {
                self.add_in_namespace("pod", pod);
                self.add("node", node);
                owner.iter().for_each(|owner| self.add_object(owner));
            }
            ActRecord::Delete { pod, node, .. } => {
                self.add_in_namespace("pod", pod);
                self.add("node", node);
            }
            ActRecord::Census | ActRecord::Record { .. } => {}
        }
    }
}

/// The person and the machine of a holder.
fn person(holder: &str) -> &str {
    let mut parts = holder.rsplitn(3, ':');
    let (random, pid, person) = (parts.next(), parts.next(), parts.next());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (random, pid, person) {
        (Some(_), Some(pid), Some(person)) if is_number(pid) => person,
        _ => holder,
    }
}

/// What is known of a run, without names. What cannot be written without them is left out, and named.
#[must_use]
pub fn redacted(sources: Sources) -> (Sources, Vec<&'static str>) {
    let pseudonyms = Pseudonyms::gather(&sources);
    let mut left_out = Vec::new();
    let Sources { id, run, plan, journal, gates, measured, kubernetes } = sources;
    let run = run.and_then(|run| pseudonyms.redacted("run", &run, &mut left_out));
    let plan = plan.and_then(|(hash, plan)| Some((hash, pseudonyms.redacted("plan", &plan, &mut left_out)?)));
    let piece = |piece: Piece| Piece { lines: pseudonyms.redact_lines(&piece.lines), ..piece };
    let gate = |(name, verdict): (String, GateVerdict)| {
        (pseudonyms.key(&name), GateVerdict { why: REMOVED.into(), ..verdict })
    };
    let journal = journal.into_iter().map(piece).collect();
    let gates = gates.into_iter().map(gate).collect();
    (Sources { id, run, plan, journal, gates, measured, kubernetes }, left_out)
}

impl Pseudonyms {
    /// A value of a type without names; none if it has no such value.
    fn redacted<T: Serialize + DeserializeOwned>(
        &self,
        name: &'static str,
        value: &T,
        left_out: &mut Vec<&'static str>,
    ) -> Option<T> {
        let mut document = serde_json::to_value(value).unwrap_or_default();
        self.redact(&mut document);
        let read = serde_json::from_value(document).ok();
        left_out.extend(read.is_none().then_some(name));
        read
    }

    /// Those of everything that is known of a run.
    fn gather(sources: &Sources) -> Self {
        let mut names = Names::default();
        sources.plan.iter().for_each(|(_, plan)| names.add_plan(plan));
        sources.run.iter().for_each(|run| names.add_run(run));
        journal::read(&sources.journal).entries.iter().for_each(|entry| names.add_event(&entry.event));
        let mut all = BTreeMap::new();
        for (kind, names) in names.0 {
            for (index, name) in names.into_iter().enumerate() {
                all.entry(name).or_insert_with(|| format!("{kind}-{}", index + 1));
            }
        }
        Self(all)
    }

    /// A document without names.
    fn redact(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact(item)),
            Value::Object(map) => {
                let is_wish = map.contains_key("seq");
                let pairs = std::mem::take(map);
                for (key, mut value) in pairs {
                    match key.as_str() {
                        key if WORDS.contains(&key) && is_text(&value) => {}
                        // A wish says here what it asks for; a wait, what is seen.
                        "what" if is_wish => self.redact(&mut value),
                        "what" => value = REMOVED.into(),
                        // A wait has a word here, and a person a sentence.
                        "reason" if serde_json::from_value::<Reason>(value.clone()).is_ok() => {}
                        "reason" => value = REMOVED.into(),
                        key if TEXTS.contains(&key) && value.is_array() => value = vec![REMOVED].into(),
                        key if TEXTS.contains(&key) && !value.is_null() => value = REMOVED.into(),
                        "outcome" => value = value.as_str().map(outcome).into(),
                        "by" => {
                            if let Some(holder) = value.as_str() {
                                value = self.holder(holder).into();
                            }
                        }
                        _ => self.redact(&mut value),
                    }
                    map.insert(self.key(&key), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Lines of a journal without names. A line that cannot be read has no text that is known to be harmless.
    fn redact_lines(&self, lines: &str) -> String {
        let line = |text: &str| match serde_json::from_str::<Value>(text) {
            Ok(mut value) => {
                self.redact(&mut value);
                format!("{value}\n")
            }
            Err(_) => format!("{REMOVED}\n"),
        };
        lines.lines().map(line).collect()
    }

    fn holder(&self, holder: &str) -> String {
        let person = person(holder);
        let pseudonym = self.0.get(person).map_or(REMOVED, String::as_str);
        format!("{pseudonym}{}", &holder[person.len()..])
    }

    /// A key is a name only as a whole, or as the title of an object.
    fn key(&self, key: &str) -> String {
        let is_word = Phase::parse(key).is_some() || WORDS.contains(&key) || TEXTS.contains(&key);
        if !is_word && (self.0.contains_key(key) || key.contains('/')) {
            self.text(key)
        } else {
            key.to_owned()
        }
    }

    /// Text with the pseudonym of each word that is a name.
    fn text(&self, text: &str) -> String {
        if let Some(pseudonym) = self.0.get(text) {
            return pseudonym.clone();
        }
        let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(is_of_name) {
            let (before, from) = rest.split_at(begin);
            let end = from.find(|c| !is_of_name(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            let name = word.trim_end_matches('.');
            shown.push_str(before);
            shown.push_str(self.0.get(name).map_or(name, String::as_str));
            shown.push_str(&word[name.len()..]);
            rest = after;
        }
        shown.push_str(rest);
        shown
    }
}

/// Whether a value is text, or a list of texts.
fn is_text(value: &Value) -> bool {
    value.is_string() || value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
}

/// What became of a call, without what the API server wrote.
fn outcome(text: &str) -> String {
    match text.split_once('"') {
        Some((before, _)) if text.contains("Failed(") => {
            let ends = if text.starts_with("Answered(") { "))" } else { ")" };
            format!("{before}{REMOVED:?}{ends}")
        }
        _ => text.to_owned(),
    }
}
