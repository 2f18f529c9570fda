//! `install` under running pods whose CNI tells its readiness over HTTP alone, and `watch`, which keeps the file for it.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use lab::agent::{Agent, Answer, HttpHealth, Spec};
use lab::containerd::{Containerd, Options};
use lab::cri::Sandbox;
use lab::crossfade::{BIN_DIR, CONF_DIR};
use lab::deadline::until;
use lab::fabric::Fabric;
use lab::node::{Daemon, Node};
use serde_json::{Value, json};

use crate::{LIMIT, POLICY, bootstrap, said};

const FILE: &str = "/run/crossfade/probe/old";
const OURS: &str = "/etc/cni/net.d/01-crossfade.conflist";

struct Running {
    containerd: Containerd,
    fabric: Fabric,
}

impl Running {
    /// A node with containerd and its only network, which answers as Calico does.
    fn new() -> Result<Running> {
        let fabric = Fabric::new(1)?;
        let old = fabric.overlay("old", 1, 8472, "10.244")?;
        let node = fabric.node(1);
        let conf = format!("{CONF_DIR}/10-old.conflist");
        node.write(&conf, serde_json::to_vec_pretty(&old.conflist(1))?)?;
        let policy = json!({
            "version": 1,
            "networks": {
                "old": { "profile": "calico", "conf": [conf] },
                "new": { "conf": [format!("{CONF_DIR}/20-new.conflist")], "secondary": "works" },
            },
            "attach": "old",
        });
        node.write(POLICY, policy.to_string())?;
        node.write("/var/lib/calico/nodename", "n1")?;
        lab::scratch::install(&lab::dist::crossfade()?, &node.outside("/usr/libexec/crossfade/crossfade"))?;
        let containerd = Containerd::start(node, &Options::default())?;
        let endpoint = format!("unix://{}", containerd.socket().display());
        let runtime = json!({ "endpoint": endpoint, "binDirs": [BIN_DIR, "/usr/lib/cni"] });
        node.write("/etc/crossfade/node.json", json!({ "version": 1, "runtime": runtime }).to_string())?;
        Ok(Running { containerd, fabric })
    }

    fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    fn agent(&self, answer: Answer) -> Result<Agent> {
        let http = HttpHealth { address: "127.0.0.1:9099".parse()?, answer };
        let spec = Spec { name: "felix".into(), http: Some(http), ..Spec::default() };
        Agent::start(spec, Some(self.node().pid().as_raw().cast_unsigned()))
    }

    fn install(&self) -> Result<(Option<i32>, String)> {
        let mut command = self.node().command(lab::dist::bootstrap()?);
        command.args(["install", "--runtime-endpoint"]).arg(self.containerd.socket());
        said(&mut command)
    }

    /// Starts `watch` and waits for its first word.
    fn watch(&self) -> Result<Daemon> {
        let mut command = self.node().command(lab::dist::bootstrap()?);
        command.arg("watch");
        let mut watch = self.node().background("watch", &command)?;
        until("the first status of watch", LIMIT, || {
            if let Some(status) = watch.ended()? {
                bail!("watch ended with {status}: {}", fs::read_to_string(watch.log())?);
            }
            Ok(self.node().outside("/run/crossfade/status.json").exists().then_some(()))
        })?;
        Ok(watch)
    }

    /// A refusal, after which the node is as it was.
    fn refused(&self, words: &[&str]) -> Result<()> {
        let before = fs::read(self.node().outside(POLICY))?;
        let (status, said) = self.install()?;
        ensure!(status == Some(3), "install: {status:?} {said}");
        for words in words.iter().chain(&["network old", FILE]) {
            ensure!(said.contains(words), "{words:?} is not in {said}");
        }
        ensure!(!self.node().outside(OURS).exists(), "our conf is there: {said}");
        ensure!(fs::read(self.node().outside(POLICY))? == before, "the policy was changed: {said}");
        Ok(())
    }

    /// Waits until the file is there, or gone.
    fn until_kept(&self, there: bool) -> Result<()> {
        let what = if there { "the file of watch" } else { "the end of the file of watch" };
        until(what, LIMIT, || Ok((self.node().outside(FILE).exists() == there).then_some(())))
    }

    fn pod(&self, name: &str) -> Result<String> {
        self.containerd.cri().run_sandbox(&Sandbox::new(name))
    }
}

pub(crate) fn nothing_waits_for_a_file_that_nobody_keeps() -> Result<()> {
    let running = Running::new()?;
    let before = running.pod("before")?;
    let mut agent = running.agent(Answer::Ready)?;
    // Nobody would keep the file: there is neither systemd nor a `watch`.
    running.refused(&["no watch runs here", "crossfade-bootstrap watch"])?;
    let watch = running.watch()?;
    // Somebody would, and the agent does not answer where its profile says.
    agent.answer_http(Answer::Refuse)?;
    running.refused(&["localhost:9099/readiness", "the agent is not ready"])?;
    agent.answer_http(Answer::Ready)?;
    let (status, said) = running.install()?;
    ensure!(status == Some(0), "{said}");
    // The file comes before the policy that waits for it, and that before the conf.
    let at = |words: &str| said.find(words).with_context(|| format!("{words:?} is not in {said}"));
    ensure!(at(FILE)? < at(POLICY)? && at(POLICY)? < at(OURS)?, "{said}");
    ensure!(running.node().outside(FILE).exists(), "install has not written the file");
    let policy: Value = serde_json::from_slice(&fs::read(running.node().outside(POLICY))?)?;
    ensure!(policy["networks"]["old"]["ready"][2] == json!({ "file": FILE }), "{policy}");
    let pod = running.pod("at-once")?;

    // The agent is not ready: within a look of watch its pods wait, and the reason says whom to ask. Pods end as ever.
    agent.answer_http(Answer::Unavailable)?;
    running.until_kept(false)?;
    let why = format!("{:#}", running.pod("early").err().context("a pod came up without its datapath")?);
    ensure!(why.contains(FILE) && why.contains("systemctl status crossfade-watch"), "{why}");
    running.containerd.cri().remove(&pod)?;
    running.containerd.cri().remove(&before)?;
    agent.answer_http(Answer::Ready)?;
    running.until_kept(true)?;
    let pod = running.pod("in-time")?;

    // A watch that ends takes nothing away, so nobody waits for it; and one that is started takes back what is not so any more.
    ensure!(watch.terminate()?.success(), "watch ended badly");
    running.containerd.cri().remove(&pod)?;
    ensure!(running.node().outside(FILE).exists(), "the end of watch has taken the file away");
    running.pod("meanwhile")?;
    agent.answer_http(Answer::Unavailable)?;
    fs::remove_file(running.node().outside("/run/crossfade/status.json"))?;
    let watch = running.watch()?;
    running.until_kept(false)?;
    agent.leave(false)?;
    ensure!(watch.terminate()?.success(), "watch ended badly");
    // Whoever flips now is told.
    for (phase, warned) in [("new", false), ("both-old", true)] {
        let (status, said) = bootstrap(running.node(), &["policy", "set", phase, "--runtime"])?;
        let told = said.contains(FILE) && said.contains("systemctl start crossfade-watch");
        ensure!(status == Some(0) && told == warned, "{phase}: {status:?} {said}");
    }
    Ok(())
}
