//! kubelet and its runtime: waits for the network, then runs pods.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Event, POLICIES, Pod, Record};
use crate::boot::furniture::PODS;
use crate::runtime::cri::{Cri, Sandbox};

/// How often the runtime is asked; kubelet takes five seconds.
const PERIOD: Duration = Duration::from_millis(20);
/// How many times as long as that it waits after a pod that came to nothing.
const BACK_OFF: u32 = 5;

/// Runs the pods of the list until told to end.
pub(super) fn run(runtime: &Path, record: &Record) -> Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, over.clone()).context("SIGTERM")?;
    let (start, cri) = (Instant::now(), Cri::new(runtime)?);
    let names = fs::read_to_string(PODS).unwrap_or_default();
    let mut pending: Vec<(&str, u32)> = names.lines().map(|name| (name, 0)).collect();
    let (mut known, mut adopted) = (None, false);
    while !over.load(Ordering::Relaxed) {
        // No answer is no network, but nothing that the runtime said.
        if let Ok(answer) = cri.network_ready() {
            if known.as_ref() != Some(&answer) {
                let (ready, message) = answer.clone();
                record.add(&Event::Network { ready, message })?;
                known = Some(answer);
            }
            if !adopted {
                adopted = adopt(&cri, &mut pending);
            }
            if adopted && known.as_ref().is_some_and(|(ready, _)| *ready) {
                attempt(&cri, &mut pending, (start, record))?;
                if !pending.is_empty() {
                    std::thread::sleep(PERIOD * BACK_OFF);
                }
            }
        }
        std::thread::sleep(PERIOD);
    }
    Ok(())
}

/// Takes the pods off the list that run already, as after a restart of kubelet alone; whether the runtime answered.
fn adopt(cri: &Cri, pending: &mut Vec<(&str, u32)>) -> bool {
    let Ok(listed) = cri.list() else {
        return false;
    };
    pending.retain(|(name, _)| !listed.iter().any(|pod| pod.ready && pod.name == *name));
    // Dead sandboxes of an earlier boot keep their names: another attempt is another name.
    for (_, attempt) in pending.iter_mut() {
        *attempt += u32::try_from(listed.len()).unwrap_or(u32::MAX / 2);
    }
    true
}

/// Tries each pending pod once.
fn attempt(cri: &Cri, pending: &mut Vec<(&str, u32)>, (start, record): (Instant, &Record)) -> Result<()> {
    let mut remaining = Vec::new();
    for (name, attempt) in std::mem::take(pending) {
        let mut sandbox = Sandbox::new(name);
        sandbox.attempt = attempt;
        let before = policy();
        let outcome = cri.run_sandbox(&sandbox).and_then(|id| cri.status(&id));
        let (addresses, error) = match outcome {
            Ok(status) => {
                let all = status.ip.into_iter().chain(status.additional_ips);
                (all.map(|address| address.to_string()).collect(), None)
            }
            Err(error) => {
                remaining.push((name, attempt + 1));
                (Vec::new(), Some(format!("{error:#}")))
            }
        };
        let after_millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let policies = vec![before, policy()];
        record.add(&Event::Pod(Pod { name: name.to_owned(), addresses, error, policies, after_millis }))?;
    }
    *pending = remaining;
    Ok(())
}

/// `attach` and `both.primary` of the policy, as `both-new`.
fn policy() -> String {
    let text = POLICIES.into_iter().find_map(|place| fs::read(place).ok()).unwrap_or_default();
    let policy: Value = serde_json::from_slice(&text).unwrap_or_default();
    match policy["attach"].as_str() {
        Some("both") => format!("both-{}", policy["both"]["primary"].as_str().unwrap_or("old")),
        other => other.unwrap_or_default().to_owned(),
    }
}
