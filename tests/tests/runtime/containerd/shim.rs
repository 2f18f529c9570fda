//! Pods of a real containerd through the shim.

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use lab::host::command;
use lab::host::deadline::{LIMIT, until};
use lab::host::fabric::Overlay;
use lab::host::node::Node;
use lab::install::crossfade::{BIN_DIR, Crossfade};
use lab::install::person;
use lab::runtime::containerd::{Containerd, Options};
use lab::runtime::cri::{Cri, Sandbox};
use lab::scene::{Scene, Setup};
use lab::standin::stub::{CallLog, Gate, Reply, Stub, StubDir};
use serde_json::{Value, json};

use crate::{Pod, run};

/// Two nodes with Crossfade; the second has one pod on each network, to be reached.
struct Lab {
    old_peer: String,
    new_peer: String,
    _peers: Containerd,
    // Last, for its wire is that of the peers, too.
    scene: Scene,
}

impl Lab {
    fn new() -> Result<Lab> {
        let scene = Setup::shim().nodes(2).start()?;
        let (old, new, there) = (&scene.old, &scene.new, scene.fabric.node(2));
        // Nothing may work only because the nodes route between the networks.
        scene.fabric.block_forwarding_between(old, new)?;
        let crossfade = Crossfade::install(there, old, new)?;
        let peers = Containerd::start(there, &Options::default())?;
        let old_peer = run(&peers, &Sandbox::new("old-peer"))?.address;
        crossfade.phase("new")?;
        let new_peer = run(&peers, &Sandbox::new("new-peer"))?.address;
        ensure!(
            old_peer.starts_with(&old.prefix) && new_peer.starts_with(&new.prefix),
            "{old_peer} {new_peer}"
        );
        Ok(Lab { old_peer, new_peer, _peers: peers, scene })
    }

    fn run(&self, name: &str) -> Result<Pod> {
        run(&self.containerd, &Sandbox::new(name)).with_context(|| format!("containerd: {}", self.tail()))
    }

    fn tail(&self) -> String {
        let log = self.containerd.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("level=error")).collect();
        lines[lines.len().saturating_sub(3)..].join("\n")
    }

    /// Whether pods hold exactly these addresses, and records are as many as `records`.
    fn expect(&self, old: &[IpAddr], new: &[IpAddr], records: usize) -> Result<()> {
        self.crossfade.expect(old, new, records)
    }

    /// Whether a pod reaches the peers of the networks it is on, and only those.
    fn reaches(&self, pod: &Pod, old: bool, new: bool) -> Result<()> {
        for (peer, expected) in [(&self.old_peer, old), (&self.new_peer, new)] {
            let answer = self.node().ping_from(&pod.status.netns, peer);
            ensure!(answer.is_ok() == expected, "{} to {peer}: {answer:?}, expected {expected}", pod.address);
        }
        Ok(())
    }

    /// Puts a stub at the end of a network's chain that lets everything pass, and writes down its calls.
    fn spy(&self, overlay: &Overlay, add: Reply) -> Result<CallLog> {
        let stubs = StubDir::on(self.node(), BIN_DIR)?;
        let name = format!("spy-{}", overlay.name);
        stubs.write(&name, &Stub::answering(add))?;
        self.crossfade.network(overlay, &overlay.conflist_with(1, &[&name]))?;
        Ok(stubs.log())
    }
}

impl Deref for Lab {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
}

/// Addresses of one interface of a pod.
fn addresses(node: &Node, pod: &Pod, ifname: &str) -> Result<Vec<IpAddr>> {
    let text = node.run_in(&pod.status.netns, &["ip", "-json", "-4", "address", "show", "dev", ifname])?;
    let links: Value = serde_json::from_str(&text).context("ip -json")?;
    let infos = links[0]["addr_info"].as_array().context("addr_info")?;
    infos.iter().map(|info| Ok(info["local"].as_str().context("local")?.parse()?)).collect()
}

