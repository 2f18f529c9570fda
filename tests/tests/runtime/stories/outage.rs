//! Our conf is away while pods end.

use anyhow::{Result, bail, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::CONF_DIR;
use lab::runtime::containerd::Options;
use serde_json::json;

use crate::spied::SpyScene;

const OURS: &str = "01-crossfade.conflist";

/// Alone in the runtime's directory: while it is away containerd refuses every Stop, and keeps the sandbox.
pub(crate) fn a_stop_without_any_conf_is_refused_until_it_is_repaired() -> Result<()> {
    let options = Options { conf_dir: "/run/conf".into(), ..Options::default() };
    let scene = SpyScene::with(options, false)?;
    let (usual, private) = (scene.outside(CONF_DIR).join(OURS), scene.outside("/run/conf").join(OURS));
    scene.node().write(format!("/run/conf/{OURS}"), std::fs::read(&usual)?)?;
    std::fs::remove_file(&usual)?;
    scene.expect_loaded("crossfade")?;
    for phase in ["old", "both-new"] {
        scene.policy(phase, json!({}))?;
        let pod = scene.run(&format!("pod-{phase}"))?;
        std::fs::rename(&private, private.with_extension("away"))?;
        until("the end of NetworkReady", LIMIT, || Ok((!scene.cri().network_ready()?.0).then_some(())))?;
        let Err(error) = scene.cri().stop(&pod) else { bail!("{phase}: Stop succeeded without a conf") };
        ensure!(format!("{error:#}").contains("cni plugin not initialized"), "{error:#}");
        ensure!(scene.kept()? == [pod.clone()] && scene.crossfade.records()?.len() == 1, "{phase}");
        scene.run_expecting(&["install", "--conf-dir", "/run/conf"], 0)?;
        scene.expect_loaded("crossfade")?;
        scene.end(&pod)?;
        scene.expect_nothing()?;
        std::fs::remove_file(private.with_extension("away"))?;
    }
    Ok(())
}

/// Beside other confs: while ours is away containerd takes the next one and asks the wrong plugin. The record outlives
/// that, and the sweep asks the right one.
pub(crate) fn a_del_that_went_past_us_is_made_up_for_by_the_sweep() -> Result<()> {
    let scene = SpyScene::new()?;
    scene.policy("old", json!({ "gc": { "graceSeconds": 0 } }))?;
    let (pod, living) = (scene.run("pod")?, scene.run("living")?);
    let ours = scene.outside(CONF_DIR).join(OURS);
    std::fs::rename(&ours, ours.with_extension("away"))?;
    scene.expect_loaded("spy-new")?;
    scene.end(&pod)?;
    let calls = scene.calls_for(&pod)?;
    ensure!(!calls.contains(&"spy-old DEL eth0".to_owned()), "{calls:?}");
    scene.expect(2, 0, 2)?;
    scene.run_expecting(&["install"], 0)?;
    scene.expect_loaded("crossfade")?;
    let swept = scene.run_expecting(&["unit", "sweep"], 0)?;
    ensure!(swept.lines().filter(|line| line.starts_with("close")).count() == 1, "{swept}");
    ensure!(scene.calls_for(&pod)?.last().is_some_and(|call| call == "spy-old DEL eth0"), "{calls:?}");
    scene.end(&living)?;
    scene.expect_nothing()
}
