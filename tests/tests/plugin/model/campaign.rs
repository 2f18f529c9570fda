//! Many histories from many seeds, side by side; a failure is shrunk and printed so that it can be played again.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::draw;
use crate::history::History;
use crate::play::play;
use crate::real::play_real;
use crate::stage::{Programs, own_mounts};
use crate::tally::Tally;

/// Players side by side: the stubs' programs keep that many cores busy.
const PLAYERS: usize = 2;

/// Most histories that are tried in order to make a failing one smaller.
const TRIES: usize = 200;

/// Which histories are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One thing after the other.
    OneByOne,
    /// Calls at once.
    AtOnce,
    /// Real networks.
    Real,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::OneByOne, Self::AtOnce, Self::Real];

    /// Its name in seeds.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one-by-one",
            Self::AtOnce => "at-once",
            Self::Real => "real",
        }
    }
}

impl Kind {
    fn play(self, history: &History, programs: &Programs, boot_file: &Path, tally: &mut Tally) -> Result<()> {
        match self {
            Self::OneByOne | Self::AtOnce => play(history, programs, boot_file, tally),
            Self::Real => play_real(history, programs, boot_file, tally),
        }
    }
}

/// How long a campaign goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// The seed of its first history; the others count from there.
    pub(crate) first_seed: u64,
    /// Most histories.
    pub(crate) histories: u64,
    /// Most steps.
    pub(crate) steps: u64,
    /// No history begins after this time.
    pub(crate) time: Duration,
}

/// Plays histories until the extent is used up; what they did, or the first failure.
///
/// # Errors
/// The seed, the shrunk history and where it parts from the reference.
pub(crate) fn run(kind: Kind, extent: Extent, programs: &Programs) -> Result<Tally> {
    let began = Instant::now();
    let (next, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Tally::default());
    let failure = Mutex::new(None);
    let player = || -> Result<()> {
        let (_boot_dir, boot_file) = own_mounts()?;
        while !done.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let steps = total.lock().map(|tally| tally.steps()).unwrap_or_default();
            if number >= extent.histories || steps >= extent.steps || began.elapsed() >= extent.time {
                break;
            }
            let mut tally = Tally::of_one();
            let seed = extent.first_seed.wrapping_add(number);
            let outcome = play_seed(
                kind,
                seed,
                &mut |history, tally| kind.play(history, programs, &boot_file, tally),
                &mut tally,
            );
            if let Ok(mut total) = total.lock() {
                total.add(&tally);
            }
            outcome.inspect_err(|_| done.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                if let Err(error) = player()
                    && let Ok(mut failure) = failure.lock()
                {
                    failure.get_or_insert(error);
                }
            });
        }
    });
    let last = next.load(Ordering::Relaxed).min(extent.histories);
    eprintln!("{}: seeds {} and the {last} from there", kind.name(), extent.first_seed);
    match failure.into_inner().ok().flatten() {
        Some(error) => Err(error),
        None => total.into_inner().map_err(|_| anyhow::anyhow!("a player panicked")),
    }
}

/// Draws the history of a seed, plays it, and shrinks it if it fails.
fn play_seed(
    kind: Kind,
    seed: u64,
    play: &mut dyn FnMut(&History, &mut Tally) -> Result<()>,
    tally: &mut Tally,
) -> Result<()> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let strategy = match kind {
        Kind::OneByOne => draw::one_by_one().boxed(),
        Kind::AtOnce => draw::at_once().boxed(),
        Kind::Real => draw::real().boxed(),
    };
    let mut tree = strategy.new_tree(&mut runner).map_err(|why| anyhow::anyhow!("draw a history: {why}"))?;
    let Err(error) = play(&tree.current(), tally) else { return Ok(()) };
    eprintln!("{} seed {seed} fails, shrinking: {error:#}", kind.name());
    let (smallest, why) = shrink(tree.as_mut(), error, play);
    bail!(
        "seed {name}:{seed} fails. Again: CROSSFADE_MODEL_SEED={name}:{seed}; or keep this history in tests/tests/plugin/model/regressions/ or \
         name it in CROSSFADE_MODEL_HISTORY:\n{smallest}\nwhy: {why:#}",
        name = kind.name()
    )
}

/// The smallest history that still fails, and how.
fn shrink(
    tree: &mut dyn ValueTree<Value = History>,
    error: anyhow::Error,
    play: &mut dyn FnMut(&History, &mut Tally) -> Result<()>,
) -> (History, anyhow::Error) {
    let (mut smallest, mut why) = (tree.current(), error);
    let mut more = tree.simplify();
    for _ in 0..TRIES {
        if !more {
            break;
        }
        match play(&tree.current(), &mut Tally::default()) {
            Err(error) => {
                (smallest, why) = (tree.current(), error);
                more = tree.simplify();
            }
            Ok(()) => more = tree.complicate(),
        }
    }
    (smallest, why)
}

/// Plays one seed, `KIND:NUMBER`.
///
/// # Errors
/// As [`run`].
pub(crate) fn replay(seed: &str, programs: &Programs) -> Result<Tally> {
    let (name, number) = seed.split_once(':').context("a seed is KIND:NUMBER")?;
    let kind =
        Kind::ALL.into_iter().find(|kind| kind.name() == name).with_context(|| format!("no kind {name}"))?;
    let first_seed = number.parse().with_context(|| format!("the number of seed {seed}"))?;
    run(kind, Extent { first_seed, histories: 1, steps: u64::MAX, time: Duration::MAX }, programs)
}

/// Plays one history as it is written down.
///
/// # Errors
/// Where it parts from the reference.
pub(crate) fn replay_history(kind: Kind, text: &str, programs: &Programs) -> Result<()> {
    let history: History = serde_json::from_str(text).context("read a history")?;
    let played = std::thread::scope(|scope| {
        let player = scope.spawn(|| -> Result<()> {
            let (_boot_dir, boot_file) = own_mounts()?;
            kind.play(&history, programs, &boot_file, &mut Tally::default())
        });
        player.join()
    });
    played.map_err(|_| anyhow::anyhow!("the player panicked"))?
}