pub(crate) fn every_phase_attaches_as_the_policy_says() -> Result<()> {
    let lab = Lab::new()?;
    let cases = [
        ("old", vec![("eth0", &lab.old)]),
        ("both-old", vec![("eth0", &lab.old), ("net1", &lab.new)]),
        ("both-new", vec![("eth0", &lab.new), ("net1", &lab.old)]),
        ("new", vec![("eth0", &lab.new)]),
    ];
    for (phase, expected) in cases {
        lab.crossfade.phase(phase)?;
        let pod = lab.run(&format!("pod-{phase}")).with_context(|| phase.to_owned())?;
        let mut leases = (Vec::new(), Vec::new());
        for (ifname, overlay) in &expected {
            let pod_addresses = addresses(lab.node(), &pod, ifname)?;
            ensure!(
                pod_addresses.len() == 1 && pod_addresses[0].to_string().starts_with(&overlay.prefix),
                "{phase}: {ifname} has {pod_addresses:?}"
            );
            if overlay.name == "old" {
                leases.0.extend(pod_addresses)
            } else {
                leases.1.extend(pod_addresses)
            }
        }
        let primary = expected[0].1;
        ensure!(pod.address.starts_with(&primary.prefix), "{phase}: published address {}", pod.address);
        ensure!(pod.status.additional_ips.is_empty(), "{phase}: {:?}", pod.status.additional_ips);
        let links = lab.node().run_in(&pod.status.netns, &["ip", "-o", "link"])?;
        ensure!(links.lines().count() == expected.len() + 1, "{phase}: {links}");
        lab.reaches(&pod, !leases.0.is_empty(), !leases.1.is_empty()).with_context(|| phase.to_owned())?;
        lab.expect(&leases.0, &leases.1, 1).with_context(|| phase.to_owned())?;
        lab.end(&pod.id)?;
        lab.expect(&[], &[], 0).with_context(|| format!("{phase}, afterwards"))?;
    }
    Ok(())
}

/// Containerd sends two or three DELs for a pod; a delegate gets one.
pub(crate) fn repeated_dels_reach_a_delegate_once() -> Result<()> {
    let lab = Lab::new()?;
    let log = lab.spy(&lab.old, Reply::pass())?;
    let pod = lab.run("pod")?;
    let other = lab.run("other")?;
    let cri = lab.containerd.cri();
    cri.stop(&pod.id)?;
    cri.stop(&pod.id)?;
    cri.remove(&pod.id)?;
    let calls: Vec<String> =
        log.calls()?.iter().map(|call| format!("{} {}", call.verb(), call.var("CNI_CONTAINERID"))).collect();
    let expected = [format!("ADD {}", pod.id), format!("ADD {}", other.id), format!("DEL {}", pod.id)];
    ensure!(calls == expected, "{calls:?}, expected {expected:?}");
    lab.expect(&[other.status.ip.context("an address")?], &[], 1)
}

pub(crate) fn a_flip_sends_del_to_the_network_that_did_add() -> Result<()> {
    let lab = Lab::new()?;
    for (from, to) in
        [("old", "new"), ("new", "old"), ("both-old", "new"), ("old", "both-new"), ("both-new", "old")]
    {
        lab.crossfade.phase(from)?;
        let before = lab.run("before").with_context(|| format!("{from} to {to}"))?;
        let first = (lab.old.leases(lab.node())?, lab.new.leases(lab.node())?);
        lab.crossfade.phase(to)?;
        let after = lab.run("after")?;
        lab.end(&before.id)?;
        let rest = |all: Vec<IpAddr>, gone: &[IpAddr]| -> Vec<IpAddr> {
            all.into_iter().filter(|ip| !gone.contains(ip)).collect()
        };
        let left = (rest(lab.old.leases(lab.node())?, &first.0), rest(lab.new.leases(lab.node())?, &first.1));
        lab.expect(&left.0, &left.1, 1).with_context(|| format!("{from} to {to}, after the first DEL"))?;
        let own = after.status.ip.context("an address")?;
        ensure!(left.0.contains(&own) || left.1.contains(&own), "the second pod lost {own}");
        lab.reaches(&after, !left.0.is_empty(), !left.1.is_empty())?;
        lab.crossfade.phase(from)?;
        lab.end(&after.id)?;
        lab.expect(&[], &[], 0).with_context(|| format!("{from} to {to}, afterwards"))?;
    }
    Ok(())
}

