//! The verbs of CNI 1.1.0 as a real containerd calls them: STATUS, and no GC.

use anyhow::{Context, Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::host::fabric::Overlay;
use lab::install::crossfade::{BIN_DIR, OURS};
use lab::runtime::containerd::Release;
use lab::scene::{Scene, Setup};
use lab::standin::stub::{CallLog, Reply, Stub, StubDir};
use serde_json::{Value, json};

/// The first that asks STATUS. *Source*: its go.mod has go-cni 1.1.11, whose change 642f1ce is "Support CNI STATUS Verb".
const ASKS_STATUS: Release = Release(2, 0, 1);
const NOT_YET: &str = "the-agent-is-not-there-yet";

/// Both networks at one version, with a spy at the end of each chain.
struct Lab {
    scene: Scene,
    stubs: StubDir,
}

impl Lab {
    fn new(version: &str) -> Result<Lab> {
        let scene = Setup::shim().start()?;
        let stubs = StubDir::on(scene.node(), BIN_DIR)?;
        let lab = Lab { scene, stubs };
        for overlay in [&lab.scene.old, &lab.scene.new] {
            lab.spy(overlay, Reply::silent())?;
            let mut conflist = overlay.conflist_with(1, &[&spy(overlay)]);
            conflist["cniVersion"] = json!(version);
            lab.scene.crossfade.network(overlay, &conflist)?;
        }
        Ok(lab)
    }

    /// How the spy of a network answers STATUS.
    fn spy(&self, overlay: &Overlay, status: Reply) -> Result<()> {
        self.stubs.write(&spy(overlay), &Stub::answering(Reply::pass()).on("STATUS", status))
    }

    fn log(&self) -> CallLog {
        self.stubs.log()
    }

    /// Writes Crossfade's conf, which containerd then loads.
    fn conf(&self, version: &str) -> Result<()> {
        let path = self.scene.outside(OURS);
        let mut conf: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        conf["cniVersion"] = json!(version);
        std::fs::write(&path, conf.to_string())?;
        until("the conf of that version", LIMIT, || {
            let loaded = self.scene.cri().conf_versions()?;
            Ok(loaded.iter().any(|loaded| loaded == version).then_some(()))
        })
    }

    fn count(&self, brief: &str) -> Result<usize> {
        Ok(self.log().briefs()?.iter().filter(|call| *call == brief).count())
    }
}

fn spy(overlay: &Overlay) -> String {
    format!("spy-{}", overlay.name)
}

/// Not ready in the delegate's words is not ready in the runtime's Status; once ready, the node stays so while an agent restarts.
pub(crate) fn the_status_of_a_delegate_is_the_status_of_the_node() -> Result<()> {
    let lab = Lab::new("1.1.0")?;
    let asks = lab.scene.containerd.release() >= ASKS_STATUS;
    lab.spy(&lab.scene.new, Reply::fail(50, NOT_YET, ""))?;
    lab.scene.crossfade.phase("both-old")?;
    lab.log().clear()?;
    lab.conf("1.1.0")?;
    let (ready, why) = lab.scene.cri().network_ready()?;
    if !asks {
        ensure!(ready && lab.log().briefs()?.is_empty(), "{ready}: {why}, {:?}", lab.log().briefs()?);
        return Ok(());
    }
    ensure!(!ready && why.contains(NOT_YET) && why.contains(&lab.scene.new.name), "{ready}: {why}");
    ensure!(
        lab.count("spy-old STATUS")? > 0 && lab.count("spy-new STATUS")? > 0,
        "{:?}",
        lab.log().briefs()?
    );

    lab.spy(&lab.scene.new, Reply::silent())?;
    let (ready, why) = lab.scene.cri().network_ready()?;
    ensure!(ready, "{why}");
    let pod = lab.scene.run("pod")?;
    ensure!(lab.scene.leases()? == (1, 1), "{:?}", lab.scene.leases()?);
    lab.spy(&lab.scene.new, Reply::fail(50, NOT_YET, ""))?;
    let (ready, why) = lab.scene.cri().network_ready()?;
    ensure!(ready, "the restart of an agent takes the network of the node: {why}");
    // What no agent mends by itself.
    lab.stubs.remove(&spy(&lab.scene.new))?;
    let (ready, why) = lab.scene.cri().network_ready()?;
    ensure!(!ready && why.contains("spy-new"), "{ready}: {why}");
    lab.spy(&lab.scene.new, Reply::silent())?;
    ensure!(lab.scene.cri().network_ready()?.0, "not ready with its plugin back");

    // CNI 1.0.0 has no STATUS: no plugin is asked.
    lab.conf("1.0.0")?;
    lab.log().clear()?;
    ensure!(lab.scene.cri().network_ready()?.0, "not ready at 1.0.0");
    ensure!(lab.log().briefs()?.is_empty(), "{:?}", lab.log().briefs()?);
    lab.scene.end(&pod)?;
    lab.scene.crossfade.expect(&[], &[], 0)
}

/// No containerd up to 2.4 calls GC: go-cni has no such call. One that does makes this test fail, and is to be played as a CRI-O is.
pub(crate) fn no_gc_comes_from_containerd() -> Result<()> {
    let release = Release::current()?;
    // The plugins of an earlier one do not know 1.1.0 either.
    let version = if release >= Release(2, 0, 0) { "1.1.0" } else { "1.0.0" };
    let mut lab = Lab::new(version)?;
    lab.scene.crossfade.phase_with("both-old", json!({ "gc": { "graceSeconds": 0 } }))?;
    lab.conf(version)?;
    let (ended, living) = (lab.scene.run("ended")?, lab.scene.run("living")?);
    lab.scene.end(&ended)?;
    let forgotten = lab.scene.run("forgotten")?;
    lab.scene.containerd.forget(&forgotten)?;
    lab.scene.containerd.restart()?;
    lab.scene.expect_loaded("crossfade")?;
    ensure!(lab.scene.cri().network_ready()?.0, "not ready after the restart");
    let briefs = lab.log().briefs()?;
    ensure!(briefs.iter().any(|call| call.contains("STATUS")) == (release >= ASKS_STATUS), "{briefs:?}");
    ensure!(!briefs.iter().any(|call| call.contains("GC")), "this containerd calls GC: {briefs:?}");
    // So what the runtime forgot is the sweep's.
    ensure!(lab.scene.crossfade.records()?.len() == 2, "{:?}", lab.scene.crossfade.records()?);
    lab.scene.run_expecting(&["unit", "sweep"], 0)?;
    ensure!(lab.scene.leases()? == (1, 1), "{:?}", lab.scene.leases()?);
    lab.scene.end(&living).context("the pod that lives")?;
    lab.scene.crossfade.expect(&[], &[], 0)
}
