//! graduate.yaml after pod.yaml: pods live on, and the node is left. [`crate::host`] has it after host.yaml.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::install::daemonset::manifest;
use libtest_mimic::Trial;

use crate::NEEDS;
use crate::removal::expect_gone;
use crate::running::{Running, settings};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![NEEDS; living_pods_keep_their_network_when_a_pod_takes_crossfade_away]
}

const SET_ASIDE: &str = "/var/lib/crossfade/set-aside";

fn living_pods_keep_their_network_when_a_pod_takes_crossfade_away() -> Result<()> {
    let scene = Running::new()?;
    let before = scene.run("before")?;
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, &settings("old")?)?;
    pod.run()?;
    scene.expect_loaded("crossfade")?;
    pod.end()?;

    let set = manifest::daemonset("graduate.yaml")?;
    let mut graduation = kubelet.pod(&set, &settings("old")?)?;
    for (words, way_on) in [
        (
            "the phase is old",
            &mut (|| scene.run_expecting(&["policy", "set", "new", "--runtime"], 0).map(drop))
                as &mut dyn FnMut() -> Result<()>,
        ),
        ("1 sandboxes from before Crossfade are on another network", &mut || scene.end(&before)),
    ] {
        ensure!(graduation.run_init("graduate")? == 3, "{}", graduation.logs());
        ensure!(graduation.log("graduate")?.contains(words), "{}", graduation.logs());
        scene.expect_loaded("crossfade")?;
        way_on()?;
    }

    let pods = [scene.run("client")?, scene.run("server")?];
    let [client, server] = pods.each_ref().map(|id| scene.cri().status(id));
    let (client, address) = (client?, server?.ip.context("an address")?.to_string());
    let reach = || scene.node().ping_from(&client.netns, &address);
    reach()?;
    ensure!(graduation.run_init("graduate")? == 0, "{}", graduation.logs());
    scene.expect_loaded("bridge")?;
    // The pod is deleted between the two: the next one goes on.
    graduation.end()?;
    let mut graduation = kubelet.pod(&set, &settings("old")?)?;
    graduation.run()?;
    graduation.until_ready()?;
    reach()?;
    ensure!(scene.leases()? == (0, 2), "living pods were touched: {:?}", scene.leases()?);
    // What only Crossfade's own records would tell is for people, and so are settings that were changed since.
    let aside = scene.outside(SET_ASIDE);
    for kept in ["graduate/journal.jsonl", "settings/policy.json", "settings/node.json"] {
        ensure!(aside.join(kept).exists(), "{kept} is not kept: {}", graduation.logs());
    }
    for emptied in [false, true] {
        if emptied {
            fs::remove_dir_all(&aside)?;
            expect_gone(&scene).with_context(|| graduation.logs())?;
        }
        // A pod that is started again finds nothing to do.
        for init in ["graduate", "remove"] {
            ensure!(graduation.run_init(init)? == 0, "{}", graduation.logs());
        }
    }
    let next = scene.run("next")?;
    pods.iter().chain([&next]).try_for_each(|id| scene.end(id))?;
    ensure!(scene.leases()? == (0, 0), "a DEL did not reach the plugin: {:?}", scene.leases()?);
    graduation.end()
}