/// An ADD that has begun ends under the policy it read, and its DEL follows it.
pub(crate) fn a_flip_in_mid_add_changes_the_next_pod_only() -> Result<()> {
    let lab = Lab::new()?;
    for (from, to) in [("old", "new"), ("new", "old"), ("both-old", "new")] {
        let overlay = if from == "new" { &lab.new } else { &lab.old };
        lab.crossfade.phase(from)?;
        let gate = Gate::closed(&lab.node().dir().join(format!("gate-{from}-{to}")))?;
        let log = lab.spy(overlay, Reply::pass().behind(&gate))?;
        log.clear()?;
        let (held, next) = std::thread::scope(|scope| -> Result<(Pod, Pod)> {
            let held = scope.spawn(|| lab.run("held"));
            log.wait_for(&format!("spy-{} ADD eth0", overlay.name), 1)?;
            lab.crossfade.phase(to)?;
            let next = lab.run("next")?;
            gate.open()?;
            let Ok(held) = held.join() else { bail!("a caller panicked") };
            Ok((held?, next))
        })
        .with_context(|| format!("{from} to {to}"))?;
        ensure!(held.address.starts_with(&overlay.prefix), "held under {from}: {}", held.address);
        let expected = if to == "new" { &lab.new } else { &lab.old };
        ensure!(next.address.starts_with(&expected.prefix), "next under {to}: {}", next.address);
        lab.end(&held.id)?;
        let own = [next.status.ip.context("an address")?];
        let (old, new): (&[IpAddr], &[IpAddr]) = if to == "new" { (&[], &own) } else { (&own, &[]) };
        lab.expect(old, new, 1).with_context(|| format!("{from} to {to}, after the first DEL"))?;
        lab.end(&next.id)?;
        lab.expect(&[], &[], 0).with_context(|| format!("{from} to {to}, afterwards"))?;
        lab.crossfade.network(overlay, &overlay.conflist(1))?;
    }
    Ok(())
}

pub(crate) fn port_mappings_lead_to_the_pod() -> Result<()> {
    let lab = Lab::new()?;
    let site = lab.node().scratch().dir("site")?;
    std::fs::write(site.join("hello"), "from the pod")?;
    for (phase, port) in [("old", 18080), ("new", 18081), ("both-new", 18082)] {
        lab.crossfade.phase(phase)?;
        let pod = run(&lab.containerd, &Sandbox::new(&format!("pod-{phase}")).exposed(port))?;
        let mut httpd = lab.node().command_in(&pod.status.netns, "busybox");
        httpd.args(["httpd", "-f", "-p", "8080", "-h"]).arg(&site);
        let server = lab.node().background(&format!("httpd-{phase}"), &httpd)?;
        // Not busybox' wget: Debian's static build of it crashes.
        let request = format!("printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 192.0.2.1 {port}");
        let fetch = || lab.fabric.node(2).run(&["sh", "-c", &request]);
        // Until the server listens.
        let answer = until("an answer through the port", LIMIT, || Ok(fetch().ok()))
            .with_context(|| phase.to_owned())?;
        ensure!(answer.ends_with("from the pod"), "{phase}: {answer}");
        drop(server);
        lab.end(&pod.id)?;
        let rules = lab.node().run(&["iptables", "-w", "-t", "nat", "-S"])?;
        ensure!(!rules.contains(&port.to_string()), "{phase}: rules left:\n{rules}");
        lab.expect(&[], &[], 0)?;
    }
    Ok(())
}

