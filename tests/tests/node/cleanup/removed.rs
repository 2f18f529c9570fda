//! Objects that are removed, and objects that stay.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use lab::build::preflight::trial;
use lab::host::netns::Netns;
use libtest_mimic::Trial;
use nix::mount::umount;
use serde_json::{Value, json};

use crate::node::{Node, answer, put, same, targets};
use crate::{NEEDS, PORTS, STRACE, leavings};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("of_flannel_nothing_stays_and_of_others_everything", NEEDS, flannel),
        trial("of_calico_nothing_stays_and_of_others_everything", NEEDS, calico),
        trial("of_cilium_the_rule_of_the_node_s_own_addresses_is_put_back", NEEDS, cilium),
        trial("while_others_change_the_same_tables", NEEDS, meanwhile),
        trial("what_another_program_uses_stays_and_is_said", NEEDS, in_use),
        trial("ports_that_the_real_portmap_published_go_with_their_sandbox", PORTS, ports),
        trial("what_an_agent_makes_again_is_said", STRACE, made_again),
    ]
}

/// Makes what a CNI leaves on a node that has others' things alone, and removes it: first in a dry run, then, then once more.
fn removes(profile: &str, node: &Node, leave: impl Fn(&Node) -> Result<()>, paths: &[&str]) -> Result<Value> {
    let before = node.state()?;
    leave(node)?;
    let dirty = node.state()?;
    ensure!(dirty != before, "nothing was left");
    let planned = node.cleanup(&[profile], 0)?;
    same("a dry run changed something", &node.state()?, &dirty)?;
    ensure!(!node.dir.join("state/set-aside/cleanup").exists(), "a dry run wrote a journal");
    let done = node.cleanup(&[profile, "--apply"], 0)?;
    ensure!(targets(&planned) == targets(&done), "the plan differs from what was done: {planned:#} {done:#}");
    same("a node where the CNI never was", &node.state()?, &before)?;
    for path in paths {
        ensure!(!Path::new(path).exists(), "{path} is there");
    }
    let again = node.cleanup(&[profile, "--apply"], 0)?;
    ensure!(targets(&again).is_empty(), "the second run found {again:#}");
    let journal = fs::read_to_string(done["journal"].as_str().context("a journal")?)?;
    for target in targets(&done) {
        let (_, target) = target.split_once(' ').context("a word")?;
        let noted = |event: &str| {
            let is = |line: &Value| line["event"] == event && line["target"] == target;
            journal.lines().filter_map(|line| serde_json::from_str(line).ok()).any(|line: Value| is(&line))
        };
        ensure!(noted("remove") && noted("done"), "{target} is not in the journal: {journal}");
    }
    ensure!(!journal.contains("\"undo\":\"\""), "every line says how to undo it: {journal}");
    Ok(done)
}

fn flannel() -> Result<()> {
    let node = leavings::others()?;
    let paths = ["/run/flannel", "/var/lib/cni/flannel", "/var/lib/cni/networks/cbr0"];
    let done = removes("flannel", &node, leavings::flannel, &paths)?;
    let conf = node.dir.join("net.d/10-flannel.conflist");
    ensure!(!conf.exists() && !node.dir.join("bin/flannel").exists(), "conf or program");
    for stays in ["net.d/05-mine.conflist", "bin/portmap"] {
        ensure!(node.dir.join(stays).exists(), "{stays} is gone");
    }
    ensure!(Path::new("/var/lib/cni/networks/mine/10.9.0.1").exists(), "another network's lease");
    let aside = node.dir.join("state/set-aside/cleanup/flannel").join(conf.strip_prefix("/")?);
    ensure!(aside.exists(), "the conf can be had back from {}", aside.display());
    let kept = done["kept"].to_string();
    for back_end in ["nf_tables", "legacy"] {
        let ports = format!("1 rules of portmap in ip nat ({back_end})");
        ensure!(
            kept.contains(&ports),
            "no runtime was asked which pods live, so {ports} stay and are named: {kept}"
        );
    }
    let last = targets(&done).pop().context("changes")?;
    ensure!(last.ends_with("bin/flannel"), "programs go last, and not {last}");
    let dump = done["notes"].to_string();
    let dump =
        dump.split('"').find_map(|word| word.split("is in ").nth(1)).context("the dump's place")?.to_owned();
    ensure!(fs::read_to_string(&dump)?.contains("FLANNEL-POSTRTG"), "{dump} has the rules from before");
    Ok(())
}

