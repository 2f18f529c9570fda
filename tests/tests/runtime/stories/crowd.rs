//! As many pods as a node holds, all at once.

use std::collections::BTreeSet;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use serde_json::json;

use crate::spied::SpyScene;

/// Pods that kubelet allows on a node unless it is configured otherwise.
const PODS: usize = 110;

/// Does this for every item at once, and returns every outcome.
fn at_once<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> Result<R> + Sync) -> Vec<Result<R>> {
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = items.iter().map(|item| scope.spawn(move || act(item))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|outcome| outcome.unwrap_or_else(|_| Err(anyhow!("a caller panicked")))).collect()
    })
}

/// The outcomes of those that succeeded, if all did.
fn all<T>(what: &str, outcomes: Vec<Result<T>>) -> Result<Vec<T>> {
    let (mut done, mut errors) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(value) => done.push(value),
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    ensure!(
        errors.is_empty(),
        "{what}: {} of {} failed: {:#?}",
        errors.len(),
        errors.len() + done.len(),
        &errors[..errors.len().min(5)]
    );
    Ok(done)
}

/// Runs, stops and removes so many pods at once: on old, on new and on both.
fn crowd(old: usize, new: usize, both: usize) -> Result<()> {
    let scene = SpyScene::new()?;
    let rules = json!([{ "pod": "new-*", "attach": "new" }, { "pod": "both-*", "attach": "both" }]);
    scene.policy("old", json!({ "rules": rules, "both": { "primary": "new" } }))?;
    let named = |network: &str, count| -> Vec<String> {
        (0..count).map(|number| format!("{network}-{number}")).collect()
    };
    let names: Vec<String> = [named("old", old), named("new", new), named("both", both)].concat();
    let pods = all("RunPodSandbox", at_once(&names, |name| scene.run(name)))?;
    let addresses = all("PodSandboxStatus", at_once(&pods, |pod| Ok(scene.cri().status(pod)?.ip)))?;
    let addresses: BTreeSet<_> = addresses.into_iter().flatten().collect();
    ensure!(addresses.len() == pods.len(), "{} addresses for {} pods", addresses.len(), pods.len());
    scene.expect(old + both, new + both, pods.len())?;
    all("StopPodSandbox", at_once(&pods, |pod| scene.cri().stop(pod)))?;
    scene.expect(0, 0, 0)?;
    all("RemovePodSandbox", at_once(&pods, |pod| scene.cri().remove(pod)))?;
    let calls = scene.log().calls()?;
    let count = |verb: &str| calls.iter().filter(|call| call.verb() == verb).count();
    let expected = old + new + 2 * both;
    ensure!(
        count("ADD") == expected && count("DEL") == expected,
        "{} ADDs and {} DELs, expected {expected} of each",
        count("ADD"),
        count("DEL")
    );
    scene.expect_nothing()
}

/// A third of them on each network, and a third on both.
pub(crate) fn a_node_full_of_pods() -> Result<()> {
    crowd(37, 37, 36)?;
    // Each alone, where there is time.
    if std::env::var_os(crate::SOAK_MINUTES).is_some() {
        crowd(PODS, 0, 0)?;
        crowd(0, PODS, 0)?;
        crowd(0, 0, PODS)?;
    }
    Ok(())
}
