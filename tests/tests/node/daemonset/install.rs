//! pod.yaml on a node with live pods: installed under them, guarded, upgraded, killed; and sweep.yaml beside it.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::OURS;
use lab::install::daemonset::{Pod, manifest};
use lab::runtime::cri::Sandbox;
use libtest_mimic::Trial;

use crate::running::{PLUGIN, Running, settings};
use crate::{NEEDS, image};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_pod_installs_under_running_pods_and_guards,
        an_upgrade_under_running_pods_loses_nothing,
        a_pod_that_is_killed_loses_nothing,
        what_the_runtime_forgot_is_swept_by_a_pod_of_its_own,
    ]
}

/// Two pods from before; one of them with a port of the node.
fn from_before(scene: &Running) -> Result<[String; 2]> {
    let exposed = Sandbox::new("exposed").exposed(18080);
    Ok([scene.cri().run_sandbox(&exposed)?, scene.run("plain")?])
}

fn a_pod_installs_under_running_pods_and_guards() -> Result<()> {
    let scene = Running::new()?;
    let before = from_before(&scene)?;
    let addresses = scene.old.leases(scene.node())?;
    let kubelet = scene.kubelet();
    let set = manifest::daemonset("pod.yaml")?;
    let mut pod = kubelet.pod(&set, &settings("old")?)?;
    pod.run()?;
    pod.until_ready()?;
    scene.expect_loaded("crossfade")?;
    ensure!(scene.attachments()? == (0, 2), "{:?}", scene.attachments()?);
    ensure!(scene.old.leases(scene.node())? == addresses, "running pods were touched");
    ensure_rights(&scene, &pod)?;
    let status = scene.status();
    ensure!(status["watch"]["pid"] == pod.pid("watch")?, "{status:#}: pid {}", pod.pid("watch")?);
    ensure!(status["findings"].to_string().contains("watch runs in a pod"), "{status:#}");
    // A person on the node sees the same.
    ensure!(scene.run_expecting(&["status"], 0)?.contains("watch         NetworkReady"));

    let after = scene.run("after")?;
    ensure!(scene.attachments()? == (1, 2) && scene.leases()? == (3, 0), "{:?}", scene.attachments()?);
    let conf = fs::read(scene.outside(OURS))?;
    fs::remove_file(scene.outside(OURS))?;
    until("our conf", LIMIT, || {
        Ok(fs::read(scene.outside(OURS)).ok().filter(|bytes| *bytes == conf).map(drop))
    })?;
    until("the repair in status.json", LIMIT, || Ok((scene.status()["conf"]["repairs"] == 1).then_some(())))?;

    // Another phase in the ConfigMap, and a new pod of the DaemonSet.
    pod.end()?;
    ensure!(scene.outside(OURS).exists(), "it went with the pod");
    let mut pod = kubelet.pod(&set, &settings("new")?)?;
    pod.run()?;
    pod.until_ready()?;
    let flipped = scene.run("flipped")?;
    ensure!(scene.leases()? == (3, 1), "{:?}", scene.leases()?);
    for id in before.iter().chain([&after, &flipped]) {
        scene.end(id)?;
    }
    let rules = scene.node().run(&["iptables", "-w", "-t", "nat", "-S"])?;
    ensure!(!rules.contains("18080"), "a pod from before leaves its port:\n{rules}");
    ensure!(scene.leases()? == (0, 0) && scene.attachments()? == (0, 0), "{:?}", scene.leases()?);
    pod.end()
}

/// What the manifest says is what the process has.
fn ensure_rights(scene: &Running, pod: &Pod<'_>) -> Result<()> {
    let status = fs::read_to_string(scene.outside(format!("/proc/{}/status", pod.pid("watch")?)))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(|line| line.trim_start_matches(':').trim().to_owned()).with_context(|| name.to_owned())
    };
    // CAP_DAC_OVERRIDE is number 1; man 7 `capabilities`.
    ensure!(field("CapEff")? == "0000000000000002", "{status}");
    ensure!(field("CapBnd")? == "0000000000000002", "{status}");
    ensure!(field("NoNewPrivs")? == "1", "{status}");
    ensure!(field("Seccomp")? == "2", "{status}");
    Ok(())
}

