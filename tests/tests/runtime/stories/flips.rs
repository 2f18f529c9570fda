//! The policy changes between a pod's ADD and its DEL.

use anyhow::{Context, Result, ensure};
use lab::install::crossfade::CONF_DIR;
use serde_json::json;

use crate::spied::SpyScene;

const PHASES: [&str; 4] = ["old", "both-old", "both-new", "new"];

/// What the spies hear of a pod that is run in a phase, first to last; DELs run the other way round.
fn adds(phase: &str) -> &'static [&'static str] {
    match phase {
        "old" => &["spy-old ADD eth0"],
        "both-old" => &["spy-new ADD net1", "spy-old ADD eth0"],
        "both-new" => &["spy-old ADD net1", "spy-new ADD eth0"],
        _ => &["spy-new ADD eth0"],
    }
}

/// Every pod of every phase is deleted in every other one, by the delegates that did its ADD.
pub(crate) fn del_goes_to_the_delegates_that_did_add_for_every_pair_of_phases() -> Result<()> {
    let scene = SpyScene::new()?;
    let mut pods = Vec::new();
    for from in PHASES {
        scene.policy(from, json!({}))?;
        for to in PHASES.into_iter().filter(|to| *to != from) {
            pods.push((from, to, scene.run(&format!("{from}-{to}"))?));
        }
    }
    // 3 pods of old, 3 of new, 6 of both.
    scene.expect(9, 9, 12)?;
    for to in PHASES {
        scene.policy(to, json!({}))?;
        for (from, _, id) in pods.iter().filter(|(_, at, _)| *at == to) {
            scene.end(id).with_context(|| format!("{from} to {to}"))?;
            let dels = adds(from).iter().rev().map(|call| call.replace("ADD", "DEL"));
            let expected: Vec<String> = adds(from).iter().map(|&call| call.to_owned()).chain(dels).collect();
            let calls = scene.calls_for(id)?;
            ensure!(calls == expected, "{from} to {to}: {calls:?}, expected {expected:?}");
        }
    }
    scene.expect_nothing()
}

/// The contrast: without us the plugin whose conf is first in the directory now gets the DEL, says yes, and the address is lost.
pub(crate) fn without_us_del_goes_to_the_plugin_that_is_first_now() -> Result<()> {
    let scene = SpyScene::bare()?;
    let pod = scene.run("pod")?;
    scene.expect(1, 0, 0)?;
    let conf = scene.outside(CONF_DIR).join("10-old.conflist");
    scene.crossfade.network(
        &scene.new,
        &serde_json::from_str(&std::fs::read_to_string(&conf)?.replace("old", "new"))?,
    )?;
    std::fs::remove_file(&conf).context("the conf of old")?;
    scene.expect_loaded("spy-new")?;
    scene.end(&pod)?;
    let calls = scene.calls_for(&pod)?;
    let wrong = calls.iter().filter(|call| *call == "spy-new DEL eth0").count();
    ensure!(wrong >= 1, "{calls:?}");
    ensure!(!calls.contains(&"spy-old DEL eth0".to_owned()), "{calls:?}");
    ensure!(scene.kept()?.is_empty(), "{:?}", scene.kept()?);
    scene.expect(1, 0, 0).context("the lease that leaks")
}
