//! Random histories of a node, through containerd: whatever happens, in the end nothing is left, and no delegate got a DEL without an ADD.
//!
//! A history is drawn from a seed, which is printed when it fails; `CROSSFADE_STORIES_SEED` plays that one again. Without
//! it the same few seeds are played every time, and under `CROSSFADE_SOAK_MINUTES` new ones until the time is over.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::SOAK_MINUTES;
use crate::player::Player;
use crate::step::history;

const SEED: &str = "CROSSFADE_STORIES_SEED";

/// How many histories a short run plays.
const SHORT: u64 = 6;

pub(crate) fn whatever_happens_nothing_is_left() -> Result<()> {
    let variable = |name| std::env::var(name).ok();
    if let Some(seed) = variable(SEED) {
        return play(&mut Player::new()?, seed.parse().context(SEED)?);
    }
    let mut player = Player::new()?;
    let Some(minutes) = variable(SOAK_MINUTES) else {
        (1..=SHORT).try_for_each(|seed| play(&mut player, seed))?;
        return player.expect_changes();
    };
    let minutes: u64 = minutes.parse().context(SOAK_MINUTES)?;
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let first = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut seed = first;
    while Instant::now() < end {
        play(&mut player, seed)?;
        seed += 1;
    }
    println!("{} histories through containerd, seeds {first} to {}", seed - first, seed - 1);
    player.expect_changes()
}

/// Plays one history to its end.
fn play(player: &mut Player, seed: u64) -> Result<()> {
    let steps = history(seed);
    let mut done = Vec::new();
    let mut all = || -> Result<()> {
        player.begin()?;
        for step in &steps {
            done.push(step);
            player.take(step)?;
            player.expect_order()?;
        }
        player.end()
    };
    all().with_context(|| format!("seed {seed} fails, again with {SEED}={seed}; it had come to {done:#?}"))
}