fn calico() -> Result<()> {
    let node = leavings::others()?;
    // The kernel of the tests makes no ipip: a file says that tunl0 is a bridge, and leads to the same acts.
    let built_in = include_str!("../../../../types/profiles/calico.json");
    let own = built_in.replace(r#""kind": "ipip""#, r#""kind": "bridge""#);
    put("/etc/crossfade/profiles/calico.json", &own)?;
    let network = |conf: &str, cidr: &str| json!({"conf": [node.dir.join(conf)], "cidrs": [cidr]});
    let mut old = network("net.d/10-calico.conflist", "192.168.0.0/16");
    old["profile"] = "calico".into();
    let policy = json!({"version": 1, "attach": "new",
        "networks": {"old": old, "new": network("net.d/05-mine.conflist", "10.9.0.0/16")}});
    put(node.dir.join("policy.json"), &policy.to_string())?;
    // What stays of it: a kernel's own interface, which is down and has no address.
    node.script("ip link add tunl0 type bridge")?;
    let leave = |node: &Node| {
        node.script("ip link delete tunl0")?;
        leavings::calico(node)
    };
    let paths = ["/var/lib/calico", "/run/calico", "/etc/cni/net.d/calico-kubeconfig"];
    removes("calico", &node, leave, &paths)?;
    ensure!(
        !node.dir.join("bin/calico").exists() && node.dir.join("bin/host-local").exists(),
        "its program alone"
    );
    fs::remove_file("/etc/crossfade/profiles/calico.json")?;
    Ok(())
}

/// Without that rule a node no longer answers on its own addresses. A reboot is required for what no name leads to.
fn cilium() -> Result<()> {
    let node = leavings::others()?;
    let before = node.state()?;
    leavings::cilium(&node)?;
    let rules = node.run("ip rule")?;
    ensure!(!rules.lines().any(|line| line.starts_with("0:")), "the rule was not moved: {rules}");
    let planned = targets(&node.cleanup(&["cilium"], 0)?);
    let at = |part: &str| {
        planned.iter().position(|line| line.contains(part)).with_context(|| format!("{part}: {planned:#?}"))
    };
    for family in ["-4", "-6"] {
        let (back, gone) = (
            at(&format!("restore routing rule {family}"))?,
            at(&format!("remove routing rule {family} from all lookup 255 pref 100"))?,
        );
        ensure!(back < gone, "{planned:#?}");
    }
    let done = node.cleanup(&["cilium", "--apply"], 3)?;
    same("a node where the CNI never was", &node.state()?, &before)?;
    let why = done["reboot"][0].as_str().context("a reboot is required")?;
    for (path, is_there) in [("cilium", false), ("cilium2", true), ("mine", true), ("tc/globals", true)] {
        ensure!(Path::new("/sys/fs/bpf").join(path).exists() == is_there, "/sys/fs/bpf/{path}: {done:#}");
    }
    ensure!(!Path::new("/run/cilium").exists(), "the mount went before its directory");
    umount("/sys/fs/bpf")?;
    // The links that showed it are gone, and it is still so in this boot.
    let again = node.cleanup(&["cilium", "--apply"], 3)?;
    ensure!(targets(&again).is_empty() && again["reboot"][0] == why, "{again:#}");
    let problem = again["problems"][0]["fix"].as_str().unwrap_or_default();
    ensure!(problem.contains("reboot"), "{again:#}");
    Ok(())
}

/// Others change the same tables all the time; what they have at the end is exactly what they would have had.
fn meanwhile() -> Result<()> {
    let node = leavings::others()?;
    let before = node.state()?;
    leavings::flannel(&node)?;
    let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    let churn = |program: &str| -> Result<()> {
        let mut round = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            for line in [
                format!("{program} -w -t nat -N KUBE-SVC-{round}"),
                format!(
                    "{program} -w -t nat -A KUBE-SERVICES -d 10.96.0.{}/32 -j KUBE-SVC-{round}",
                    round % 250
                ),
                format!("{program} -w -t filter -I FORWARD 1 -s 10.8.0.{}/32 -j ACCEPT", round % 250),
                format!(
                    "{program} -w -t nat -D KUBE-SERVICES -d 10.96.0.{}/32 -j KUBE-SVC-{round}",
                    round % 250
                ),
                format!("{program} -w -t nat -X KUBE-SVC-{round}"),
                format!("{program} -w -t filter -D FORWARD -s 10.8.0.{}/32 -j ACCEPT", round % 250),
            ] {
                node.run(&line)?;
            }
            rounds.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| -> Result<()> {
        let others = ["iptables-nft", "iptables-legacy"].map(|program| scope.spawn(move || churn(program)));
        // Both have begun.
        while rounds.load(Ordering::Relaxed) < 4 && !others.iter().any(|thread| thread.is_finished()) {
            thread::yield_now();
        }
        let done = node.cleanup(&["flannel", "--apply"], 0);
        stop.store(true, Ordering::Relaxed);
        for thread in others {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))?
                .context("the others' own changes")?;
        }
        done.map(drop)
    })?;
    same("a node where the CNI never was", &node.state()?, &before)
}

