//! `install` under running pods whose CNI tells its readiness over HTTP alone, and `watch`, which keeps the file for it.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::host::command;
use lab::host::deadline::{LIMIT, until};
use lab::install::crossfade::{OURS, POLICY};
use lab::scene::{Scene, Setup};
use lab::standin::agent::{Agent, Answer, GrpcHealth, HttpHealth, Spec, UnixHealth};
use serde_json::{Value, json};

use crate::bootstrap;

const FILE: &str = "/run/crossfade/probe/old";

struct Running(Scene);

impl Running {
    /// A node with containerd and its only network, which answers as Calico does.
    fn new() -> Result<Running> {
        let running = Running::with_profile("calico")?;
        running.0.node().write("/var/lib/calico/nodename", "n1")?;
        Ok(running)
    }

    /// A node with containerd and its only network, of this profile.
    fn with_profile(profile: &str) -> Result<Running> {
        let scene = Setup::bare().packaged().settings(json!({})).start()?;
        let conf = |overlay| [scene.crossfade.conf_path(overlay)];
        scene.crossfade.policy(json!({
            "networks": {
                "old": { "profile": profile, "conf": conf(&scene.old) },
                "new": { "conf": conf(&scene.new), "secondary": "works" },
            },
            "attach": "old",
        }))?;
        Ok(Running(scene))
    }

    fn agent(&self, answer: Answer) -> Result<Agent> {
        self.agent_at("127.0.0.1:9099", answer)
    }

    fn agent_at(&self, address: &str, answer: Answer) -> Result<Agent> {
        let http = HttpHealth::plain(address.parse()?, answer);
        self.start(Spec { name: "felix".into(), http: Some(http), ..Spec::default() })
    }

    fn start(&self, spec: Spec) -> Result<Agent> {
        Agent::start(spec, Some(self.0.node().pid().as_raw().cast_unsigned()))
    }

    /// Goes through a life with an agent whose answers `tell` changes, and which refuses at first: `words` name what is asked.
    fn lives(&self, words: &str, mut tell: impl FnMut(Answer) -> Result<()>) -> Result<()> {
        let watch = self.0.watch()?;
        self.refused(&[words, "the agent is not ready"])?;
        tell(Answer::Unavailable)?;
        self.refused(&[words])?;
        tell(Answer::Ready)?;
        let (status, message) = self.install()?;
        ensure!(status == Some(0), "{message}");
        self.until_kept(true)?;
        let pod = self.0.run("at-once")?;
        for answer in [Answer::Unavailable, Answer::Refuse] {
            tell(answer)?;
            self.until_kept(false)?;
            let why =
                format!("{:#}", self.0.run("early").err().context("a pod came up without its datapath")?);
            ensure!(why.contains(FILE), "{why}");
            tell(Answer::Ready)?;
            self.until_kept(true)?;
        }
        self.0.cri().remove(&pod)?;
        ensure!(watch.terminate()?.success(), "watch ended badly");
        Ok(())
    }

    fn install(&self) -> Result<(Option<i32>, String)> {
        command::status_and_text(&mut self.0.bootstrap(&["install"])?)
    }

    /// A refusal, after which the node is as it was.
    fn refused(&self, words: &[&str]) -> Result<()> {
        let before = fs::read(self.0.node().outside(POLICY))?;
        let (status, message) = self.install()?;
        ensure!(status == Some(3), "install: {status:?} {message}");
        for words in words.iter().chain(&["network old", FILE]) {
            ensure!(message.contains(words), "{words:?} is not in {message}");
        }
        ensure!(!self.0.node().outside(OURS).exists(), "our conf is there: {message}");
        ensure!(fs::read(self.0.node().outside(POLICY))? == before, "the policy was changed: {message}");
        Ok(())
    }

    /// Waits until the file is there, or gone.
    fn until_kept(&self, there: bool) -> Result<()> {
        let what = if there { "the file of watch" } else { "the end of the file of watch" };
        until(what, LIMIT, || Ok((self.0.node().outside(FILE).exists() == there).then_some(())))
    }
}

/// On a node with IPv6 alone an agent listens on ::1 alone, and is asked there.
pub(crate) fn an_agent_that_listens_on_ipv6_alone_is_found() -> Result<()> {
    let running = Running::new()?;
    let mut agent = running.agent_at("[::1]:9099", Answer::Refuse)?;
    let watch = running.0.watch()?;
    running.refused(&["localhost:9099/readiness", "the agent is not ready"])?;
    agent.answer_http(Answer::Ready)?;
    let (status, message) = running.install()?;
    ensure!(status == Some(0), "{message}");
    running.until_kept(true)?;
    let pod = running.0.run("at-once")?;
    agent.answer_http(Answer::Unavailable)?;
    running.until_kept(false)?;
    let why = format!("{:#}", running.0.run("early").err().context("a pod came up without its datapath")?);
    ensure!(why.contains(FILE), "{why}");
    agent.answer_http(Answer::Ready)?;
    running.until_kept(true)?;
    running.0.cri().remove(&pod)?;
    agent.leave(false)?;
    ensure!(watch.terminate()?.success(), "watch ended badly");
    Ok(())
}

/// Antrea's agent has signed its certificate itself.
pub(crate) fn an_agent_that_speaks_https_is_asked_by_watch() -> Result<()> {
    let running = Running::with_profile("antrea")?;
    let page = HttpHealth { tls: true, ..HttpHealth::plain("127.0.0.1:10350".parse()?, Answer::Refuse) };
    let socket = UnixHealth { path: "/var/run/antrea/cni.sock".into(), answer: Answer::Ready };
    let spec = Spec { name: "antrea".into(), unix: Some(socket), http: Some(page), ..Spec::default() };
    let mut agent = running.start(spec)?;
    running.lives("localhost:10350/readyz", |answer| agent.answer_http(answer))?;
    let requests = agent.requests()?;
    ensure!(requests.iter().any(|head| head.starts_with("GET /readyz ")), "{requests:?}");
    agent.leave(false)
}

