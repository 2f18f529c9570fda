//! Pods that wait for the network that the policy names, and for no other: agents in every order, and a CNI whose readiness only `watch` can ask.

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use lab::standin::agent::{Answer, HttpHealth, Spec};
use libtest_mimic::Trial;
use serde_json::json;

use crate::{NEEDS, boot_with_pods, ensure_held, private};

const WATCH: &str = "crossfade-watch.service";
const FILE: &str = "/run/crossfade/probe/new";
const GATE: &str = "/run/lab-agents/felix.gate";

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        the_old_agent_first,
        the_new_agent_first,
        an_agent_that_never_comes,
        both_networks_are_waited_for,
        the_directory_s_war_is_not_ours_in_private_mode,
        after_a_reboot_pods_wait_for_an_agent_that_only_watch_can_ask,
    ]
}

fn the_old_agent_first() -> Result<()> {
    let mut machine = private()?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::New)
}

fn the_new_agent_first() -> Result<()> {
    let machine = Machine::new()?;
    furniture::settings(
        &machine,
        &furniture::node_json("private", json!({})),
        &furniture::policy("new", "old"),
    )?;
    furniture::agent(&machine, Network::Old, 0.0, false)?;
    furniture::agent(&machine, Network::New, 0.0, true)?;
    machine.write(furniture::PODS, "one\ntwo\n")?;
    let mut machine = machine;
    machine.boot()?;
    machine.until_pods(2)?;
    machine.open_gate(Network::Old)?;
    machine.ensure_only(Network::New)
}

/// Held, with kubelet up and talking, for as long as it lasts; here until a whole boot is over.
fn an_agent_that_never_comes() -> Result<()> {
    let mut machine = private()?;
    machine.boot_whole()?;
    ensure_held(&mut machine)?;
    machine.run(&["systemctl", "restart", "crossfade-watch", "kubelet"])?;
    ensure_held(&mut machine)
}

fn both_networks_are_waited_for() -> Result<()> {
    let mut machine = private()?;
    machine.write("/etc/crossfade/policy.json", furniture::policy("both", "old").to_string())?;
    machine.boot()?;
    ensure_held(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    machine.ensure_only(Network::Old)
}

/// An agent that renames every conf but its own away, and a directory that is replaced: the runtime does not look there.
fn the_directory_s_war_is_not_ours_in_private_mode() -> Result<()> {
    let mut machine = private()?;
    boot_with_pods(&mut machine)?;
    let ours = machine.look("/run/crossfade/net.d/01-crossfade.conflist")?;
    machine.run(&[
        "sh",
        "-ec",
        "cd /etc/cni; cp -a net.d other; mv net.d/10-old.conflist net.d/10-old.conflist.cilium_bak; \
         mv net.d gone; mv other net.d; echo x >net.d/00-first.conflist",
    ])?;
    machine.write(furniture::PODS, "one\ntwo\nthree\n")?;
    machine.run(&["systemctl", "restart", "kubelet"])?;
    machine.until_pods(3)?;
    machine.ensure_only(Network::New)?;
    ensure!(machine.look("/run/crossfade/net.d/01-crossfade.conflist")? == ours);
    ensure!(machine.list("/run/crossfade/net.d")? == ["01-crossfade.conflist"]);
    Ok(())
}

/// A machine whose new network is Calico as far as a node can tell; its agent answers when its gate is opened.
fn machine() -> Result<Machine> {
    let machine = Machine::new()?;
    let mut policy = furniture::policy("new", "old");
    let new = &mut policy["networks"]["new"];
    new["profile"] = json!("calico");
    new.as_object_mut().context("a network")?.remove("ready");
    furniture::settings(&machine, &furniture::node_json("shared", json!({})), &policy)?;
    furniture::agent(&machine, Network::Old, 0.0, true)?;
    // What a reboot leaves of it.
    machine.write("/var/lib/calico/nodename", "node-1")?;
    machine.write(Network::New.conf(), Network::New.conflist().to_string())?;
    let http = HttpHealth::plain("127.0.0.1:9099".parse()?, Answer::Ready);
    let spec = Spec { name: "felix".into(), gate: Some(GATE.into()), http: Some(http), ..Spec::default() };
    machine.write("/etc/lab/agents/felix.json", format!("{}\n", serde_json::to_string(&spec)?))?;
    let unit = format!(
        "[Unit]\nDescription=felix (stand-in)\n[Service]\nExecStartPre=mkdir -p {}\n\
         ExecStart=sh -c '(cat /etc/lab/agents/felix.json; exec sleep infinity) | exec lab-agent'\n",
        furniture::AGENTS_RUN
    );
    machine.unit("felix.service", &unit)?;
    machine.write(furniture::PODS, "one\ntwo\n")?;
    Ok(machine)
}

/// Pods are tried and none comes to be, until the agent answers; `before` came to be in earlier boots.
fn wait_for_the_agent(machine: &mut Machine, before: usize) -> Result<()> {
    let tried = machine.attempts()?;
    machine.until("a pod that is tried", |machine| Ok(machine.attempts()? > tried))?;
    machine.until("watch", |machine| Ok(machine.show(WATCH, "ActiveState") == "active"))?;
    let pods = machine.pods()?;
    ensure!(pods.len() == before, "a pod came up before its datapath: {pods:?}");
    ensure!(machine.look(FILE)?.is_none(), "the file has survived the reboot");
    machine.run(&["touch", GATE])?;
    machine.until_pods(before + 2)?;
    ensure!(machine.look(FILE)?.is_some(), "no process keeps the file");
    machine.ensure_only(Network::New)
}

/// A CNI that says over HTTP alone that it is ready: pods of a node that was rebooted wait until `watch` has seen it, and `install` has systemd run
/// `watch`.
fn after_a_reboot_pods_wait_for_an_agent_that_only_watch_can_ask() -> Result<()> {
    let mut machine = machine()?;
    machine.boot()?;
    wait_for_the_agent(&mut machine, 0)?;
    machine.reboot()?;
    wait_for_the_agent(&mut machine, 2)?;

    // Without `watch`, and without our conf: install begins anew, and starts the `watch` that keeps the file.
    machine.run(&["systemctl", "stop", WATCH])?;
    let ours = format!("{}/01-crossfade.conflist", furniture::AGENTS_DIR);
    machine.run(&["rm", &ours, FILE])?;
    let planned = machine.run(&["crossfade-bootstrap", "install", "--dry-run"])?;
    ensure!(planned.contains(&format!("systemctl start {WATCH}")), "{planned}");
    ensure!(machine.show(WATCH, "ActiveState") == "inactive" && machine.look(FILE)?.is_none());
    let done = machine.run(&["crossfade-bootstrap", "install"])?;
    ensure!(machine.show(WATCH, "ActiveState") == "active", "{done}");
    ensure!(machine.look(FILE)?.is_some() && machine.look(&ours)?.is_some(), "{done}");
    // If the unit cannot be started, no `watch` would keep the file: install refuses.
    machine.run(&["systemctl", "stop", WATCH])?;
    machine.run(&["rm", &ours])?;
    machine.run(&["systemctl", "mask", "--runtime", WATCH])?;
    let refused = machine.ask(&["sh", "-c", "crossfade-bootstrap install 2>&1; echo status $?"]);
    ensure!(refused.contains("systemctl unmask") && refused.contains("status 3"), "{refused}");
    ensure!(machine.look(&ours)?.is_none(), "{refused}");
    Ok(())
}
