//! host.yaml on a machine with a real systemd.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::build::preflight::{BOOT, CONTAINERD, Need};
use lab::host::deadline::{LIMIT, until};
use lab::install::daemonset::{Kubelet, manifest};
use lab::runtime::cri::{Cri, Sandbox};
use libtest_mimic::Trial;
use serde_json::json;
use std::collections::BTreeMap;

use crate::image;

const NEEDS: &[&[Need]] = &[CONTAINERD, BOOT];
const SOCKET: &str = "/run/containerd/containerd.sock";
const WATCH: &str = "crossfade-watch.service";

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        a_pod_has_the_node_watch_itself_until_it_is_removed,
        pods_live_on_when_a_pod_has_the_node_left,
        a_node_whose_usr_cannot_be_written_to_says_so,
    ]
}

/// A machine without us whose two pods are on the old network.
fn running(mut machine: Machine) -> Result<Machine> {
    for link in ["crossfade-boot.service", WATCH] {
        let link = machine.disk("/etc/systemd/system/multi-user.target.wants").join(link);
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(link)?;
        }
    }
    for network in Network::ALL {
        furniture::agent(&machine, network, 0.0, network == Network::Old)?;
    }
    machine.write(furniture::PODS, "one\ntwo\n")?;
    std::fs::copy(image::archive()?, machine.disk("/var/lib/crossfade-image.tar"))?;
    // Containers see the kernel's boot id, so the machine boots with it. A reboot of the lab's machine needs another one.
    machine.write(KERNEL_BOOT_ID, "")?;
    machine.boot()?;
    std::fs::remove_file(machine.inside(KERNEL_BOOT_ID)?)?;
    machine.until_pods(2)?;
    machine.run(&["ctr", "--namespace", "k8s.io", "images", "import", "/var/lib/crossfade-image.tar"])?;
    let (cri, name) = (Cri::new(&machine.inside(SOCKET)?)?, image::name(image::version()));
    until("the image", LIMIT, || Ok(cri.has_image(&name)?.then_some(())))?;
    Ok(machine)
}

/// See `lab::boot`: with this file a machine has the boot id of the kernel.
const KERNEL_BOOT_ID: &str = "/etc/lab/kernel-boot-id";

/// The example's ConfigMap with the machine's two networks in it.
fn settings(attach: &str) -> Result<BTreeMap<String, String>> {
    let mut all = manifest::settings()?;
    all.insert("policy.json".to_owned(), furniture::policy(attach, "old").to_string());
    let node = json!({ "version": 1, "confDir": "shared", "report": { "node": false }, "proof": "probe" });
    all.insert("node.json".to_owned(), node.to_string());
    Ok(all)
}

fn kubelet<'a>(machine: &'a Machine, cri: &'a Cri) -> Kubelet<'a> {
    Kubelet { cri, outside: Box::new(|path: &Path| machine.inside(path)) }
}

fn a_pod_has_the_node_watch_itself_until_it_is_removed() -> Result<()> {
    let machine = Machine::new()?;
    machine.remove_package()?;
    let mut machine = running(machine)?;
    let pids = |machine: &Machine| ["kubelet", "containerd"].map(|unit| machine.show(unit, "MainPID"));
    let before = pids(&machine);
    let lines = |machine: &Machine| -> Result<Vec<_>> {
        Ok(vec![machine.command_line("kubelet")?, machine.command_line("containerd")?])
    };
    let commands = lines(&machine)?;
    {
        let cri = Cri::new(&machine.inside(SOCKET)?)?;
        let kubelet = kubelet(&machine, &cri);
        let mut pod = kubelet.pod(&manifest::daemonset("host.yaml")?, &settings("old")?)?;
        pod.run().with_context(|| machine.journal().map(|journal| journal.tail()).unwrap_or_default())?;
        pod.until_ready()?;
        ensure!(machine.show(WATCH, "ActiveState") == "active", "{}", pod.logs());
        ensure!(machine.show(WATCH, "UnitFileState") == "enabled");
        until("the state in the cluster's log", LIMIT, || {
            Ok(pod.log("follow")?.contains("NetworkReady").then_some(()))
        })?;
        // A second pod of it, as after its own restart, changes nothing and restarts nothing.
        let watch = machine.show(WATCH, "MainPID");
        ensure!(pod.run_init("install")? == 0, "{}", pod.logs());
        ensure!(machine.show(WATCH, "MainPID") == watch, "watch was restarted for nothing: {}", pod.logs());
        pod.end()?;
        interlock(&machine, &kubelet)?;
    }
    ensure!(pids(&machine) == before, "kubelet or containerd was restarted");
    untouched_by_drop_ins(&mut machine, &commands)?;
    // What the node does by itself from now on.
    machine.reboot()?;
    machine.until("watch, and what it sees", |machine| {
        let status = machine.look("/run/crossfade/status.json")?.unwrap_or_default();
        Ok(machine.show(WATCH, "ActiveState") == "active" && status.contains("NetworkReady"))
    })?;
    machine.until_pods(5)?;
    remove(&mut machine)
}

