//! Proofs by attachment, through the real shim and real plugins; `systemd-run` is a stand-in that starts what it is given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::host::node::Daemon;
use lab::host::scratch::files;
use lab::install::crossfade::BIN_DIR;
use lab::scene::end;
use lab::standin::stub::{Act, CallLog, Gate, Reply, Stub, StubDir};
use lab::standin::systemd_run;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::guarded::GuardScene;

/// While it is there, the network's probe holds.
const PROBE: &str = "/run/agent-is-ready";

/// A node in private mode whose network asks for a proof, with a stub at the end of its chain.
pub(crate) struct Proving {
    pub(crate) scene: GuardScene,
    stubs: StubDir,
    dir: PathBuf,
    path: String,
}

impl Proving {
    fn new() -> Result<Proving> {
        Proving::with(json!({ "proof": "attach" }))
    }

    /// With these settings in node.json.
    pub(crate) fn with(settings: Value) -> Result<Proving> {
        let scene = GuardScene::private_with(settings)?;
        let dir = scene.node().dir().join("systemd");
        let path = systemd_run::write(&dir)?;
        let stubs = StubDir::on(scene.node(), BIN_DIR)?;
        stubs.write("spy", &Stub::answering(Reply::pass()))?;
        scene.crossfade.network(&scene.old, &scene.old.conflist_with(1, &["spy"]))?;
        let conf = scene.crossfade.conf_path(&scene.old);
        // A profile whose readiness may be proven by an attachment.
        let old = json!({ "profile": "flannel", "conf": [conf], "ready": [{ "file": PROBE }] });
        scene.crossfade.policy(json!({ "attach": "old", "networks": { "old": old } }))?;
        Ok(Proving { scene, stubs, dir, path })
    }

    pub(crate) fn watch(&self) -> Result<Daemon> {
        let mut command = self.scene.bootstrap(&["unit", "watch"])?;
        command.env("PATH", &self.path);
        self.scene.watching(&command)
    }

    pub(crate) fn log(&self) -> CallLog {
        self.stubs.log()
    }

    /// The agent is ready, or restarts.
    pub(crate) fn ready(&self, ready: bool) -> Result<()> {
        let probe = self.scene.outside(PROBE);
        if ready {
            return Ok(fs::write(probe, "")?);
        }
        fs::remove_file(probe)?;
        until("the report of its end", LIMIT, || {
            let why = self.scene.status()["message"].as_str().unwrap_or_default().to_owned();
            Ok(why.contains(PROBE).then_some(()))
        })
    }

    fn pids(&self) -> Result<Vec<i32>> {
        let text = fs::read_to_string(self.dir.join("pids")).unwrap_or_default();
        text.lines().map(|line| Ok(line.parse()?)).collect()
    }

    pub(crate) fn expect_proof(&self, word: &str) -> Result<Value> {
        let answer = || fs::read_to_string(self.dir.join("output")).unwrap_or_default();
        let proven = until(&format!("a proof that {word}"), LIMIT, || {
            let status = self.scene.status();
            Ok((status["networks"][0]["proof"] == word).then_some(status))
        });
        proven.with_context(|| format!("status: {:#}\nprove: {}", self.scene.status(), answer()))
    }

    /// Nothing of a proof is on the node but its verdict.
    pub(crate) fn expect_nothing(&self) -> Result<()> {
        let leases = self.scene.old.leases(self.scene.node())?;
        ensure!(leases.is_empty(), "leases {leases:?}");
        for directory in
            ["/run/netns", "/run/crossfade/proof/old/state/attachments", "/var/lib/crossfade/attachments"]
        {
            let lease_files = files(&self.scene.outside(directory))?;
            ensure!(lease_files.is_empty(), "left: {lease_files:?}");
        }
        Ok(())
    }
}

/// The network attaches, is checked and detaches before our conf comes; once per life of its agent.
pub(crate) fn a_network_is_proven_before_its_conf_comes() -> Result<()> {
    let lab = Proving::new()?;
    let watch = lab.watch()?;
    lab.scene.expect_reason("WaitingForNetwork")?;
    ensure!(lab.pids()?.is_empty(), "a proof before the probes hold");
    lab.stubs.write("spy", &Stub::answering(Reply::fail(11, "no tunnel yet", "")))?;
    lab.ready(true)?;
    let status = lab.expect_proof("failed")?;
    let message = status["message"].to_string();
    ensure!(message.contains("spy") && message.contains("code 11"), "{status:#}");
    ensure!(!lab.scene.ours().exists(), "our conf came although the proof failed");
    lab.expect_nothing()?;
    lab.stubs.write("spy", &Stub::answering(Reply::pass()))?;
    lab.log().clear()?;
    lab.ready(false)?;
    lab.ready(true)?;
    lab.expect_proof("passed")?;
    lab.scene.expect_reason("NetworkReady")?;
    lab.scene.expect_loaded("crossfade")?;
    let verbs: Vec<String> = lab.log().calls()?.iter().map(|call| call.verb().to_owned()).collect();
    ensure!(verbs == ["ADD", "CHECK", "DEL"], "{verbs:?}");
    lab.expect_nothing()?;
    end(watch)?;
    // The next watch of this boot takes its word.
    let watch = lab.watch()?;
    lab.scene.expect_reason("NetworkReady")?;
    ensure!(lab.log().calls()?.len() == 3, "proven again");
    lab.ready(false)?;
    lab.ready(true)?;
    until("the next proof", LIMIT, || Ok((lab.log().calls()?.len() == 6).then_some(())))?;
    lab.expect_proof("passed")?;
    lab.expect_nothing()?;
    end(watch)
}

