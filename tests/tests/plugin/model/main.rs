//! Random histories of the shim against a reference of what it promises.
//!
//! `CROSSFADE_MODEL_SEED=KIND:NUMBER` plays one seed, `CROSSFADE_MODEL_HISTORY=FILE` one history as it was printed (on the standard
//! plugins if the file's name begins with `real`);
//! `CROSSFADE_SOAK_MINUTES` or `CROSSFADE_SOAK_STEPS` make it a long run, which is what `make soak` does. What failed once is kept in
//! `regressions/` and played every time.

mod campaign;
mod draw;
mod history;
mod oracle;
mod play;
mod real;
mod reference;
mod setup;
mod stage;
mod tally;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use campaign::{Extent, Kind, replay, replay_history, run};
use libtest_mimic::{Arguments, Failed, Trial};
use stage::Programs;
use tally::{JOINED, LEFT, OPERATIONS, OUTCOMES, RARE_OUTCOMES, Tally};

/// Histories of a short run; few enough for a minute, enough for every outcome to occur.
const SHORT: [(Kind, u64); 3] = [(Kind::OneByOne, 140), (Kind::AtOnce, 50), (Kind::Real, 32)];

/// Where a short run begins: always with the same seeds, so that a change that breaks something is what broke it.
const FIRST_SEED: u64 = 1;

/// What a trial plays.
type Test = Box<dyn FnOnce(&Programs) -> Result<()> + Send>;

fn main() -> ExitCode {
    match tests() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("model: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn tests() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    let mut arguments = Arguments::from_args();
    // Each has its own players.
    arguments.test_threads = Some(1);
    let trials = trials(arguments.list)?;
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn trials(only_listed: bool) -> Result<Vec<Trial>> {
    let programs = Arc::new(if only_listed { None } else { Some(Programs::install()?) });
    let trial = |name: String, test: Test| {
        let programs = Arc::clone(&programs);
        Trial::test(name, move || {
            let programs = programs.as_ref().as_ref().ok_or("the programs are not installed")?;
            test(programs).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let variable = |name: &str| std::env::var(name).ok();
    if let Some(seed) = variable("CROSSFADE_MODEL_SEED") {
        return Ok(vec![trial(
            format!("seed::{seed}"),
            Box::new(move |programs| replay(&seed, programs).map(drop)),
        )]);
    }
    if let Some(file) = variable("CROSSFADE_MODEL_HISTORY") {
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
        let kind = kind_of(Path::new(&file));
        return Ok(vec![trial(
            "history".into(),
            Box::new(move |programs| replay_history(kind, &text, programs)),
        )]);
    }
    if let Some(extent) = soak(variable("CROSSFADE_SOAK_MINUTES"), variable("CROSSFADE_SOAK_STEPS"))? {
        return Ok(vec![trial("soak".into(), Box::new(move |programs| soaked(extent, programs)))]);
    }
    let mut trials: Vec<Trial> = oracle::TRIALS
        .into_iter()
        .map(|(name, test)| trial(format!("oracle::{name}"), Box::new(move |_programs| test())))
        .collect();
    for (kind, histories) in SHORT {
        let extent = Extent { first_seed: FIRST_SEED, histories, steps: u64::MAX, time: Duration::MAX };
        trials.push(trial(
            format!("short::{}", kind.name()),
            Box::new(move |programs| short(kind, extent, programs)),
        ));
    }
    for path in regressions()? {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let name = format!("regressions::{}", path.file_stem().unwrap_or_default().display());
        let kind = kind_of(&path);
        trials.push(trial(name, Box::new(move |programs| replay_history(kind, &text, programs))));
    }
    Ok(trials)
}

/// Histories that failed once.
fn regressions() -> Result<Vec<PathBuf>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin/model/regressions");
    let entries = std::fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = paths.collect::<Result<_, _>>().context("list the regressions")?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

fn kind_of(file: &Path) -> Kind {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("real") { Kind::Real } else { Kind::OneByOne }
}

fn short(kind: Kind, extent: Extent, programs: &Programs) -> Result<()> {
    let began = Instant::now();
    let tally = run(kind, extent, programs)?;
    eprintln!("{}: {}", kind.name(), tally.report(began.elapsed()));
    match kind {
        Kind::OneByOne => tally.has(&OPERATIONS, &OUTCOMES),
        Kind::AtOnce => tally.has(&["together"], &["ADD ok", "DEL ok", JOINED, LEFT, "GC ok", "CHECK ok"]),
        Kind::Real => tally.has(
            &["killed", "flip", "agent goes", "disk full", "disk read-only", "netns replaced", "reboot"],
            &["ADD ok", "ADD killed", "DEL ok", "JOIN ok", "LEAVE ok", "CHECK ok", "GC ok", "sweep ok"],
        ),
    }
}

/// The extent of each round of a long run, if one is asked for.
fn soak(minutes: Option<String>, steps: Option<String>) -> Result<Option<Extent>> {
    let number = |text: Option<String>| -> Result<Option<u64>> {
        let text = text.filter(|text| !text.is_empty());
        text.map(|text| text.parse().with_context(|| format!("the length of the soak, {text:?}"))).transpose()
    };
    let (minutes, steps) = (number(minutes)?, number(steps)?);
    if minutes.is_none() && steps.is_none() {
        return Ok(None);
    }
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock after 1970")?;
    Ok(Some(Extent {
        first_seed: u64::try_from(seed.as_micros()).unwrap_or_default(),
        histories: u64::MAX,
        steps: steps.unwrap_or(u64::MAX),
        time: minutes.map_or(Duration::MAX, |minutes| Duration::from_secs(minutes * 60)),
    }))
}

/// A long run: half of it one thing after the other, the rest at once and on real networks.
fn soaked(extent: Extent, programs: &Programs) -> Result<()> {
    let began = Instant::now();
    let mut total = Tally::default();
    for (kind, parts) in [(Kind::OneByOne, 2), (Kind::AtOnce, 1), (Kind::Real, 1)] {
        let part = Extent {
            steps: if extent.steps == u64::MAX { u64::MAX } else { extent.steps / 4 * parts },
            time: if extent.time == Duration::MAX {
                Duration::MAX
            } else {
                extent.time / 4 * u32::try_from(parts).unwrap_or(1)
            },
            ..extent
        };
        let round = Instant::now();
        let tally = run(kind, part, programs)?;
        eprintln!("{}: {}", kind.name(), tally.report(round.elapsed()));
        total.add(&tally);
    }
    eprintln!("in all: {}", total.report(began.elapsed()));
    let operations: Vec<&str> = OPERATIONS.into_iter().chain(["together"]).collect();
    let outcomes: Vec<&str> = OUTCOMES.into_iter().chain(RARE_OUTCOMES).collect();
    total.has(&operations, &outcomes)
}