pub(crate) fn an_annotation_arrives() -> Result<()> {
    let lab = Lab::new()?;
    let annotation = json!({ "key": "crossfade/attach", "allow": ["both"] });
    lab.crossfade.policy(json!({ "attach": "old", "podAnnotation": annotation }))?;
    let run = |name: &str, value: &str| {
        run(&lab.containerd, &Sandbox::new(name).annotated("crossfade/attach", value))
    };
    let both = run("both", "both")?;
    lab.reaches(&both, true, true)?;
    let refused = run("refused", "new")?;
    lab.reaches(&refused, true, false).context("a value that is not allowed is ignored")?;
    let plain = lab.run("plain")?;
    lab.reaches(&plain, true, false)?;
    for pod in [both, refused, plain] {
        lab.end(&pod.id)?;
    }
    lab.expect(&[], &[], 0)
}

/// A DEL that cannot be done must fail, loudly enough for containerd to try again.
pub(crate) fn a_failed_del_is_retried() -> Result<()> {
    let lab = Lab::new()?;
    for phase in ["old", "both-old"] {
        lab.crossfade.phase(phase)?;
        let pod = lab.run(&format!("pod-{phase}"))?;
        let leases = lab.old.leases(lab.node())?;
        ensure!(!leases.is_empty(), "no lease to keep");
        let plugin = lab.node().outside(Path::new(BIN_DIR).join("bridge"));
        let away = plugin.with_file_name("bridge-away");
        std::fs::rename(&plugin, &away)?;
        for attempt in ["first", "second"] {
            let Err(error) = lab.containerd.cri().stop(&pod.id) else {
                bail!("{phase}: the {attempt} StopPodSandbox succeeded without the plugin");
            };
            ensure!(format!("{error:#}").contains("bridge"), "{phase}: {error:#}");
        }
        ensure!(lab.containerd.cri().remove(&pod.id).is_err(), "{phase}: RemovePodSandbox succeeded");
        ensure!(lab.old.leases(lab.node())? == leases, "{phase}: leases {:?}", lab.old.leases(lab.node())?);
        ensure!(lab.crossfade.records()?.len() == 1, "{phase}: records {:?}", lab.crossfade.records()?);
        std::fs::rename(&away, &plugin)?;
        lab.end(&pod.id).with_context(|| phase.to_owned())?;
        lab.expect(&[], &[], 0).with_context(|| phase.to_owned())?;
    }
    Ok(())
}

pub(crate) fn pods_outlive_a_restart() -> Result<()> {
    let mut lab = Lab::new()?;
    lab.crossfade.phase("both-old")?;
    let pod = lab.run("pod")?;
    lab.containerd.restart()?;
    let status = lab.containerd.cri().status(&pod.id)?;
    ensure!(status.ready && status.ip == pod.status.ip, "{status:?}");
    lab.reaches(&pod, true, true)?;
    lab.crossfade.phase("new")?;
    lab.end(&pod.id)?;
    lab.expect(&[], &[], 0)
}