fn an_upgrade_under_running_pods_loses_nothing() -> Result<()> {
    let scene = Running::new()?;
    let before = from_before(&scene)?;
    let kubelet = scene.kubelet();
    let set = manifest::daemonset("pod.yaml")?;
    let mut pod = kubelet.pod(&set, &settings("old")?)?;
    pod.run()?;
    scene.expect_loaded("crossfade")?;
    let after = scene.run("after")?;
    let was = fs::metadata(scene.outside(PLUGIN))?;
    let kept = ["/etc/crossfade/policy.json", "/var/lib/crossfade/inventory.json", OURS];
    let read = |path: &&str| fs::read(scene.outside(path)).with_context(|| (*path).to_owned());
    let files = kept.iter().map(read).collect::<Result<Vec<_>>>()?;

    scene.import(image::next()?, &image::name(image::NEXT))?;
    pod.end()?;
    let mut pod = kubelet.pod(&set, &settings("old")?)?;
    pod.use_image(&image::name(image::NEXT));
    pod.run()?;
    pod.until_ready()?;
    let is = fs::metadata(scene.outside(PLUGIN))?;
    ensure!(
        is.len() == was.len() + 16 && is.ino() != was.ino(),
        "the plugin is the old one, or was written into"
    );
    ensure!(kept.iter().map(read).collect::<Result<Vec<_>>>()? == files, "something else changed");
    ensure!(scene.attachments()? == (1, 2), "{:?}", scene.attachments()?);
    let next = scene.run("next")?;
    for id in before.iter().chain([&after, &next]) {
        scene.end(id)?;
    }
    ensure!(scene.leases()? == (0, 0) && scene.attachments()? == (0, 0), "{:?}", scene.leases()?);
    pod.end()
}

fn a_pod_that_is_killed_loses_nothing() -> Result<()> {
    let scene = Running::new()?;
    let before = from_before(&scene)?;
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, &settings("old")?)?;
    pod.run()?;
    scene.expect_loaded("crossfade")?;
    let after = scene.run("after")?;
    scene.node().run(&["kill", "-KILL", &pod.pid("watch")?.to_string()])?;
    until("its end", LIMIT, || pod.ended("watch"))?;
    // No watch runs: pods are attached all the same.
    let meanwhile = scene.run("meanwhile")?;
    ensure!(scene.attachments()? == (2, 2), "{:?}", scene.attachments()?);
    let text = scene.bootstrap(&["status"])?.output()?;
    ensure!(String::from_utf8_lossy(&text.stdout).contains("not running"), "{text:?}");
    pod.start("watch")?;
    pod.until_ready()?;
    for id in before.iter().chain([&after, &meanwhile]) {
        scene.end(id)?;
    }
    ensure!(scene.leases()? == (0, 0) && scene.attachments()? == (0, 0), "{:?}", scene.leases()?);
    pod.end()
}

fn what_the_runtime_forgot_is_swept_by_a_pod_of_its_own() -> Result<()> {
    let mut scene = Running::new()?;
    {
        let kubelet = scene.kubelet();
        let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, &settings("old")?)?;
        pod.run()?;
        scene.expect_loaded("crossfade")?;
        pod.end()?;
    }
    // With a port of the node: its DEL runs the node's iptables, which no image has.
    let exposed = Sandbox::new("exposed").exposed(18081);
    let lost = scene.cri().run_sandbox(&exposed)?;
    scene.containerd.forget(&lost)?;
    scene.containerd.restart()?;
    let living = scene.run("living")?;
    ensure!(scene.attachments()? == (2, 0), "{:?}", scene.attachments()?);
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&manifest::daemonset("sweep.yaml")?, &settings("old")?)?;
    pod.run()?;
    until("the sweep", LIMIT, || Ok((scene.attachments()? == (1, 0)).then_some(())))
        .with_context(|| pod.logs())?;
    let rules = scene.node().run(&["iptables", "-w", "-t", "nat", "-S"])?;
    ensure!(!rules.contains("18081"), "what was lost keeps its port:\n{rules}\n{}", pod.logs());
    ensure!(scene.leases()? == (1, 0) && pod.ended("sweep")?.is_none(), "{}", pod.logs());
    pod.end()?;
    scene.end(&living)
}