/// pod.yaml on the same node: it looks on, takes over when the unit is stopped, and makes way for it again.
fn interlock(machine: &Machine, kubelet: &Kubelet<'_>) -> Result<()> {
    let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, &settings("old")?)?;
    pod.start_containers()?;
    let says = |words: &str, pod: &lab::install::daemonset::Pod<'_>| -> Result<()> {
        until(words, LIMIT, || Ok(pod.log("watch")?.contains(words).then_some(())))
            .with_context(|| pod.logs())
    };
    says("crossfade-watch.service of this node does the work", &pod)?;
    let writer = || -> Result<_> {
        let status = machine.look("/run/crossfade/status.json")?.unwrap_or_default();
        Ok(serde_json::from_str::<serde_json::Value>(&status)?["watch"]["pid"].to_string())
    };
    ensure!(writer()? == machine.show(WATCH, "MainPID"), "another one wrote: {}", writer()?);
    machine.run(&["systemctl", "stop", WATCH])?;
    let own = pod.pid("watch")?.to_string();
    until("the pod's turn", LIMIT, || Ok((writer()? == own).then_some(())))?;
    // Its first try is refused by the lock, and systemd tries again.
    machine.ask(&["systemctl", "start", WATCH]);
    let code = until("the pod's end", LIMIT, || pod.ended("watch"))?;
    ensure!(code == 0, "{code}: {}", pod.logs());
    until("the unit's turn", LIMIT, || Ok((writer()? == machine.show(WATCH, "MainPID")).then_some(())))?;
    pod.end()
}

/// kubelet is started as before, and nothing of ours holds it.
fn untouched_by_drop_ins(machine: &mut Machine, commands: &[Vec<String>]) -> Result<()> {
    machine.write(furniture::PODS, "one\ntwo\nthree\n")?;
    machine.run(&["systemctl", "stop", WATCH])?;
    machine.run(&["systemctl", "daemon-reload"])?;
    machine.run(&["systemctl", "restart", "kubelet"])?;
    machine.until_pods(3)?;
    ensure!([machine.command_line("kubelet")?, machine.command_line("containerd")?] == commands);
    let drop_ins = machine.show("kubelet", "DropInPaths") + &machine.show("containerd", "DropInPaths");
    ensure!(!drop_ins.contains("crossfade"), "{drop_ins}");
    let records = machine.run(&["crossfade-bootstrap", "attachments"])?;
    ensure!(records.lines().count() >= 3, "the new pod did not come through us: {records}");
    machine.run(&["systemctl", "start", WATCH]).map(drop)
}

/// graduate.yaml in the place of host.yaml, once all pods are on the new network.
fn pods_live_on_when_a_pod_has_the_node_left() -> Result<()> {
    let machine = Machine::new()?;
    machine.remove_package()?;
    let mut machine = running(machine)?;
    let cri = Cri::new(&machine.inside(SOCKET)?)?;
    machine.open_gate(Network::New)?;
    machine.until("the new network's conf", |machine| Ok(machine.look(Network::New.conf())?.is_some()))?;
    let kubelet = kubelet(&machine, &cri);
    let mut pod = kubelet.pod(&manifest::daemonset("host.yaml")?, &settings("old")?)?;
    pod.run().with_context(|| machine.journal().map(|journal| journal.tail()).unwrap_or_default())?;
    pod.until_ready()?;
    machine.run(&["systemctl", "stop", "kubelet"])?;
    for sandbox in cri.list()?.into_iter().filter(|sandbox| sandbox.namespace == "default") {
        cri.stop(&sandbox.id)?;
        cri.remove(&sandbox.id)?;
    }
    pod.end()?;

    let mut graduation = kubelet.pod(&manifest::daemonset("graduate.yaml")?, &settings("old")?)?;
    ensure!(graduation.run_init("graduate")? == 3, "{}", graduation.logs());
    ensure!(graduation.log("graduate")?.contains("the phase is old"), "{}", graduation.logs());
    ensure!(machine.show(WATCH, "ActiveState") == "active", "no watch runs on a node that is not left");

    machine.run(&["crossfade-bootstrap", "policy", "set", "new", "--require-ready", "--runtime"])?;
    let living = cri.run_sandbox(&Sandbox::new("living"))?;
    let address = cri.status(&living)?.ip.context("an address")?.to_string();
    ensure!(Network::by_address(&address) == Some(Network::New), "{address}");
    let reach =
        || lab::host::command::run(machine.in_its_network("busybox")?.args(["ping", "-c1", "-W2", &address]));
    reach()?;
    graduation.run()?;
    graduation.until_ready()?;
    reach()?;
    for unit in ["crossfade-boot.service", WATCH] {
        let state = machine.show(unit, "LoadState");
        ensure!(state == "not-found", "{unit} is {state}: {}", graduation.logs());
    }
    // What was set aside, for people.
    let left = find_ours(&machine);
    ensure!(left.lines().all(|line| line.starts_with("/var/lib/crossfade")), "left: {left}");
    let kept = machine.list("/var/lib/crossfade")?;
    ensure!(kept == ["set-aside"], "{kept:?}");
    for init in ["graduate", "remove"] {
        ensure!(graduation.run_init(init)? == 0, "{}", graduation.logs());
    }
    let leases = || machine.list("/var/lib/cni/networks/new");
    ensure!(leases()?.contains(&address), "{:?}", leases()?);
    cri.stop(&living)?;
    cri.remove(&living)?;
    ensure!(!leases()?.contains(&address), "its DEL did not reach the plugin: {:?}", leases()?);
    graduation.end()
}

