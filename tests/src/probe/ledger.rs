//! The reports of the library's agents, shared between their readers, the mesh and its gauges.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::report::{Loss, Pair, PhaseReport, Progress, Report};
use super::speech::{Event, Tally};

/// One agent's life, which ends with it; a pod that enters again gets another.
pub(super) type Life = u64;

/// What one agent has said about itself.
#[derive(Debug)]
pub(super) struct AgentReport {
    pod: String,
    /// When it last said anything.
    pub(super) last: Instant,
    /// It answers probes.
    pub(super) ready: bool,
    /// Its stdout has ended.
    pub(super) ended: bool,
    /// Orders it has carried out, or why it has not.
    pub(super) orders: BTreeMap<u64, Result<(), String>>,
    /// A line that is no event.
    pub(super) nonsense: Option<String>,
}

/// Everything heard.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    phases: Vec<String>,
    tallies: BTreeMap<(usize, String, String), Tally>,
    losses: Vec<Loss>,
    stalls_ms: BTreeMap<String, u64>,
    /// What each living agent said about itself.
    pub(super) heard: BTreeMap<Life, AgentReport>,
}

/// The ledger, and a way to wait for news in it.
#[derive(Debug, Default)]
pub(super) struct SharedLedger {
    ledger: Mutex<Ledger>,
    news: Condvar,
}

impl SharedLedger {
    /// The ledger, for as long as the guard lives.
    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ledger and wakes those who wait for news.
    pub(super) fn write(&self, change: impl FnOnce(&mut Ledger)) {
        change(&mut self.lock());
        self.news.notify_all();
    }

    /// Asks `answer` at once, after all news, and every 100 ms, until it has one.
    pub(super) fn wait_for<T>(&self, answer: impl Fn(&mut Ledger) -> Option<T>) -> T {
        let mut ledger = self.lock();
        loop {
            if let Some(value) = answer(&mut ledger) {
                return value;
            }
            let waited = self.news.wait_timeout(ledger, Duration::from_millis(100));
            ledger = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl AgentReport {
    /// An agent that was just started.
    pub(super) fn new(pod: &str) -> Self {
        Self {
            pod: pod.to_owned(),
            last: Instant::now(),
            ready: false,
            ended: false,
            orders: BTreeMap::new(),
            nonsense: None,
        }
    }
}

impl Ledger {
    /// The number of a phase, old or new.
    pub(super) fn phase(&mut self, name: &str) -> usize {
        let known = self.phases.iter().position(|phase| phase == name);
        known.unwrap_or_else(|| {
            self.phases.push(name.to_owned());
            self.phases.len() - 1
        })
    }

    /// Takes in one line of an agent.
    pub(super) fn hear(&mut self, life: Life, line: &[u8]) {
        let Some(heard) = self.heard.get_mut(&life) else {
            return;
        };
        heard.last = Instant::now();
        let src = heard.pod.clone();
        match serde_json::from_slice(line) {
            Err(error) => heard.nonsense = Some(format!("{error}: {}", line.escape_ascii())),
            Ok(Event::Ready) => heard.ready = true,
            Ok(Event::Done { id }) => {
                heard.orders.insert(id, Ok(()));
            }
            Ok(Event::Refused { id, error }) => {
                heard.orders.insert(id, Err(error));
            }
            Ok(Event::Alive { stall_ms }) => {
                let longest = self.stalls_ms.entry(src).or_default();
                *longest = stall_ms.max(*longest);
            }
            Ok(Event::Count { phase, dst, tally }) => {
                let sum = self.tallies.entry((phase, src, dst)).or_default();
                sum.udp += tally.udp;
                sum.tcp += tally.tcp;
                sum.broken += tally.broken;
            }
            Ok(Event::Loss(loss)) => self.losses.push(Loss {
                phase: self.phases.get(loss.phase).cloned().unwrap_or_default(),
                wall_ms: loss.wall_ms,
                monotonic_ns: loss.monotonic_ns,
                src,
                dst: loss.dst,
                address: loss.address,
                kind: loss.kind,
                seq: loss.seq,
                cause: loss.cause,
            }),
        }
    }

    /// Losses so far.
    pub(super) fn losses(&self) -> Vec<Loss> {
        self.losses.clone()
    }

    /// Sums so far.
    pub(super) fn progress(&self) -> Progress {
        let mut total = Progress::default();
        for ((_, src, dst), tally) in &self.tallies {
            total += &pair(src, dst, tally);
        }
        total
    }

    /// The report of what was heard so far.
    pub(super) fn report(&self) -> Report {
        let mut phases: Vec<PhaseReport> = self.phases.iter().map(|name| phase_named(name)).collect();
        for ((phase, src, dst), tally) in &self.tallies {
            if let Some(phase) = phases.get_mut(*phase) {
                let pair = pair(src, dst, tally);
                phase.total += &pair;
                phase.pairs.push(pair);
            }
        }
        Report {
            phases,
            losses: self.losses(),
            total: self.progress(),
            longest_stall_ms: self.stalls_ms.clone(),
        }
    }
}

fn pair(src: &str, dst: &str, tally: &Tally) -> Pair {
    Pair { src: src.to_owned(), dst: dst.to_owned(), udp: tally.udp, tcp: tally.tcp, broken: tally.broken }
}

fn phase_named(name: &str) -> PhaseReport {
    PhaseReport { name: name.to_owned(), ..PhaseReport::default() }
}
