//! A pod's network namespace is gone, or its path leads to another one.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::failures::unmount_netns;
use crate::spied::SpyScene;

pub(crate) fn a_netns_that_is_unmounted_leaves_nothing() -> Result<()> {
    let scene = SpyScene::new()?;
    for phase in ["old", "both-old", "both-new", "new"] {
        scene.policy(phase, json!({}))?;
        let pod = scene.run(&format!("pod-{phase}"))?;
        unmount_netns(&scene, &pod)?;
        scene.end(&pod)?;
        let calls = scene.log().calls()?;
        let dels: Vec<_> =
            calls.iter().filter(|call| call.verb() == "DEL" && call.var("CNI_CONTAINERID") == pod).collect();
        ensure!(!dels.is_empty() && dels.iter().all(|del| del.var("CNI_NETNS").is_empty()), "{dels:?}");
        scene.expect_nothing()?;
    }
    Ok(())
}

/// Puts another pod's network namespace at the path of a sandbox's.
fn swap(scene: &SpyScene, from: &str, to: &str) -> Result<()> {
    // Asked first: containerd removes the file of a netns that it finds unmounted.
    let (from, to) = (scene.cri().status(from)?.netns, scene.cri().status(to)?.netns);
    let line: [&Path; 3] = ["umount".as_ref(), "--lazy".as_ref(), &from];
    scene.node().run(&line)?;
    let line: [&Path; 4] = ["mount".as_ref(), "--bind".as_ref(), &to, &from];
    scene.node().run(&line).map(drop)
}

fn has_link(scene: &SpyScene, id: &str, ifname: &str) -> Result<bool> {
    let netns = scene.cri().status(id)?.netns;
    Ok(scene.node().run_in(&netns, &["ip", "link", "show", ifname]).is_ok())
}

/// The contrast of the next: a DEL goes by the path, and takes another pod's interface.
pub(crate) fn without_us_a_reused_path_costs_another_pod_its_interface() -> Result<()> {
    let scene = SpyScene::bare()?;
    let (pod, other) = (scene.run("pod")?, scene.run("other")?);
    swap(&scene, &pod, &other)?;
    scene.cri().stop(&pod)?;
    ensure!(!has_link(&scene, &other, "eth0")?, "the other pod kept its interface");
    Ok(())
}

/// A record knows the namespace itself, not only its path.
pub(crate) fn a_reused_path_leaves_the_other_pod_alone() -> Result<()> {
    let scene = SpyScene::new()?;
    for (phase, ifnames) in [("old", vec!["eth0"]), ("both-old", vec!["eth0", "net1"])] {
        scene.policy(phase, json!({}))?;
        let (pod, other) = (scene.run(&format!("pod-{phase}"))?, scene.run(&format!("other-{phase}"))?);
        swap(&scene, &pod, &other)?;
        scene.end(&pod)?;
        for ifname in &ifnames {
            ensure!(has_link(&scene, &other, ifname)?, "{phase}: the other pod lost {ifname}");
        }
        let netns = scene.cri().status(&other)?.netns;
        scene.node().ping_from(&netns, "10.244.1.1")?;
        scene.expect(1, ifnames.len() - 1, 1)?;
        scene.end(&other)?;
        scene.expect_nothing()?;
    }
    Ok(())
}