/// Everything that came is gone again.
fn remove(machine: &mut Machine) -> Result<()> {
    let cri = Cri::new(&machine.inside(SOCKET)?)?;
    machine.run(&["systemctl", "stop", "kubelet"])?;
    {
        let kubelet = kubelet(machine, &cri);
        let mut removal = kubelet.pod(&manifest::daemonset("remove.yaml")?, &settings("old")?)?;
        removal.start("remove")?;
        until("a wait", LIMIT, || {
            Ok(removal.log("remove")?.contains("attachments would lose their DEL").then_some(()))
        })
        .with_context(|| removal.logs())?;
        ensure!(machine.show(WATCH, "ActiveState") == "active", "no watch runs while it waits");
        for sandbox in cri.list()?.into_iter().filter(|sandbox| sandbox.namespace == "default") {
            cri.stop(&sandbox.id)?;
            cri.remove(&sandbox.id)?;
        }
        let code = until("its end", LIMIT, || removal.ended("remove")).with_context(|| removal.logs())?;
        ensure!(code == 0, "{code}: {}", removal.logs());
        removal.end()?;
    }
    for unit in ["crossfade-boot.service", WATCH] {
        let state = machine.show(unit, "LoadState");
        ensure!(state == "not-found", "{unit} is {state}");
    }
    let left = find_ours(machine);
    ensure!(left.trim().is_empty(), "left: {left}");
    Ok(())
}

/// Everything on the machine that has Crossfade's name, a line each.
fn find_ours(machine: &Machine) -> String {
    machine.ask(&[
        "find",
        "/etc",
        "/usr/bin",
        "/usr/lib/systemd",
        "/usr/lib/tmpfiles.d",
        "/usr/libexec",
        "/opt/cni",
        "/run",
        "/var/lib",
        "-xdev",
        "-name",
        "*crossfade*",
        "-not",
        "-name",
        "crossfade-image.tar",
        "-not",
        "-path",
        "/etc/systemd/system/crossfade*",
        "-not",
        "-path",
        "/var/lib/containerd/*",
        "-not",
        "-path",
        "/run/containerd/*",
        "-not",
        "-path",
        "/run/lab-pods/*",
    ])
}

fn a_node_whose_usr_cannot_be_written_to_says_so() -> Result<()> {
    let machine = running(Machine::bare()?)?;
    machine.run(&["mount", "-o", "remount,bind,ro", "/usr"])?;
    let cri = Cri::new(&machine.inside(SOCKET)?)?;
    let kubelet = kubelet(&machine, &cri);
    let mut pod = kubelet.pod(&manifest::daemonset("host.yaml")?, &settings("old")?)?;
    let code = pod.run_init("install")?;
    let text = pod.log("install")?;
    ensure!(code == 3 && text.contains("deploy/pod.yaml"), "{code}: {text}");
    ensure!(machine.look("/etc/crossfade/policy.json")?.is_none(), "something was written");
    // What it says works.
    let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, &settings("old")?)?;
    ensure!(pod.run_init("install")? == 0, "{}", pod.logs());
    Ok(())
}
