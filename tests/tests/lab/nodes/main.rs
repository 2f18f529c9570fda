//! Nodes, their fabric and overlays, and the isolation around them.

mod isolation;

use std::io::Write;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};
use lab::host::fabric::{Fabric, Overlay};
use lab::host::node::{Netns, Node};
use libtest_mimic::Arguments;
use serde_json::{Value, json};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS];

fn main() -> Result<ExitCode> {
    lab::host::isolate::enter()?;
    if let Some(code) = isolation::subject()? {
        return Ok(code);
    }
    let arguments = Arguments::from_args();
    let mut trials = lab::trials_of![
        NEEDS;
        pods_reach_each_other_on_both_overlays,
        forwarding_between_overlays_can_be_blocked,
        an_overlay_can_be_removed,
        a_node_has_directories_of_its_own,
        a_node_can_pretend_a_reboot,
        a_daemon_ends_with_its_node,
        isolation::a_lab_passes_its_status_on,
        isolation::parts_look_installed,
        isolation::a_lab_needs_root,
        isolation::a_second_signal_ends_a_stubborn_lab,
    ];
    trials.extend(lab::trials_of![
        &[NODES, PLUGINS, CONTAINERD];
        isolation::a_killed_lab_leaves_nothing,
        isolation::an_interrupted_lab_leaves_nothing,
        isolation::labs_run_side_by_side,
    ]);
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// A pod without a runtime: a namespace attached by the real bridge plugin.
struct Pod {
    netns: Netns,
    address: String,
}

impl Pod {
    fn add(node: &Node, overlay: &Overlay) -> Result<Pod> {
        let netns = node.netns_add(&format!("pod-{}", overlay.name))?;
        let mut conf = overlay.conflist(node.index())["plugins"][0].take();
        conf["cniVersion"] = json!("1.0.0");
        conf["name"] = json!(overlay.name);
        let mut bridge = node.command("/opt/cni/bin/bridge");
        bridge.envs([("CNI_COMMAND", "ADD"), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/opt/cni/bin")]);
        bridge.env("CNI_CONTAINERID", &netns.name).env("CNI_NETNS", &netns.inside);
        let mut child = bridge.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("bridge")?;
        child.stdin.take().context("stdin")?.write_all(conf.to_string().as_bytes())?;
        let output = child.wait_with_output()?;
        let result: Value = serde_json::from_slice(&output.stdout).context("the bridge plugin's answer")?;
        let Some(address) = result["ips"][0]["address"].as_str() else { bail!("bridge: {result}") };
        Ok(Pod { netns, address: address.trim_end_matches("/24").to_owned() })
    }
}

fn pods_reach_each_other_on_both_overlays() -> Result<()> {
    let fabric = Fabric::new(3)?;
    let [old, new] = fabric.old_and_new()?;
    let mut pods = Vec::new();
    for node in fabric.nodes() {
        for overlay in [&old, &new] {
            let pod = Pod::add(node, overlay)?;
            let subnet = format!("{}.{}.", overlay.prefix, node.index());
            ensure!(pod.address.starts_with(&subnet), "{} is not in {subnet}", pod.address);
            pods.push((node, pod));
        }
    }
    for (node, from) in &pods {
        for (_, to) in &pods {
            node.ping_from(&from.netns.inside, &to.address)
                .with_context(|| format!("{} to {}", from.address, to.address))?;
        }
    }
    let (node, pod) = &pods[0];
    let unused = "10.244.2.200";
    ensure!(node.ping_from(&pod.netns.inside, unused).is_err(), "{unused} answers, and is no pod");
    Ok(())
}

fn forwarding_between_overlays_can_be_blocked() -> Result<()> {
    let fabric = Fabric::new(2)?;
    let [old, new] = fabric.old_and_new()?;
    let (first_node, second_node) = (fabric.node(1), fabric.node(2));
    let old_here = Pod::add(first_node, &old)?;
    let (old_there, new_there) = (Pod::add(second_node, &old)?, Pod::add(second_node, &new)?);
    let new_here = Pod::add(first_node, &new)?;
    let across = [
        (first_node, &old_here, &new_there),
        (first_node, &old_here, &new_here),
        (first_node, &new_here, &old_there),
        (second_node, &new_there, &old_there),
    ];
    for (node, from, to) in across {
        node.ping_from(&from.netns.inside, &to.address).context("before the block")?;
    }
    fabric.block_forwarding_between(&old, &new)?;
    ensure!(fabric.blocked_packets()? == 0, "packets are counted before any was sent");
    let arrived = |node: &Node, pod: &Pod| -> Result<u64> {
        let table = node.run_in(&pod.netns.inside, &["cat", "/proc/net/snmp"])?;
        // A line of names, then one of numbers; the first number is of messages received.
        let numbers = table.lines().filter_map(|line| line.strip_prefix("Icmp: ")).nth(1).context("Icmp")?;
        Ok(numbers.split(' ').next().context("InMsgs")?.parse()?)
    };
    for (sent, (node, from, to)) in across.into_iter().enumerate() {
        let target = if to.address.contains(".1.") { first_node } else { second_node };
        let before = arrived(target, to)?;
        ensure!(
            node.ping_from(&from.netns.inside, &to.address).is_err(),
            "{} reaches {} in spite of the block",
            from.address,
            to.address
        );
        // The request itself, and not only its answer, must not get through.
        ensure!(arrived(target, to)? == before, "a packet of {} arrived at {}", from.address, to.address);
        let blocked = fabric.blocked_packets()?;
        ensure!(
            blocked == u64::try_from(sent)? + 1,
            "{blocked} packets blocked after {} were sent",
            sent + 1
        );
    }
    first_node.ping_from(&old_here.netns.inside, &old_there.address).context("within the old overlay")?;
    first_node.ping_from(&new_here.netns.inside, &new_there.address).context("within the new overlay")?;
    fabric.unblock_forwarding()?;
    first_node.ping_from(&old_here.netns.inside, &new_there.address).context("after the block")
}

fn an_overlay_can_be_removed() -> Result<()> {
    let fabric = Fabric::new(2)?;
    let [old, new] = fabric.old_and_new()?;
    let node = fabric.node(1);
    let kept = Pod::add(node, &new)?;
    let there = Pod::add(fabric.node(2), &new)?;
    Pod::add(node, &old)?;
    let links = node.run(&["ip", "-o", "link"])?;
    ensure!(links.contains("cni-old") && links.contains("vx-old"), "{links}");
    fabric.remove_overlay("old")?;
    let links = node.run(&["ip", "-o", "link"])?;
    ensure!(!links.contains("cni-old") && !links.contains("vx-old"), "{links}");
    let routes = node.run(&["ip", "route"])?;
    ensure!(!routes.contains("10.244."), "{routes}");
    ensure!(fabric.remove_overlay("old").is_err(), "an overlay was removed twice");
    node.ping_from(&kept.netns.inside, &there.address)
}

fn a_node_has_directories_of_its_own() -> Result<()> {
    let fabric = Fabric::new(2)?;
    let (first_node, second_node) = (fabric.node(1), fabric.node(2));
    for directory in lab::host::node::OWN.into_iter().chain(["/run"]) {
        let file = Path::new(directory).join("mine");
        first_node.write(&file, "1")?;
        ensure!(first_node.run(&["cat".as_ref(), file.as_os_str()])? == "1", "{} in node 1", file.display());
        ensure!(!second_node.outside(&file).exists(), "node 2 sees {}", file.display());
        ensure!(!file.exists(), "the lab sees {}", file.display());
    }
    std::fs::write(first_node.dir().join("shared"), "2")?;
    ensure!(
        second_node.run(&["cat".as_ref(), first_node.dir().join("shared").as_os_str()])? == "2",
        "scratch is shared"
    );
    let netns = first_node.netns_add("pod")?;
    ensure!(netns.outside.exists(), "{} is not there", netns.outside.display());
    first_node.netns_remove(&netns)?;
    ensure!(!netns.outside.exists(), "{} is still there", netns.outside.display());
    Ok(())
}

fn a_node_can_pretend_a_reboot() -> Result<()> {
    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    let fabric = Fabric::new(2)?;
    let (first_node, second_node) = (fabric.node(1), fabric.node(2));
    let real = std::fs::read_to_string(BOOT_ID)?;
    for id in ["11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"] {
        first_node.reboot_id(id)?;
        ensure!(first_node.run(&["cat", BOOT_ID])?.trim() == id, "node 1 does not show {id}");
        ensure!(second_node.run(&["cat", BOOT_ID])? == real, "node 2 shows another boot id than the machine");
    }
    Ok(())
}

fn a_daemon_ends_with_its_node() -> Result<()> {
    let fabric = Fabric::new(1)?;
    let node = fabric.node(1).clone();
    let mut sleeper = node.command("sh");
    sleeper.args(["-c", "echo started; exec sleep 1000000"]);
    let daemon = node.background("sleeper", &sleeper)?;
    lab::host::deadline::until("the daemon's output", std::time::Duration::from_secs(30), || {
        Ok(std::fs::read_to_string(daemon.log())?.contains("started").then_some(()))
    })?;
    let process = Path::new("/proc").join(daemon.pid().to_string());
    ensure!(process.exists(), "the daemon is not there");
    let mut quick = node.command("sh");
    quick.args(["-c", "exit 7"]);
    let mut quick = node.background("quick", &quick)?;
    ensure!(
        quick.wait(std::time::Duration::from_secs(30))?.code() == Some(7),
        "the status is not the daemon's"
    );
    drop((fabric, node));
    ensure!(!process.exists() || isolation::is_zombie(&process)?, "the daemon outlived its node");
    drop(daemon);
    Ok(())
}
