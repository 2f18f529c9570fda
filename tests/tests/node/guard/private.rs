//! Private mode: our conf comes with its network, and what agents do in their directory does not touch it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::CONF_DIR;
use lab::runtime::cri::Sandbox;
use lab::scene::end;
use lab::standin::agent::{Agent, Answer, Conf, Spec, UnixHealth, Way};
use serde_json::json;

use crate::guarded::{GuardScene, OURS, PRIVATE};

const SOCKET: &str = "/run/agent.sock";
const CONF: &str = "/etc/cni/net.d/05-agent.conflist";

/// The node is as if we were not there until the agent is ready; from then on nothing that agents do changes our conf.
pub(crate) fn our_conf_comes_with_its_network_and_nothing_touches_it() -> Result<()> {
    let scene = GuardScene::private()?;
    let old = json!({ "conf": [CONF], "ready": [{ "unix": SOCKET }] });
    scene.crossfade.policy(json!({ "attach": "old", "networks": { "old": old } }))?;
    let watch = scene.watch()?;
    scene.expect_reason("WaitingForNetwork")?;
    let node = Some(scene.node().pid().as_raw().cast_unsigned());
    let gate = scene.node().dir().join("gate");
    let mut agent = Agent::start(
        Spec {
            name: "agent".into(),
            gate: Some(gate.clone()),
            unix: Some(UnixHealth { path: SOCKET.into(), answer: Answer::Refuse }),
            conf: Some(Conf {
                path: CONF.into(),
                content: scene.old.conflist(1).to_string(),
                way: Way::InPlace,
            }),
            exclusive: Some(CONF_DIR.into()),
            ..Spec::default()
        },
        node,
    )?;
    fs::create_dir_all(scene.dir())?;
    let counter = scene.counter()?;
    fs::write(&gate, "")?;
    agent.wait_up()?;
    // Its conf is there, its socket refuses: not ready, and the runtime has nothing.
    until("the conf of the agent", LIMIT, || {
        let why = scene.status()["message"].as_str().unwrap_or_default().to_owned();
        Ok(why.contains(SOCKET).then_some(()))
    })?;
    ensure!(!scene.ours().exists() && !scene.containerd.cri().network_ready()?.0, "too early");
    agent.answer_unix(Answer::Ready)?;
    scene.expect_loaded("crossfade")?;
    scene.expect_reason("NetworkReady")?;
    let whole = fs::read(scene.ours())?;
    scene.expect_pods()?;
    // What an agent does in its directory: renames, tears, leaves with its conf and comes back.
    for number in 0..30 {
        fs::write(scene.outside(CONF_DIR).join(format!("{number}.conf")), "{")?;
    }
    let pod = scene.containerd.cri().run_sandbox(&Sandbox::new("pod"))?;
    agent.answer_unix(Answer::Refuse)?;
    agent.leave(true)?;
    scene.expect_reason("WaitingForNetwork")?;
    ensure!(scene.containerd.cri().network_ready()?.0, "an agent's end took the network of the node");
    scene.containerd.cri().remove(&pod).context("a pod's end without its agent")?;
    ensure!(fs::read(scene.ours())? == whole, "our conf has changed");
    // Not taken away by an end either.
    end(watch)?;
    ensure!(fs::read(scene.ours())? == whole, "our conf has changed");
    let writes = counter.writes()?;
    ensure!(
        writes == (1, 0),
        "(renames, writes in place) {writes:?} in {PRIVATE}/{OURS}, expected one rename"
    );
    ensure!(!scene.outside(CONF_DIR).join(OURS).exists(), "our conf is in the directory of agents");
    Ok(())
}

/// What containerd makes from its template.
const MADE: &str = "10-containerd-net.conflist";

/// A network whose agent is not there yet, and a containerd that makes a conf of its own as soon as it has the pod CIDR.
fn waiting() -> Result<GuardScene> {
    let mut scene = GuardScene::private()?;
    scene.containerd.make_confs()?;
    scene.containerd.restart()?;
    let old = json!({ "conf": [CONF] });
    scene.crossfade.policy(json!({ "attach": "old", "networks": { "old": old } }))?;
    fs::create_dir_all(scene.dir())?;
    Ok(scene)
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The runtime itself writes into our directory, again and again, and so does another program, whose confs sort before ours.
pub(crate) fn a_conf_of_others_in_our_directory_is_removed_as_often_as_it_comes() -> Result<()> {
    let scene = waiting()?;
    let watch = scene.watch()?;
    scene.expect_reason("WaitingForNetwork")?;
    let cri = scene.containerd.cri();
    let made = scene.dir().join(MADE);
    for _ in 0..3 {
        cri.update_pod_cidr("10.88.0.0/24")?;
        until("the end of the conf of the template", LIMIT, || Ok((!is_there(&made)).then_some(())))?;
        until("a runtime without a network", LIMIT, || Ok((!cri.network_ready()?.0).then_some(())))?;
    }
    let pod = cri.run_sandbox(&Sandbox::new("early"));
    ensure!(pod.is_err(), "a pod came up on a network that no policy named: {pod:?}");
    let status = until("a word about it", LIMIT, || {
        let findings = scene.status()["findings"].to_string();
        Ok((findings.contains(MADE) && findings.contains("conf_template")).then_some(findings))
    })?;
    ensure!(status.contains("containerd-net"), "the network is not named: {status}");
    let log = fs::read_to_string(watch.log())?;
    ensure!(log.contains("ForeignConf"), "no event: {log}");
    // With our conf it is the same: a name that sorts before ours would win.
    scene.node().write(CONF, scene.old.conflist(1).to_string())?;
    scene.expect_loaded("crossfade")?;
    scene.expect_reason("NetworkReady")?;
    let theirs = scene.outside("/etc/cni/net.d/theirs");
    fs::write(&theirs, scene.old.conflist(1).to_string())?;
    let (file, link, folder) = (
        scene.dir().join("00-first.conf"),
        scene.dir().join("00-link.conflist"),
        scene.dir().join("crossfade"),
    );
    fs::create_dir(&folder)?;
    std::os::unix::fs::symlink("/etc/cni/net.d/theirs", &link)?;
    fs::copy(&theirs, &file)?;
    for path in [&file, &link, &folder] {
        until("the end of what is not ours", LIMIT, || Ok((!is_there(path)).then_some(())))?;
    }
    ensure!(is_there(&theirs), "what a link leads to was removed");
    scene.expect_reason("NetworkReady")?;
    scene.expect_loaded("crossfade")?;
    scene.expect_pods()?;
    end(watch)
}

pub(crate) fn a_conf_of_others_that_cannot_be_removed_keeps_the_node_from_being_ready() -> Result<()> {
    let scene = waiting()?;
    scene.node().write(CONF, scene.old.conflist(1).to_string())?;
    let watch = scene.watch()?;
    scene.expect_reason("NetworkReady")?;
    let folder = format!("{PRIVATE}/crossfade");
    let mounted = format!("{folder}/mounted");
    // A directory with a mount in it is not removed.
    let node = scene.node();
    node.run(&["mkdir", "-p", "/run/others/mounted"])?;
    node.run(&["mount", "-t", "tmpfs", "others", "/run/others/mounted"])?;
    node.run(&["mv", "/run/others", &folder])?;
    let status = scene.expect_reason("ForeignConf")?;
    ensure!(status["ready"] == false && status["message"].to_string().contains("crossfade"), "{status}");
    node.run(&["umount", &mounted])?;
    until("the end of what is not ours", LIMIT, || Ok((!is_there(&scene.outside(&folder))).then_some(())))?;
    scene.expect_reason("NetworkReady")?;
    end(watch)
}
