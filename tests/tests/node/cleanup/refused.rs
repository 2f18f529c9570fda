//! Obstacles that keep everything from being removed.

use std::fs;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use lab::host::netns::Netns;
use libtest_mimic::Trial;
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

use crate::node::{Node, answer, put, same};
use crate::{NEEDS, leavings};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        while_a_pod_lives,
        while_the_agent_runs,
        a_profile_that_would_reach_others,
        while_another_clean_up_runs,
        in_a_pod_that_has_not_the_node_s_network,
        while_a_back_end_cannot_be_read,
    ]
}

/// Asserts that nothing is removed, neither in a dry run nor in earnest, and that the answer says why.
fn refused(node: &Node, profile: &str, why: &str) -> Result<()> {
    let before = node.state()?;
    for arguments in [&[profile][..], &[profile, "--apply"]] {
        let answer = node.cleanup(arguments, 3)?;
        let message = |problem: &Value| problem["what"].as_str().is_some_and(|what| what.contains(why));
        ensure!(
            answer["problems"].as_array().is_some_and(|all| all.iter().any(message)),
            "{why}: {answer:#}"
        );
    }
    same("something was removed", &node.state()?, &before)
}

fn while_a_pod_lives() -> Result<()> {
    let node = leavings::others()?;
    leavings::calico(&node)?;
    node.run("ip link delete tunl0")?;
    let pod = Netns::new()?;
    node.run("ip link add calibbbbbbbbbbb type veth peer name eth1")?;
    node.run(&format!("ip link set eth1 netns {}", pod.path().display()))?;
    refused(&node, "calico", "pods live on calico: calibbbbbbbbbbb")?;
    pod.ip("link delete eth1")?;
    node.cleanup(&["calico"], 0)?;
    leavings::flannel(&node)?;
    node.script("ip link add veth0123abcd type veth peer name eth2\nip link set veth0123abcd master cni0")?;
    refused(&node, "flannel", "veth0123abcd at cni0")?;
    node.run("ip link delete veth0123abcd")?;
    node.cleanup(&["flannel"], 0).map(drop)
}

/// A process that ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn while_the_agent_runs() -> Result<()> {
    let node = leavings::others()?;
    leavings::flannel(&node)?;
    let agent = node.dir.join("bin/flanneld");
    let sleep = if fs::metadata("/usr/bin/sleep").is_ok() { "/usr/bin/sleep" } else { "/bin/sleep" };
    node.dir.install(sleep.as_ref(), "bin/flanneld")?;
    let on_the_node = |before: &[&str], program: &std::path::Path| -> Result<Process> {
        let mut command = node.netns.nsenter();
        command.args(before).arg(program).arg("600");
        let process = command.spawn().map(Process).with_context(|| program.display().to_string())?;
        lab::host::deadline::until("its name", std::time::Duration::from_secs(30), || {
            let name = fs::read_to_string(format!("/proc/{}/comm", process.0.id()))?;
            Ok(program.ends_with(name.trim_end()).then_some(()))
        })?;
        Ok(process)
    };
    let process = on_the_node(&[], &agent)?;
    refused(&node, "flannel", "the agent of flannel runs: flanneld")?;
    drop(process);
    // Any user can give a process that name; without the right to change networks it is no agent.
    let _unprivileged =
        on_the_node(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], &agent)?;
    // One of a pod with a network of its own reaches none of the node's.
    let _of_a_pod = Process(Command::new(&agent).arg("600").spawn()?);
    // One whose name is nearly the agent's is none.
    node.dir.install(sleep.as_ref(), "bin/flanneld2")?;
    let _other = on_the_node(&[], &node.dir.join("bin/flanneld2"))?;
    node.cleanup(&["flannel"], 0)?;
    let socket = "/run/cilium/cilium.sock";
    fs::create_dir_all("/run/cilium")?;
    fs::create_dir_all("/var/run").ok();
    let _listener = std::os::unix::net::UnixListener::bind(socket).context(socket)?;
    refused(&node, "cilium", "the agent of cilium answers")?;
    fs::remove_dir_all("/run/cilium")?;
    Ok(())
}

/// A file in place of a profile may name no more than a profile may; an unknown CNI is an error, and so is one without leavings.
fn a_profile_that_would_reach_others() -> Result<()> {
    let node = leavings::others()?;
    leavings::flannel(&node)?;
    let before = node.state()?;
    let built_in = include_str!("../../../../types/profiles/flannel.json");
    let path = "/etc/crossfade/profiles/flannel.json";
    for (text, why) in [
        (built_in.replace("FLANNEL-FWD", "KUBE-{any}"), "chains of others"),
        (built_in.replace("flannel.{digits}", "eth{digits}"), "interfaces of others"),
        (built_in.replace("/var/lib/cni/flannel", "/var/lib/cni"), "no place of one CNI"),
        ("{".to_owned(), "EOF"),
    ] {
        put(path, &text)?;
        for arguments in [&["flannel"][..], &["flannel", "--apply"]] {
            let answer = node.cleanup(arguments, 78)?;
            ensure!(answer.to_string().contains(why), "{why}: {answer:#}");
        }
    }
    fs::remove_file(path)?;
    ensure!(
        node.cleanup(&["flanel", "--apply"], 2)?.to_string().contains("did you mean"),
        "the nearest name"
    );
    ensure!(
        node.cleanup(&["weave", "--apply"], 3)?.to_string().contains("was not read"),
        "a CNI without leavings"
    );
    same("something was removed", &node.state()?, &before)
}

fn while_another_clean_up_runs() -> Result<()> {
    let node = leavings::others()?;
    leavings::flannel(&node)?;
    let lock = node.dir.dir("run/locks")?.join("cleanup.lock");
    fs::set_permissions(node.dir.join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    fs::set_permissions(node.dir.join("run/locks"), std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let file = fs::File::create(&lock)?;
    fs::set_permissions(&lock, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, why)| why)?;
    node.cleanup(&["flannel", "--apply"], 75)?;
    drop(held);
    node.cleanup(&["flannel", "--apply"], 0).map(drop)
}

/// The older back end has rules, and its program is not there: nothing is known of them, so nothing is removed.
fn while_a_back_end_cannot_be_read() -> Result<()> {
    let node = leavings::others()?;
    leavings::flannel(&node)?;
    let before = node.state()?;
    let output = node.command(&["env", "PATH=/nonexistent"], &["flannel", "--apply"]).output()?;
    let report = answer(&output, 3)?;
    let what = report["problems"][0]["what"].to_string();
    ensure!(
        what.contains("table nat of the legacy iptables: iptables-legacy is in no directory"),
        "{report:#}"
    );
    same("something was removed", &node.state()?, &before)?;
    // On a node that never had rules there, the program is not needed.
    let node = Node::new()?;
    let output = node.command(&["env", "PATH=/nonexistent"], &["flannel"]).output()?;
    answer(&output, 0).map(drop)
}

/// A pod that has the node's files and a network of its own would find nothing, and say that nothing is left.
fn in_a_pod_that_has_not_the_node_s_network() -> Result<()> {
    let node = leavings::others()?;
    leavings::flannel(&node)?;
    let report = node.cleanup(&["flannel", "--host=/"], 3)?;
    ensure!(report["problems"][0]["fix"].to_string().contains("hostNetwork"), "{report:#}");
    node.cleanup(&["flannel"], 0).map(drop)
}