/// A rule of a person's uses a set and leads to a chain of the CNI's: both stay, are named, and everything else goes.
fn in_use() -> Result<()> {
    let node = leavings::others()?;
    leavings::calico(&node)?;
    node.run("ip link delete tunl0")?;
    node.script(
        "
        iptables-nft -w -A my-cali-FORWARD -m set --match-set cali40all-ipam-pools src -j ACCEPT
        iptables-nft -w -A my-cali-FORWARD -i eth0 -j cali-from-wl-dispatch
        ",
    )?;
    let done = node.cleanup(&["calico", "--apply"], 1)?;
    let remains = done["remains"].as_array().context("remains")?;
    ensure!(remains.len() == 1 && remains[0] == "ipset cali40all-ipam-pools", "{done:#}");
    let kept = done["kept"].to_string();
    for chain in ["cali-from-wl-dispatch", "cali-fw-cali0123456789a"] {
        ensure!(kept.contains(&format!("chain {chain} of ip filter (nf_tables)")), "{kept}");
    }
    let left = node.run("iptables-nft-save")?;
    for line in [
        "-A my-cali-FORWARD -i eth0 -j cali-from-wl-dispatch",
        "-A cali-from-wl-dispatch -i cali0123456789a",
        "-A my-cali-FORWARD -m set --match-set cali40all-ipam-pools src -j ACCEPT",
    ] {
        ensure!(left.contains(line), "{line} is gone: {left}");
    }
    ensure!(!left.contains("cali-POSTROUTING") && !left.contains("cali:wUHhoiAYhphO9Mso -j"), "{left}");
    // The person removes the rules, and the same command finishes.
    node.script(
        "
        iptables-nft -w -D my-cali-FORWARD -m set --match-set cali40all-ipam-pools src -j ACCEPT
        iptables-nft -w -D my-cali-FORWARD -i eth0 -j cali-from-wl-dispatch
        ",
    )?;
    node.cleanup(&["calico", "--apply"], 0)?;
    let state = node.state()?;
    ensure!(!state.contains("cali-from-wl") && !state.contains("cali40all"), "{state}");
    Ok(())
}

/// An agent that `cleanup` does not know creates an interface again. strace delays every line of the journal, so that the agent has time for that.
fn made_again() -> Result<()> {
    let node = leavings::others()?;
    leavings::flannel(&node)?;
    let stop = AtomicBool::new(false);
    let agent = || {
        while !stop.load(Ordering::Relaxed) {
            // It fails while the interface is there.
            let _ = node.run("ip link add flannel.1 type vxlan id 1 dstport 8472 local 192.0.2.10");
        }
    };
    let strace = [
        "strace",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:delay_enter=50000",
    ];
    let output = thread::scope(|scope| {
        scope.spawn(agent);
        let output = node.command(&strace, &["flannel", "--apply"]).output();
        stop.store(true, Ordering::Relaxed);
        output
    })?;
    let done = answer(&output, 3)?;
    ensure!(done["remains"] == json!(["interface flannel.1"]), "{done:#}");
    ensure!(done["problems"][0]["fix"].to_string().contains("who makes it again"), "{done:#}");
    Ok(())
}

/// The plugin `portmap` of the distribution publishes a port for a sandbox that lives, one for a sandbox of another network, and one for a
/// sandbox whose DEL never came.
fn ports() -> Result<()> {
    let node = leavings::others()?;
    let publish = |network: &str, id: &str, port: u16| -> Result<()> {
        let pod = Netns::new()?;
        let conf = json!({
            "cniVersion": "1.0.0", "name": network, "type": "portmap", "snat": true,
            "runtimeConfig": {"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]},
            "prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": pod.path()}],
                           "ips": [{"interface": 0, "address": "192.0.2.77/24", "gateway": "192.0.2.10"}]},
        });
        let mut plugin = node
            .netns
            .nsenter()
            .arg(lab::build::packages::plugin("portmap")?)
            .envs([
                ("CNI_COMMAND", "ADD"),
                ("CNI_CONTAINERID", id),
                ("CNI_IFNAME", "eth0"),
                ("CNI_PATH", "/usr/lib/cni"),
            ])
            .env("CNI_NETNS", pod.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        plugin.stdin.take().context("stdin")?.write_all(conf.to_string().as_bytes())?;
        let output = plugin.wait_with_output()?;
        ensure!(output.status.success(), "portmap: {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    };
    publish("cbr0", "lives", 8081)?;
    publish("mine", "gone", 8082)?;
    let before = node.state()?;
    publish("cbr0", "gone", 8083)?;
    ensure!(node.state()? != before, "portmap published nothing");
    let list = node.dir.join("listed.json");
    put(&list, &json!([{"containerID": "lives"}]).to_string())?;
    let listed = format!("--listed={}", list.display());
    let done = node.cleanup(&["flannel", &listed, "--apply"], 0)?;
    ensure!(targets(&done).len() == 3, "{done:#}");
    same("a node where that port was never published", &node.state()?, &before)
}
