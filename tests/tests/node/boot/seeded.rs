//! Real boots by seed: agents in a random order, a random time late, under a random phase.
//!
//! The seed is `CROSSFADE_SEED`, else the clock; it is printed. A failure names its boot, and `CROSSFADE_BOOT` plays one alone.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::build::preflight::trial;
use libtest_mimic::Trial;
use serde_json::json;

use crate::NEEDS;

/// How many boots; so many that each phase meets each order a few times.
const BOOTS: u64 = 30;
/// Longest delay of an agent, in hundredths of a second: longer than kubelet and runtime take to come up.
const LONGEST: u64 = 80;
const PHASES: [(&str, &str); 4] = [("old", "old"), ("both", "old"), ("both", "new"), ("new", "old")];
const PODS: usize = 3;

pub(crate) fn trials() -> Vec<Trial> {
    let seed = seed();
    eprintln!("boot: CROSSFADE_SEED={seed}");
    let only: Option<u64> = std::env::var("CROSSFADE_BOOT").ok().and_then(|text| text.parse().ok());
    let boots = (0..BOOTS).filter(move |boot| only.is_none_or(|only| only == *boot));
    let named = |boot: u64| {
        trial(&format!("seeded_boot_{boot:02}"), NEEDS, move || {
            boot_once(seed, boot).with_context(|| format!("CROSSFADE_SEED={seed} CROSSFADE_BOOT={boot}"))
        })
    };
    boots.map(named).collect()
}

fn seed() -> u64 {
    let given = std::env::var("CROSSFADE_SEED").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    given.unwrap_or_else(now)
}

fn boot_once(seed: u64, boot: u64) -> Result<()> {
    let mut random = Random::new(seed, boot);
    let (attach, primary) = PHASES[usize::try_from(random.below(4))?];
    let expected = match (attach, primary) {
        ("old", _) | ("both", "old") => Network::Old,
        _ => Network::New,
    };
    let mut machine = Machine::new()?;
    furniture::settings(
        &machine,
        &furniture::node_json("private", json!({})),
        &furniture::policy(attach, primary),
    )?;
    for network in Network::ALL {
        let hundredths = u16::try_from(random.below(LONGEST))?;
        furniture::agent(&machine, network, f32::from(hundredths) / 100.0, true)?;
    }
    let names: Vec<String> = (0..PODS).map(|pod| format!("pod-{pod}")).collect();
    machine.write(furniture::PODS, names.join("\n"))?;
    machine.boot()?;
    for pod in machine.until_pods(PODS)? {
        ensure!(
            pod.policies.iter().all(|policy| policy == &pod.policies[0]),
            "the policy was not to change: {pod:?}"
        );
        let first = pod.addresses.first().map(String::as_str).unwrap_or_default();
        ensure!(Network::by_address(first) == Some(expected), "{attach}, primary {primary}: {pod:?}");
    }
    Ok(())
}

/// SplitMix64 (Steele, Lea, Flood 2014): a stream for each boot, so that one can be played alone.
struct Random(u64);

impl Random {
    fn new(seed: u64, boot: u64) -> Self {
        let mut random = Self(seed ^ boot.wrapping_mul(0xA24B_AED4_963E_E407));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
