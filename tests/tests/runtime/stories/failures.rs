//! A delegate that fails: what containerd makes of it, and what becomes of the pod's network.

use anyhow::{Result, bail, ensure};
use lab::standin::stub::Reply;

use crate::spied::{SpyScene, failing_dels, passing};

/// What a delegate may say when its DEL fails, whether the netns is gone by then, and whether containerd, without us, takes
/// it for success.
const WORDS: [(&str, bool, bool); 4] = [
    ("link eth0 not found", false, true),
    ("open /x: no such file or directory", true, true),
    ("open /x: no such file or directory", false, false),
    ("the table is busy", false, false),
];

/// The contrast of the next: failures that differ in their words alone leak.
pub(crate) fn without_us_some_del_errors_leak() -> Result<()> {
    let scene = SpyScene::bare()?;
    let mut leaked = 0;
    for (words, netns_gone, swallowed) in WORDS {
        let pod = scene.run(&format!("pod-{leaked}-{netns_gone}-{swallowed}"))?;
        scene.script(&scene.old, &failing_dels(9, words))?;
        if netns_gone {
            unmount_netns(&scene, &pod)?;
        }
        let stopped = scene.cri().stop(&pod);
        ensure!(stopped.is_ok() == swallowed, "{words}, netns gone: {netns_gone}: {stopped:?}");
        if swallowed {
            scene.cri().remove(&pod)?;
            ensure!(scene.kept()?.is_empty(), "{words}: {:?}", scene.kept()?);
            leaked += 1;
        } else {
            scene.script(&scene.old, &passing())?;
            scene.end(&pod)?;
        }
        scene.script(&scene.old, &passing())?;
        let leases = scene.old.leases(scene.node())?;
        ensure!(leases.len() == leaked, "{words}: leases {leases:?}, expected {leaked} that leaked");
    }
    Ok(())
}

/// With us every failed DEL is an error to containerd, which keeps the sandbox until a DEL succeeds.
pub(crate) fn every_del_error_is_kept_and_retried() -> Result<()> {
    let scene = SpyScene::new()?;
    for (number, (words, netns_gone, _)) in WORDS.into_iter().enumerate() {
        let pod = scene.run(&format!("pod-{number}"))?;
        scene.script(&scene.old, &failing_dels(3, words))?;
        if netns_gone {
            unmount_netns(&scene, &pod)?;
        }
        for attempt in ["first", "second"] {
            let Err(error) = scene.cri().stop(&pod) else {
                bail!("{words}, netns gone: {netns_gone}: the {attempt} StopPodSandbox succeeded");
            };
            ensure!(format!("{error:#}").contains("spy-old"), "{error:#}");
        }
        ensure!(scene.cri().remove(&pod).is_err(), "{words}: RemovePodSandbox succeeded");
        ensure!(scene.kept()? == [pod.clone()], "{words}: {:?}", scene.kept()?);
        scene.expect(1, 0, 1)?;
        scene.end(&pod)?;
        let dels = scene.calls_for(&pod)?.iter().filter(|call| call.contains("DEL")).count();
        ensure!(dels == 4, "{words}: {dels} DELs, expected 3 that fail and 1");
        scene.expect_nothing()?;
    }
    Ok(())
}

/// Only the delegate that failed is asked again.
pub(crate) fn a_del_that_fails_twice_is_asked_for_again_alone() -> Result<()> {
    let scene = SpyScene::new()?;
    // New is attached first, since old, the primary, owns the default route; DELs run the other way round.
    let added = ["spy-new ADD net1", "spy-old ADD eth0", "spy-old DEL eth0", "spy-new DEL net1"];
    for (phase, failing, again) in [
        ("old", "old", "spy-old DEL eth0"),
        ("both-old", "old", "spy-old DEL eth0"),
        ("both-old", "new", "spy-new DEL net1"),
    ] {
        scene.policy(phase, serde_json::json!({}))?;
        let pod = scene.run(&format!("pod-{phase}-{failing}"))?;
        let overlay = if failing == "old" { &scene.old } else { &scene.new };
        scene.script(overlay, &failing_dels(2, "the table is busy"))?;
        let mut expected: Vec<&str> =
            added.into_iter().filter(|call| phase != "old" || call.contains("old")).collect();
        for attempt in ["first", "second"] {
            ensure!(scene.cri().stop(&pod).is_err(), "{phase}, {failing}: the {attempt} Stop succeeded");
            scene.expect_calls(&pod, &expected)?;
            expected.push(again);
            let leases = (usize::from(failing == "old"), usize::from(failing == "new"));
            scene.expect(leases.0, leases.1, 1)?;
        }
        scene.end(&pod)?;
        scene.expect_calls(&pod, &expected)?;
        scene.expect_nothing()?;
    }
    Ok(())
}

/// A failed ADD is undone before containerd hears of it; the DELs that containerd then sends call no delegate.
pub(crate) fn a_failed_add_is_undone_once() -> Result<()> {
    let scene = SpyScene::new()?;
    for (phase, failing, expected) in [
        ("old", "old", vec!["spy-old ADD eth0", "spy-old DEL eth0"]),
        ("both-old", "new", vec!["spy-new ADD net1", "spy-new DEL net1"]),
        (
            "both-old",
            "old",
            vec!["spy-new ADD net1", "spy-old ADD eth0", "spy-old DEL eth0", "spy-new DEL net1"],
        ),
    ] {
        scene.policy(phase, serde_json::json!({}))?;
        let overlay = if failing == "old" { &scene.old } else { &scene.new };
        scene.script(overlay, &passing().on("ADD", Reply::fail(42, "no more addresses", "")))?;
        scene.log().clear()?;
        let Err(error) = scene.run("refused") else { bail!("{phase}: a pod ran without {failing}") };
        ensure!(format!("{error:#}").contains("no more addresses"), "{error:#}");
        let briefs = scene.log().briefs()?;
        ensure!(briefs == expected, "{phase}, {failing}: {briefs:?}, expected {expected:?}");
        scene.expect_nothing()?;
        scene.script(overlay, &passing())?;
    }
    // Its undoing fails as well: the record stays, and containerd's own DELs, which come at once, do the rest.
    scene.policy("old", serde_json::json!({}))?;
    let stubborn = failing_dels(1, "the table is busy").on("ADD", Reply::fail(42, "no more addresses", ""));
    scene.script(&scene.old, &stubborn)?;
    scene.log().clear()?;
    ensure!(scene.run("refused").is_err(), "a pod ran without old");
    let briefs = scene.log().briefs()?;
    ensure!(briefs == ["spy-old ADD eth0", "spy-old DEL eth0", "spy-old DEL eth0"], "{briefs:?}");
    scene.expect_nothing()
}

/// Takes the mount of a sandbox's netns away, as an over-eager clean-up does.
pub(crate) fn unmount_netns(scene: &SpyScene, id: &str) -> Result<()> {
    let netns = scene.cri().status(id)?.netns;
    scene.node().run(&["umount".as_ref(), "--lazy".as_ref(), netns.as_os_str()]).map(drop)
}