/// What a plugin says in a proof that fails may hold a token: it is kept for root, and reported nowhere else.
pub(crate) fn a_secret_that_a_plugin_tells_in_a_proof_is_kept() -> Result<()> {
    const CANARY: &str = "canary-0c41f7";
    let lab = Proving::new()?;
    let answer = |code| Reply::fail(code, &format!("token {CANARY}"), &format!("of {CANARY}"));
    let loud = |reply: Reply| reply.first(Act::Stderr(format!("stderr {CANARY}\n")));
    let result = json!({ "cniVersion": "1.0.0", "ips": [], "dns": { "search": [CANARY] } });
    let torn = Reply::text(&format!("{{\"cniVersion\":\"1.0.0\",\"ips\":[{{\"address\":\"{CANARY}\"}}]}}"));
    let add = |reply: Reply| Stub::answering(loud(reply));
    let stubs = [
        ("an ADD that fails", add(answer(11))),
        ("a result without an address", add(Reply::json(&result))),
        ("a result that is none", add(torn)),
        ("a CHECK that fails", add(Reply::pass()).on("CHECK", loud(answer(100)))),
        ("a DEL that fails", add(Reply::pass()).on("DEL", loud(answer(999)))),
    ];
    let watch = lab.watch()?;
    for (what, stub) in stubs {
        lab.stubs.write("spy", &stub)?;
        lab.ready(true)?;
        let status = lab.expect_proof("failed").context(what)?;
        ensure!(!status.to_string().contains(CANARY), "{what}: {status:#}");
        let answers = lab.scene.outside("/run/crossfade/proof/old/answers.log");
        ensure!(fs::read_to_string(&answers)?.contains(CANARY), "{what}: nothing says why it failed");
        ensure!(fs::metadata(&answers)?.permissions().mode() & 0o777 == 0o600, "others can read {what}");
        for public in [lab.dir.join("output"), watch.log().to_path_buf()] {
            let text = fs::read_to_string(&public)?;
            ensure!(!text.contains(CANARY), "{what}: {}: {text}", public.display());
        }
        lab.stubs.write("spy", &Stub::answering(Reply::pass()))?;
        lab.ready(false)?;
    }
    end(watch)
}

/// A proof that is killed in its ADD: the next one ends what it left, then proves.
pub(crate) fn what_a_killed_proof_left_is_ended_by_the_next() -> Result<()> {
    let lab = Proving::new()?;
    let gate = Gate::closed(&lab.scene.node().dir().join("gate"))?;
    lab.stubs.write("spy", &Stub::answering(Reply::pass().behind(&gate)))?;
    let watch = lab.watch()?;
    lab.ready(true)?;
    until("an ADD that waits", LIMIT, || {
        Ok((!lab.scene.old.leases(lab.scene.node())?.is_empty()).then_some(()))
    })?;
    let inner = *lab.pids()?.first().context("a proof")?;
    let group = outer(&lab, inner)?;
    killpg(Pid::from_raw(group), Signal::SIGKILL).context("kill the proof")?;
    lab.stubs.write("spy", &Stub::answering(Reply::pass()))?;
    gate.open()?;
    ensure!(!lab.scene.old.leases(lab.scene.node())?.is_empty(), "the killed proof left nothing to end");
    lab.ready(false)?;
    lab.ready(true)?;
    lab.expect_proof("passed")?;
    lab.scene.expect_reason("NetworkReady")?;
    lab.expect_nothing()?;
    end(watch)
}

/// The lab's pid of a process that the node knows as `inner`.
fn outer(lab: &Proving, inner: i32) -> Result<i32> {
    let is = |pid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default().to_owned();
        let ids: Vec<i32> = ids.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        let same = fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
            == fs::read_link(format!("/proc/{}/ns/pid", lab.scene.node().pid())).ok();
        ids.len() > 1 && ids.last() == Some(&inner) && same
    };
    let all = fs::read_dir("/proc")?.flatten();
    let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| is(*pid)).context("the proof's process")
}
