//! Private mode: our conf comes with its network, and what agents do in their directory does not touch it.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::agent::{Agent, Answer, Conf, Spec, UnixHealth, Way};
use lab::cri::Sandbox;
use lab::crossfade::CONF_DIR;
use lab::deadline::until;
use serde_json::json;

use crate::LIMIT;
use crate::scene::{OURS, PRIVATE, Scene, end};

const SOCKET: &str = "/run/agent.sock";
const CONF: &str = "/etc/cni/net.d/05-agent.conflist";

/// The node is as if we were not there until the agent is ready; from then on nothing that agents do changes our conf.
pub(crate) fn our_conf_comes_with_its_network_and_nothing_touches_it() -> Result<()> {
    let scene = Scene::private()?;
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
    scene.expect_loaded()?;
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