/// A containerd that ends in mid-ADD leaves a sandbox half made; removing it, as kubelet does, frees what it had.
pub(crate) fn a_restart_in_mid_add_leaves_nothing() -> Result<()> {
    let mut lab = Lab::new()?;
    let kept = lab.run("kept")?;
    for (phase, killed) in [("old", true), ("old", false), ("both-new", true)] {
        lab.crossfade.phase_with(phase, json!({ "gc": { "graceSeconds": 0 } }))?;
        let gate = Gate::closed(&lab.node().dir().join(format!("gate-{phase}-{killed}")))?;
        let log = lab.spy(&lab.old, Reply::pass().behind(&gate))?;
        log.clear()?;
        let socket = lab.containerd.socket();
        let caller = std::thread::spawn(move || Cri::new(&socket)?.run_sandbox(&Sandbox::new("cut")));
        let ifname = if phase == "old" { "eth0" } else { "net1" };
        let cut = log.wait_for(&format!("spy-old ADD {ifname}"), 1)?.var("CNI_CONTAINERID").to_owned();
        ensure!(lab.old.leases(lab.node())?.len() == 2, "the ADD has no lease yet");
        if killed {
            lab.containerd.kill()?
        } else {
            lab.containerd.stop()?
        }
        let Ok(answer) = caller.join() else { bail!("a caller panicked") };
        ensure!(answer.is_err(), "a sandbox ran on a containerd that was gone");
        gate.open()?;
        lab.containerd.start_again()?;
        lab.crossfade.network(&lab.old, &lab.old.conflist(1))?;
        for listed in lab.containerd.cri().list()?.into_iter().filter(|listed| listed.id != kept.id) {
            lab.containerd.cri().remove(&listed.id).with_context(|| format!("{phase}: {}", listed.name))?;
        }
        if lab.containerd.release().forgets_failed_adds() {
            // One that ends takes the answer of the ADD, forgets the sandbox, and may be gone before it has sent the DEL. What an ADD that
            // still runs holds is its own to undo.
            until("the end of what no DEL comes for", LIMIT, || {
                command::status_and_text(&mut lab.bootstrap(&["unit", "sweep"])?)?;
                Ok((lab.crossfade.records()?.len() == 1).then_some(()))
            })
            .with_context(|| format!("{phase}, killed: {killed}"))?;
        }
        let own = kept.status.ip.context("an address")?;
        lab.expect(&[own], &[], 1).with_context(|| format!("{phase}, killed: {killed}"))?;
        // The same pod again: nothing of the first try may be in its way.
        let again = lab.run("cut")?;
        ensure!(again.id != cut, "the id {cut} came twice");
        lab.reaches(&again, true, phase != "old")?;
        lab.end(&again.id)?;
    }
    lab.end(&kept.id)?;
    lab.expect(&[], &[], 0)
}

/// containerd does not know of a network that joined: its restart, its DEL of eth0 alone and a second DEL leave nothing behind.
pub(crate) fn networks_join_and_leave_sandboxes_that_run() -> Result<()> {
    let mut lab = Lab::new()?;
    for (alone, both, stays_on_both) in
        [("old", "both-old", false), ("new", "both-new", false), ("old", "both-old", true)]
    {
        lab.crossfade.phase(alone)?;
        let pod = lab.run("pod")?;
        let change = |lab: &Lab, phase: &str, verb: &str| {
            lab.crossfade.phase(phase)?;
            person::change_network(lab.node(), BIN_DIR, verb, &pod.id, &pod.status.netns)
        };
        change(&lab, both, "JOIN").with_context(|| both.to_owned())?;
        lab.reaches(&pod, true, true)?;
        let on = |lab: &Lab, ifname| addresses(lab.node(), &pod, ifname);
        let (first, second) = (on(&lab, "eth0")?, on(&lab, "net1")?);
        let leases = if alone == "old" { (&first, &second) } else { (&second, &first) };
        lab.expect(leases.0, leases.1, 1)?;
        lab.containerd.kill()?;
        lab.containerd.start_again()?;
        let status = lab.cri().status(&pod.id)?;
        ensure!(status.ready && status.ip == pod.status.ip && status.additional_ips.is_empty(), "{status:?}");
        ensure!(on(&lab, "net1")? == second, "the restart has changed net1");
        lab.reaches(&pod, true, true)?;
        if !stays_on_both {
            change(&lab, alone, "LEAVE").with_context(|| alone.to_owned())?;
            lab.reaches(&pod, alone == "old", alone == "new")?;
            let leases: (&[IpAddr], &[IpAddr]) = if alone == "old" { (&first, &[]) } else { (&[], &first) };
            lab.expect(leases.0, leases.1, 1)?;
            change(&lab, both, "JOIN")?;
        }
        lab.crossfade.phase("new")?;
        lab.cri().stop(&pod.id)?;
        lab.end(&pod.id)?;
        lab.expect(&[], &[], 0).with_context(|| format!("{both}, afterwards"))?;
    }
    Ok(())
}
