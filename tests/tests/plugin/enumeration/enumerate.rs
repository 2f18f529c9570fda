//! All points of a situation, on all cores.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    exceptions::never_fails,
    floors::floor,
    play::{play, rehearse},
    point::{Fault, Point, Runtime, Situation, State, Verb},
    share::Share,
    trace::Trace,
};

/// Points played at once: a point mostly waits for its processes.
const WORKERS: usize = 6;

/// Traced runs that are compared: how often a pipe is looked at depends on timing.
const REHEARSALS: usize = 3;

/// Of a situation's points, so many in a hundred may be missed because the call did not come this time.
const MISSED_PERCENT: usize = 10;

/// One line of the table.
#[derive(Debug)]
struct Row {
    situation: Situation,
    calls: usize,
    points: usize,
    hit: usize,
    missed: usize,
    broken: usize,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// What there was to enumerate, one line per situation; empty if there was nothing.
pub(crate) fn table() -> String {
    let rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    if rows.is_empty() {
        return String::new();
    }
    let line = |first: &str, rest: [String; 5]| {
        let [calls, points, hit, missed, broken] = rest;
        format!("{first:<22} {calls:>6} {points:>7} {hit:>7} {missed:>7} {broken:>7}\n")
    };
    let head = ["calls", "points", "hit", "missed", "broken"].map(str::to_owned);
    let mut text = format!("\nplayed: {}\n", Share::of_this_run()) + &line("verb, mode, state", head);
    for row in rows.iter() {
        let numbers =
            [row.calls, row.points, row.hit, row.missed, row.broken].map(|number| number.to_string());
        text += &line(&row.situation.to_string(), numbers);
    }
    let sum = |column: fn(&Row) -> usize| rows.iter().map(column).sum::<usize>().to_string();
    let sums = [
        String::new(),
        sum(|row| row.points),
        sum(|row| row.hit),
        sum(|row| row.missed),
        sum(|row| row.broken),
    ];
    text + &line("all", sums)
}

/// Plays one point by its name and tells what was found.
pub(crate) fn play_point(name: &str) -> Result<ExitCode> {
    let point: Point = name.parse()?;
    let (_, routes) = rehearse(point.situation)?;
    let played = play(&point, &routes)?;
    println!("{point}: {}", if played.hit { "hit" } else { "the call did not come" });
    played.problems.iter().for_each(|problem| println!("  {problem}"));
    let fine = played.hit && played.problems.is_empty();
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays every point of a situation.
pub(crate) fn situation(situation: Situation) -> Result<()> {
    let mut counts: Vec<usize> = Vec::new();
    let mut spans: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let mut routes = String::new();
    let mut overtaken = Vec::new();
    for _ in 0..REHEARSALS {
        let (trace, left) = rehearse(situation)?;
        routes = left;
        let calls = trace.after_start_up()?;
        counts.push(calls.len());
        overtaken = overtakes(situation, &trace);
        for call in calls {
            let span = spans.entry(call.name.clone()).or_insert((call.nth, call.nth));
            *span = (span.0.min(call.nth), span.1.max(call.nth));
        }
    }
    let mut all = points(situation, &spans);
    all.extend(overtaken);
    let share = Share::of_this_run();
    let points: Vec<&Point> = all.iter().filter(|point| share.has(point)).collect();
    let outcomes = Outcomes::default();
    on_all_cores(&points, |point| outcomes.play(point, &routes));
    let broken = outcomes.broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let missed = outcomes.missed.into_inner();
    let row = Row {
        situation,
        calls: counts.iter().copied().max().unwrap_or_default(),
        points: all.len(),
        hit: points.len() - missed - broken.len(),
        missed,
        broken: broken.len(),
    };
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).push(row);
    if !broken.is_empty() {
        bail!("{} of {} points broken:\n{}", broken.len(), points.len(), broken.join("\n"));
    }
    ensure!(
        missed * 100 <= points.len() * MISSED_PERCENT,
        "{missed} of {} points were missed: the calls did not come again; what changes from run to run?",
        points.len()
    );
    let (count, least) = (all.len(), floor(situation));
    ensure!(
        count >= least,
        "{count} points, at least {least} are expected: see tests/tests/plugin/enumeration/floors.rs for how to renew that number"
    );
    Ok(())
}

/// Does something with each of many, several at once.
pub(crate) fn on_all_cores<T: Sync>(all: &[T], act: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(item) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(item);
                }
            });
        }
    });
}

fn points(situation: Situation, spans: &BTreeMap<String, (u32, u32)>) -> Vec<Point> {
    let mut points = Vec::new();
    for (call, (first, last)) in spans {
        for nth in *first..=*last {
            let point = |fault, runtime| Point { situation, call: call.clone(), nth, fault, runtime };
            let is_live = matches!(situation.verb, Verb::Join | Verb::Leave);
            // What follows a kill of a call that ends another's work is that of any call.
            let is_half = is_live && situation.state == State::Half;
            if !is_half {
                points.push(point(Fault::Kill, Runtime::Dels));
            }
            if situation.verb == Verb::Add || (is_live && !is_half) {
                points.push(point(Fault::Kill, Runtime::Forgets));
            }
            if is_live {
                points.push(point(Fault::Kill, Runtime::Retries));
            }
            if never_fails(call).is_none() {
                let then = if is_live { Runtime::Retries } else { Runtime::Dels };
                points.extend(Fault::ERRORS.map(|fault| point(fault, then)));
            }
            if is_live || matches!(situation.verb, Verb::Add | Verb::Del) {
                points.extend(Fault::SIGNALS.map(|fault| point(fault, Runtime::Dels)));
            }
        }
    }
    points
}

/// Calls whose number depends on when delegates write and end: which of them comes next is not known before.
const DEPENDS_ON_TIMING: [&str; 5] = ["read", "poll", "wait4", "sendto", "rt_sigreturn"];

/// Kills of an ADD between the start of a delegate and the first look whether it has ended: there the delegate may be held at
/// its work, so that the runtime's DEL is certain to come in the midst of it. Later the shim would wait for it.
fn overtakes(situation: Situation, trace: &Trace) -> Vec<Point> {
    let mut points = Vec::new();
    let (mut started, mut working) = (0, false);
    for call in trace.calls.iter().filter(|_| situation.verb == Verb::Add) {
        working &= call.name != "wait4";
        if working && !DEPENDS_ON_TIMING.contains(&call.name.as_str()) {
            let runtime = Runtime::Overtakes(started - 1);
            points.push(Point {
                situation,
                call: call.name.clone(),
                nth: call.nth,
                fault: Fault::Kill,
                runtime,
            });
        }
        if call.is_spawn() {
            started += 1;
            working = true;
        }
    }
    points
}

#[derive(Debug, Default)]
struct Outcomes {
    broken: Mutex<Vec<String>>,
    missed: AtomicUsize,
}

impl Outcomes {
    /// Plays a point, twice if its call did not come at first.
    fn play(&self, point: &Point, routes: &str) {
        let mut problems = Vec::new();
        let mut hit = false;
        for _ in 0..2 {
            match play(point, routes).with_context(|| format!("playing {point}")) {
                Ok(played) => {
                    hit |= played.hit;
                    problems.extend(played.problems);
                }
                Err(error) => problems.push(format!("{error:#}")),
            }
            if hit || !problems.is_empty() {
                break;
            }
        }
        if !problems.is_empty() {
            let text = format!("{point}\n    {}", problems.join("\n    "));
            self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        } else if !hit {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}
