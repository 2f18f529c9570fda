//! remove.yaml: refused while pods are attached through us, then done, and nothing is left.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::daemonset::manifest;
use libtest_mimic::Trial;

use crate::NEEDS;
use crate::running::{Running, settings};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_removal_waits_for_the_last_pod_and_leaves_nothing,
    ]
}

/// Where anything of ours may be.
const PLACES: [&str; 6] = [
    "/etc/crossfade",
    "/var/lib/crossfade",
    "/run/crossfade",
    "/opt/cni/bin/crossfade",
    "/etc/cni/net.d/01-crossfade.conflist",
    "/usr/libexec/crossfade/crossfade",
];

/// Nothing of ours is on the node.
pub(crate) fn expect_gone(scene: &Running) -> Result<()> {
    for place in PLACES {
        // Some of these directories are the lab's own mounts, which cannot be removed.
        let place = scene.outside(place);
        let left = place.symlink_metadata().is_ok()
            && fs::read_dir(&place).map_or(true, |mut entries| entries.next().is_some());
        ensure!(!left, "{} is left", place.display());
    }
    Ok(())
}

fn a_removal_waits_for_the_last_pod_and_leaves_nothing() -> Result<()> {
    let scene = Running::new()?;
    let before = scene.run("before")?;
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, &settings("old")?)?;
    pod.run()?;
    scene.expect_loaded("crossfade")?;
    let after = scene.run("after")?;
    pod.end()?;

    let set = manifest::daemonset("remove.yaml")?;
    let mut removal = kubelet.pod(&set, &settings("old")?)?;
    removal.start("remove")?;
    for (id, left) in [(&before, (1, 0)), (&after, (0, 0))] {
        until("the name of what is attached", LIMIT, || {
            Ok(removal.log("remove")?.contains(id.as_str()).then_some(()))
        })
        .with_context(|| removal.logs())?;
        ensure!(removal.ended("remove")?.is_none(), "it did not wait: {}", removal.logs());
        scene.end(id)?;
        ensure!(scene.attachments()? == left || left == (0, 0), "{:?}", scene.attachments()?);
    }
    let code = until("its end", LIMIT, || removal.ended("remove")).with_context(|| removal.logs())?;
    ensure!(code == 0, "{code}: {}", removal.logs());
    removal.start_containers()?;
    removal.until_ready()?;
    expect_gone(&scene).with_context(|| removal.logs())?;
    ensure!(scene.leases()? == (0, 0), "{:?}", scene.leases()?);
    // A pod that is started again finds nothing to do.
    ensure!(removal.run_init("remove")? == 0, "{}", removal.logs());
    let bare = scene.run("bare")?;
    ensure!(scene.leases()? == (1, 0), "{:?}", scene.leases()?);
    scene.end(&bare)?;
    removal.end()
}
