//! An ADD or DEL that outlasts the runtime's patience: the runtime kills the plugin it called, and no other process.

use std::fs;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::runtime::cri::Sandbox;
use lab::standin::stub::{Act, Call, Reply};
use serde_json::json;

use crate::spied::{SpyScene, passing};

/// How long containerd is given for what hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// A pod whose ADD hangs in a spy with a child of its own, and the look that the spy's DEL takes at both.
struct HungCall {
    network: String,
    pod: String,
    child: String,
    alive: String,
}

impl HungCall {
    /// The spy `ifname` of this network hangs in ADD; its child would end the ADD's work once the gate opens.
    fn prepare(scene: &SpyScene, network: &str, gate: &str) -> Result<HungCall> {
        let path = |file: &str| scene.node().dir().join(file).display().to_string();
        let late = path(&format!("late-{network}"));
        // Its streams are its own, or the runtime would wait for them.
        let child = format!("exec >/dev/null 2>&1; flock --shared {gate} touch {late}");
        let spawn = Act::Spawn(["sh", "-c", &child].map(str::to_owned).to_vec());
        let overlay = if network == "old" { &scene.old } else { &scene.new };
        scene.script(overlay, &passing().on("ADD", Reply(vec![spawn, Act::Hang])))?;
        // The runtime may keep the name of a pod that it gave up for a moment.
        let pod = format!("hung-{}", scene.log().calls()?.len());
        Ok(HungCall {
            network: network.to_owned(),
            pod,
            child: late,
            alive: path(&format!("alive-{network}")),
        })
    }

    /// Runs a pod until the runtime's patience ends. Once its ADD hangs, the spy's DELs look who is alive.
    fn run(&self, scene: &SpyScene, ifname: &str) -> Result<Call> {
        let before = scene.log().calls()?.len();
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| scene.cri().run_sandbox_within(&Sandbox::new(&self.pod), PATIENCE));
            let brief = format!("spy-{} ADD {ifname}", self.network);
            let call = until(&brief, LIMIT, || {
                let calls = scene.log().calls()?;
                Ok(calls.into_iter().skip(before).find(|call| call.brief() == brief))
            })?;
            let spawned = until("the spy's child", LIMIT, || scene.log().spawned_by(call.pid))?;
            let look = format!(
                "for pid in {} {spawned}; do \
                   grep -q '^State:.[^ZX]' /proc/$pid/status 2>/dev/null && echo $pid >> {}; \
                 done",
                call.pid, self.alive
            );
            let look = Act::Run(["sh", "-c", &look].map(str::to_owned).to_vec());
            let overlay = if self.network == "old" { &scene.old } else { &scene.new };
            scene.script(overlay, &passing().on("DEL", Reply(vec![look])))?;
            let Ok(answer) = caller.join() else { bail!("a caller panicked") };
            ensure!(answer.is_err(), "a pod ran although its ADD hangs");
            Ok(call)
        })
    }

    /// How many of the two were alive when a DEL ran.
    fn alive(&self) -> Result<usize> {
        if !fs::exists(&self.alive)? {
            return Ok(0);
        }
        Ok(fs::read_to_string(&self.alive)?.lines().count())
    }
}

/// The contrast of the next: the DEL succeeds while the ADD's child is still at work, and what it then does stays.
pub(crate) fn without_us_an_orphan_ends_its_add_after_the_del() -> Result<()> {
    let scene = SpyScene::bare()?;
    let gate_path = scene.node().dir().join("gate");
    let gate = scene.gate("gate")?;
    let hung = HungCall::prepare(&scene, "old", &gate_path.display().to_string())?;
    hung.run(&scene, "eth0")?;
    scene.given_up()?;
    ensure!(scene.log().briefs()?.contains(&"spy-old DEL eth0".to_owned()), "{:?}", scene.log().briefs()?);
    ensure!(
        hung.alive()? == 1,
        "{} of the ADD's processes lived at the DEL, expected its child",
        hung.alive()?
    );
    gate.open()?;
    until("the orphan's work", LIMIT, || Ok(fs::exists(&hung.child)?.then_some(())))
}

/// Containerd kills the shim and sends DEL at once: what the ADD left at work ends before a delegate is asked to undo it.
pub(crate) fn an_orphan_ends_before_the_del() -> Result<()> {
    let scene = SpyScene::new()?;
    let gate_path = scene.node().dir().join("gate");
    let gate = scene.gate("gate")?;
    for (phase, network, ifname, expected) in [
        ("old", "old", "eth0", vec!["spy-old ADD eth0", "spy-old DEL eth0"]),
        // Killed in the first network, and between the two.
        ("both-old", "new", "net1", vec!["spy-new ADD net1", "spy-new DEL net1"]),
        (
            "both-old",
            "old",
            "eth0",
            vec!["spy-new ADD net1", "spy-old ADD eth0", "spy-old DEL eth0", "spy-new DEL net1"],
        ),
    ] {
        scene.policy(phase, json!({}))?;
        let hung = HungCall::prepare(&scene, network, &gate_path.display().to_string())?;
        let call = hung.run(&scene, ifname)?;
        let id = call.var("CNI_CONTAINERID");
        scene.given_up()?;
        ensure!(
            hung.alive()? == 0,
            "{phase}, {network}: {} of the ADD's processes at the DEL",
            hung.alive()?
        );
        scene.expect_calls(id, &expected)?;
        scene.expect_nothing()?;
        ensure!(!fs::exists(&hung.child)?, "{phase}, {network}: the ADD's child did its work");
    }
    gate.open()
}

/// A DEL that the runtime gave up is resumed where it was: who has done its part is not asked again, for by then the
/// address that its rules name may be another pod's.
pub(crate) fn a_del_that_was_killed_resumes_in_its_chain() -> Result<()> {
    let scene = SpyScene::new()?;
    scene.policy("old", json!({}))?;
    let gate = scene.gate("gate")?;
    scene.chain(&scene.old, &["middle", "spy-old"])?;
    scene.stub("middle", &passing().on_calls("DEL", vec![Reply::silent().behind(&gate), Reply::silent()]))?;
    let pod = scene.run("given-up")?;
    let stopped = scene.cri().stop_within(&pod, PATIENCE);
    ensure!(stopped.is_err(), "a DEL that hangs succeeded");
    scene.expect(1, 0, 1)?;
    scene.end(&pod)?;
    let added = ["middle ADD eth0", "spy-old ADD eth0"];
    let deleted = ["spy-old DEL eth0", "middle DEL eth0", "middle DEL eth0"];
    scene.expect_calls(&pod, &[added.as_slice(), &deleted].concat())?;
    scene.expect_nothing()
}
