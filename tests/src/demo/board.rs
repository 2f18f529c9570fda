//! Live progress on stderr: a line per node on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::strategy::Phase;
use crate::probe::{Gauge, Progress};

/// How often the live lines are drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

/// Where the demonstration says what it does.
#[derive(Debug)]
pub struct Board {
    shared: Arc<BoardCore>,
    painter: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct BoardCore {
    began: Instant,
    over: AtomicBool,
    /// Whether it is not to be read.
    silent: bool,
    /// Only on a terminal.
    screen: Option<MultiProgress>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    title: String,
    lines: BTreeMap<String, NodeLine>,
    gauge: Option<Gauge>,
    summary: Option<ProgressBar>,
}

/// What is known of one node.
#[derive(Debug, Default)]
struct NodeLine {
    doing: String,
    /// Pods on old alone, on both networks, on new alone.
    pods: [usize; 3],
    bar: Option<ProgressBar>,
}

impl Board {
    /// Live where stderr is a terminal, else plain.
    pub fn new() -> Board {
        Board::with(false)
    }

    /// Tells nothing, for those who only want the report.
    pub fn silent() -> Board {
        Board::with(true)
    }

    fn with(silent: bool) -> Board {
        let screen = (!silent && std::io::stderr().is_terminal()).then(MultiProgress::new);
        let live = screen.is_some();
        let shared = Arc::new(BoardCore {
            began: Instant::now(),
            over: AtomicBool::new(false),
            silent,
            screen,
            state: Mutex::default(),
        });
        let painter = live.then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.paint_until_over())
        });
        Board { shared, painter }
    }

    /// Begins with a cluster of nodes `n1` to `nCOUNT`; the lines of the one before go.
    pub fn cluster(&self, title: &str, count: u8) {
        self.clear();
        {
            let mut state = self.shared.state();
            title.clone_into(&mut state.title);
            for number in 1..=count {
                let line =
                    NodeLine { doing: "starts".to_owned(), bar: self.shared.bar(), ..NodeLine::default() };
                state.lines.insert(format!("n{number}"), line);
            }
            state.summary = self.shared.bar();
        }
        self.shared.paint();
    }

    /// Counts probes by this gauge from now on.
    pub fn watch(&self, gauge: Gauge) {
        self.shared.state().gauge = Some(gauge);
    }

    /// A node begins something.
    pub fn node(&self, name: &str, doing: &str) {
        let pods = {
            let mut state = self.shared.state();
            let line = state.lines.entry(name.to_owned()).or_default();
            doing.clone_into(&mut line.doing);
            line.pods_in_words()
        };
        if self.shared.screen.is_none() {
            self.say(&format!("{name} -> {doing} ({pods})"));
        }
    }

    /// What a node does, for its live line alone.
    pub fn doing(&self, name: &str, doing: &str) {
        let mut state = self.shared.state();
        doing.clone_into(&mut state.lines.entry(name.to_owned()).or_default().doing);
    }

    /// In which phases the pods of a node were made.
    pub fn pods(&self, name: &str, phases: impl Iterator<Item = Phase>) {
        let mut pods = [0; 3];
        for phase in phases {
            pods[match phase {
                Phase::Old => 0,
                Phase::BothOld | Phase::BothNew => 1,
                Phase::New => 2,
            }] += 1;
        }
        self.shared.state().lines.entry(name.to_owned()).or_default().pods = pods;
    }

    /// Tells a milestone.
    pub fn say(&self, text: &str) {
        if self.shared.silent {
            return;
        }
        let (title, probes) = {
            let state = self.shared.state();
            (state.title.clone(), state.gauge.as_ref().map(Gauge::progress))
        };
        let seconds = self.shared.began.elapsed().as_secs_f64();
        match &self.shared.screen {
            Some(screen) => {
                let _terminal_gone = screen.println(format!("{seconds:6.1} s  {title:<7} {text}"));
            }
            None => {
                let probes =
                    probes.map(|probes| format!("  [{}]", probes_in_words(probes))).unwrap_or_default();
                eprintln!("{seconds:6.1} s  {title:<7} {text}{probes}");
            }
        }
    }

    /// Takes the live lines away; what was said stays.
    pub fn clear(&self) {
        let mut state = self.shared.state();
        for line in std::mem::take(&mut state.lines).into_values() {
            if let Some(bar) = line.bar {
                bar.finish_and_clear();
            }
        }
        if let Some(bar) = state.summary.take() {
            bar.finish_and_clear();
        }
        state.gauge = None;
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.clear();
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(painter) = self.painter.take() {
            painter.thread().unpark();
            let _panicked = painter.join();
        }
    }
}

impl BoardCore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bar(&self) -> Option<ProgressBar> {
        let style =
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        self.screen.as_ref().map(|screen| screen.add(ProgressBar::new_spinner().with_style(style)))
    }

    fn paint_until_over(&self) {
        while !self.over.load(Ordering::Relaxed) {
            self.paint();
            std::thread::park_timeout(REDRAW);
        }
    }

    fn paint(&self) {
        let state = self.state();
        for (name, line) in &state.lines {
            if let Some(bar) = &line.bar {
                bar.set_message(format!("  {name}  {:<11}  {}", line.doing, line.pods_in_words()));
                bar.tick();
            }
        }
        if let Some(bar) = &state.summary {
            let probes = state.gauge.as_ref().map(|gauge| probes_in_words(gauge.progress()));
            let seconds = self.began.elapsed().as_secs();
            bar.set_message(format!("  {}, {seconds} s, {}", state.title, probes.unwrap_or_default()));
            bar.tick();
        }
    }
}

impl NodeLine {
    fn pods_in_words(&self) -> String {
        let [old, both, new] = self.pods;
        format!("pods on old {old}, both {both}, new {new}")
    }
}

fn probes_in_words(probes: Progress) -> String {
    let late = if probes.late > 0 { format!(", {} late", probes.late) } else { String::new() };
    format!("probes {}, lost {}{late}", probes.sent, probes.lost)
}
