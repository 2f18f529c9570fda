//! A containerd that dies in the middle of an ADD.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::host::scratch::files;
use lab::runtime::cri::{Cri, Sandbox};
use lab::standin::stub::{Gate, Reply};
use serde_json::json;

use crate::spied::{SpyScene, passing};

/// Kills containerd while the ADD of a pod called `cut` waits in old's spy, and returns the sandbox's id.
fn cut(scene: &mut SpyScene, gate: &Gate, ifname: &str) -> Result<String> {
    scene.script(&scene.old, &passing().on_pod("cut", "ADD", vec![Reply::pass().behind(gate)]))?;
    scene.log().clear()?;
    let socket = scene.containerd.socket();
    let caller = std::thread::spawn(move || Cri::new(&socket)?.run_sandbox(&Sandbox::new("cut")));
    let call = scene.log().wait_for(&format!("spy-old ADD {ifname}"), 1)?;
    scene.containerd.kill()?;
    let Ok(answer) = caller.join() else { bail!("a caller panicked") };
    ensure!(answer.is_err(), "a sandbox ran on a containerd that was gone");
    Ok(call.var("CNI_CONTAINERID").to_owned())
}

/// The ADD is still at work when the DEL comes: it is asked to stop, and undone by whichever of the two gets there. Where containerd sends
/// no DEL, the ADD is undone when it ends, for no runtime waits for its result.
pub(crate) fn a_stop_after_the_restart_ends_the_add() -> Result<()> {
    let mut scene = SpyScene::new()?;
    for (phase, ifname) in [("old", "eth0"), ("both-new", "net1")] {
        let gate = scene.gate(&format!("gate-{phase}"))?;
        // The ADD is asked to stop at half of the DEL's time.
        scene.policy(phase, json!({ "deadlines": { "delSeconds": 10 } }))?;
        let id = cut(&mut scene, &gate, ifname)?;
        scene.containerd.start_again()?;
        ensure!(scene.kept()? == [id.clone()], "{phase}: containerd lists {:?}", scene.kept()?);
        ensure!(scene.crossfade.records()?.len() == 1, "{phase}: {:?}", scene.crossfade.records()?);
        scene.end(&id).with_context(|| phase.to_owned())?;
        let calls = scene.calls_for(&id)?;
        if scene.containerd.release().sends_no_del_for_unfinished_adds() {
            ensure!(calls.iter().all(|call| call.contains(" ADD ")), "{phase}: {calls:?}");
            gate.open()?;
            until("the record's end", LIMIT, || Ok(scene.crossfade.records()?.is_empty().then_some(())))?;
            scene.expect_nothing().with_context(|| phase.to_owned())?;
            continue;
        }
        let del = format!("spy-old DEL {ifname}");
        ensure!(
            calls.last() == Some(&del) && calls.iter().filter(|call| **call == del).count() == 1,
            "{calls:?}"
        );
        scene.expect_nothing().with_context(|| phase.to_owned())?;
        gate.open()?;
    }
    Ok(())
}

/// The ADD ends by itself, and no runtime waits for its result: it is undone at once, and the DEL after the restart calls no delegate.
pub(crate) fn an_add_that_no_runtime_waits_for_is_undone() -> Result<()> {
    let mut scene = SpyScene::new()?;
    for (phase, ifname) in [("old", "eth0"), ("both-old", "eth0")] {
        scene.policy(phase, json!({}))?;
        let gate = scene.gate(&format!("gate-{phase}"))?;
        let id = cut(&mut scene, &gate, ifname)?;
        gate.open()?;
        until("the record's end", LIMIT, || Ok(scene.crossfade.records()?.is_empty().then_some(())))?;
        scene.expect(0, 0, 0).with_context(|| phase.to_owned())?;
        scene.containerd.start_again()?;
        let before = scene.calls_for(&id)?;
        scene.end(&id)?;
        ensure!(scene.calls_for(&id)? == before, "{phase}: {:?}", scene.calls_for(&id)?);
        scene.expect_nothing().with_context(|| phase.to_owned())?;
    }
    Ok(())
}

/// The DEL never comes, for the restarted containerd knows nothing of the sandbox: the sweep closes what is on record.
pub(crate) fn what_is_never_deleted_is_swept() -> Result<()> {
    let mut scene = SpyScene::new()?;
    for (phase, netns_gone) in [("old", false), ("both-old", true)] {
        scene.policy(phase, json!({ "gc": { "graceSeconds": 0 } }))?;
        // Containerd's list is not believed while it is empty and a netns of ours is alive.
        let living = scene.run("living")?;
        let gate = scene.gate(&format!("gate-{phase}"))?;
        let id = cut(&mut scene, &gate, "eth0")?;
        // The shim goes with containerd, as in a unit whose processes are all killed; its delegate waits on.
        scene.kill_shims()?;
        scene.containerd.start_again()?;
        scene.containerd.forget(&id)?;
        scene.containerd.restart()?;
        ensure!(scene.kept()? == [living.clone()], "{phase}: containerd lists {:?}", scene.kept()?);
        if netns_gone {
            let spared = scene.cri().status(&living)?.netns;
            for mount in files(&scene.outside("/run/netns"))? {
                let name = mount.file_name().context("a name")?;
                if Some(name) != spared.file_name() {
                    let netns = Path::new("/run/netns").join(name);
                    scene.node().run(&["umount".as_ref(), "--lazy".as_ref(), netns.as_os_str()])?;
                }
            }
        }
        let swept = scene.run_expecting(&["unit", "sweep"], 0)?;
        ensure!(swept.lines().filter(|line| line.starts_with("close")).count() == 1, "{swept}");
        let calls = scene.log().calls()?;
        let dels: Vec<_> =
            calls.iter().filter(|call| call.verb() == "DEL" && call.var("CNI_CONTAINERID") == id).collect();
        let networks = if phase == "old" { 1 } else { 2 };
        ensure!(dels.len() == networks, "{phase}: {:?}", scene.calls_for(&id)?);
        ensure!(dels.iter().all(|call| call.var("CNI_NETNS").is_empty() == netns_gone), "{phase}: {dels:?}");
        scene.end(&living)?;
        scene.expect(0, 0, 0).with_context(|| phase.to_owned())?;
        gate.open()?;
    }
    Ok(())
}