/// The AWS VPC CNI's agent listens at one of two places, by its release.
pub(crate) fn an_agent_that_speaks_grpc_is_asked_by_watch_where_it_listens() -> Result<()> {
    for place in ["/var/run/aws-node/ipamd.sock", "127.0.0.1:50051"] {
        let running = Running::with_profile("aws-vpc")?;
        let health = GrpcHealth { place: place.into(), answer: Answer::Refuse };
        let spec = Spec { name: "ipamd".into(), grpc: Some(health), ..Spec::default() };
        let mut agent = running.start(spec)?;
        running.lives("gRPC health", |answer| agent.answer_grpc(answer)).context(place)?;
        agent.leave(false)?;
    }
    Ok(())
}

/// Cilium's agent answers for itself alone only to a request with its header.
pub(crate) fn an_agent_gets_the_header_that_its_profile_names() -> Result<()> {
    let running = Running::with_profile("cilium")?;
    let header = Some("brief: true".into());
    let page = HttpHealth { header, ..HttpHealth::plain("127.0.0.1:9879".parse()?, Answer::Ready) };
    let socket = UnixHealth { path: "/var/run/cilium/cilium.sock".into(), answer: Answer::Ready };
    let spec = Spec { name: "cilium".into(), unix: Some(socket), http: Some(page), ..Spec::default() };
    let mut agent = running.start(spec)?;
    let (status, message) = running.install()?;
    ensure!(status == Some(0), "{message}");
    let watch = running.0.watch()?;
    let network = |ready: bool| {
        until("watch's word on the network", LIMIT, || {
            let path = running.0.node().outside("/run/crossfade/status.json");
            let Ok(text) = fs::read(path) else { return Ok(None) };
            let status: Value = serde_json::from_slice(&text)?;
            Ok((status["networks"][0]["ready"] == json!(ready)).then_some(()))
        })
    };
    network(true)?;
    agent.answer_http(Answer::Unavailable)?;
    network(false)?;
    agent.answer_http(Answer::Ready)?;
    network(true)?;
    agent.leave(false)?;
    ensure!(watch.terminate()?.success(), "watch ended badly");
    Ok(())
}

pub(crate) fn no_pod_waits_for_a_file_that_no_watch_keeps() -> Result<()> {
    let running = Running::new()?;
    let before = running.0.run("before")?;
    let mut agent = running.agent(Answer::Ready)?;
    // The file would not be kept: there is neither systemd nor a `watch`.
    running.refused(&["no watch runs here", "crossfade-bootstrap unit watch"])?;
    let watch = running.0.watch()?;
    // A `watch` would keep it, but the agent does not answer where its profile says.
    agent.answer_http(Answer::Refuse)?;
    running.refused(&["localhost:9099/readiness", "the agent is not ready"])?;
    agent.answer_http(Answer::Ready)?;
    let (status, message) = running.install()?;
    ensure!(status == Some(0), "{message}");
    // The file comes before the policy that waits for it, and that before the conf.
    let at = |words: &str| message.find(words).with_context(|| format!("{words:?} is not in {message}"));
    ensure!(at(FILE)? < at(POLICY)? && at(POLICY)? < at(OURS)?, "{message}");
    ensure!(running.0.node().outside(FILE).exists(), "install has not written the file");
    let policy: Value = serde_json::from_slice(&fs::read(running.0.node().outside(POLICY))?)?;
    ensure!(policy["networks"]["old"]["ready"][2] == json!({ "file": FILE }), "{policy}");
    let pod = running.0.run("at-once")?;

    // The agent is not ready: within a look of watch its pods wait, and the reason says whom to ask. Pods end as ever.
    agent.answer_http(Answer::Unavailable)?;
    running.until_kept(false)?;
    let why = format!("{:#}", running.0.run("early").err().context("a pod came up without its datapath")?);
    ensure!(why.contains(FILE) && why.contains("systemctl status crossfade-watch"), "{why}");
    running.0.cri().remove(&pod)?;
    running.0.cri().remove(&before)?;
    agent.answer_http(Answer::Ready)?;
    running.until_kept(true)?;
    let pod = running.0.run("in-time")?;

    // A watch that ends takes nothing away, so no pod waits for it; and one that is started removes the file if the agent is not ready.
    ensure!(watch.terminate()?.success(), "watch ended badly");
    running.0.cri().remove(&pod)?;
    ensure!(running.0.node().outside(FILE).exists(), "the end of watch has taken the file away");
    running.0.run("meanwhile")?;
    agent.answer_http(Answer::Unavailable)?;
    fs::remove_file(running.0.node().outside("/run/crossfade/status.json"))?;
    let watch = running.0.watch()?;
    running.until_kept(false)?;
    agent.leave(false)?;
    ensure!(watch.terminate()?.success(), "watch ended badly");
    // `policy set` warns where the phase needs the file, which no watch keeps now.
    for (phase, warned) in [("new", false), ("both-old", true)] {
        let (status, message) = bootstrap(running.0.node(), &["policy", "set", phase, "--runtime"])?;
        let output = message.contains(FILE) && message.contains("systemctl start crossfade-watch");
        ensure!(status == Some(0) && output == warned, "{phase}: {status:?} {message}");
    }
    Ok(())
}
