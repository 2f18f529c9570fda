//! The stage of the stories: one node with a real containerd and two networks of real plugins, the shim before them or not.
//!
//! Each network is `bridge` with `host-local` and, at the end of its chain, a stub called `spy-NETWORK` that lets everything
//! pass, writes down its calls, and fails or waits as a story wants. What the real plugins hold (leases, links) is what a
//! lost DEL would leak; what the spies wrote down says who was asked.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Context, Result, bail, ensure};
use lab::host::fabric::Overlay;
use lab::host::scratch::files;
use lab::install::crossfade::{BIN_DIR, OURS};
use lab::runtime::containerd::Options;
use lab::scene::{Scene, Setup};
use lab::standin::stub::{CallLog, Gate, Reply, Stub, StubDir};
use serde_json::{Value, json};

/// A scene with spies in both networks.
pub(crate) struct SpyScene {
    scene: Scene,
    stubs: StubDir,
}

impl Deref for SpyScene {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

impl DerefMut for SpyScene {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.scene
    }
}

impl SpyScene {
    /// The shim in front, policy `attach: old`.
    pub(crate) fn new() -> Result<SpyScene> {
        SpyScene::with(Options::default(), false)
    }

    /// No shim: network old is the runtime's own, network new has no conf yet.
    pub(crate) fn bare() -> Result<SpyScene> {
        let spied = SpyScene::new()?;
        fs::remove_file(spied.outside(OURS)).context("our conf")?;
        fs::remove_file(spied.outside(spied.crossfade.conf_path(&spied.new))).context("the conf of new")?;
        spied.expect_loaded("spy-old")?;
        Ok(spied)
    }

    /// The shim in front; `dual` gives both networks IPv6 as well.
    pub(crate) fn with(options: Options, dual: bool) -> Result<SpyScene> {
        let scene = Setup::shim().packaged().containerd(options).start()?;
        let stubs = StubDir::on(scene.node(), BIN_DIR)?;
        for overlay in [&scene.old, &scene.new] {
            stubs.write(&spy(overlay), &passing())?;
            scene.crossfade.network(overlay, &conflist(overlay, &[&spy(overlay)], dual))?;
        }
        Ok(SpyScene { scene, stubs })
    }

    pub(crate) fn gate(&self, name: &str) -> Result<Gate> {
        Gate::closed(&self.node().dir().join(name))
    }

    pub(crate) fn log(&self) -> CallLog {
        self.stubs.log()
    }

    /// Gives the spy of a network another script, its calls counted anew.
    pub(crate) fn script(&self, overlay: &Overlay, stub: &Stub) -> Result<()> {
        self.stub(&spy(overlay), stub)
    }

    /// Puts a stub there, or gives it another script.
    pub(crate) fn stub(&self, name: &str, stub: &Stub) -> Result<()> {
        self.stubs.write(name, stub)
    }

    /// Replaces the stubs at the end of a network's chain.
    pub(crate) fn chain(&self, overlay: &Overlay, stubs: &[&str]) -> Result<()> {
        self.crossfade.network(overlay, &conflist(overlay, stubs, false))
    }

    /// The policy of a phase, with more of its top-level keys.
    pub(crate) fn policy(&self, phase: &str, more: Value) -> Result<()> {
        self.crossfade.phase_with(phase, more)
    }

    /// The sandboxes that containerd keeps, ready or not.
    pub(crate) fn kept(&self) -> Result<Vec<String>> {
        Ok(self.cri().list()?.into_iter().map(|sandbox| sandbox.id).collect())
    }

    /// Waits until containerd has done with every sandbox that it gave up: their network namespaces go last.
    pub(crate) fn given_up(&self) -> Result<()> {
        lab::host::deadline::until("the end of what was given up", lab::host::deadline::LIMIT, || {
            Ok(files(&self.outside("/run/netns"))?.is_empty().then_some(()))
        })
    }

    /// Verb, plugin and ifname of the calls that spies had for one sandbox.
    pub(crate) fn calls_for(&self, id: &str) -> Result<Vec<String>> {
        let calls = self.log().calls()?.into_iter();
        Ok(calls.filter(|call| call.var("CNI_CONTAINERID") == id).map(|call| call.brief()).collect())
    }

    /// Holds when the spies had exactly these calls for a sandbox, in this order.
    pub(crate) fn expect_calls(&self, id: &str, expected: &[&str]) -> Result<()> {
        let calls = self.calls_for(id)?;
        ensure!(calls == expected, "calls for {id}: {calls:?}, expected {expected:?}");
        Ok(())
    }

    /// Leases of old and of new, and records.
    pub(crate) fn expect(&self, old: usize, new: usize, records: usize) -> Result<()> {
        let leases = self.crossfade.leases()?;
        ensure!(
            leases.0.len() == old && leases.1.len() == new,
            "leases {leases:?}, expected {old} and {new}"
        );
        let written = self.crossfade.records()?;
        ensure!(written.len() == records, "records {written:?}, expected {records}");
        Ok(())
    }

    /// Everything that pods which are gone must not have left.
    pub(crate) fn left(&self) -> Result<Vec<String>> {
        let mut left: Vec<String> = self.kept()?.into_iter().map(|id| format!("sandbox {id}")).collect();
        for overlay in [&self.old, &self.new] {
            let leases = overlay.leases(self.node())?;
            left.extend(leases.into_iter().map(|address| format!("lease {address} of {}", overlay.name)));
        }
        for directory in [
            "/run/netns",
            "/var/lib/crossfade/attachments",
            "/var/lib/crossfade/damaged",
            "/run/crossfade/locks",
        ] {
            let files = files(&self.outside(directory))?.into_iter();
            // The lock of what calls share is no pod's, and stays.
            let of_pods = files.filter(|path| path.extension().is_none_or(|end| end != "lock"));
            left.extend(of_pods.map(|path| path.display().to_string()));
        }
        let links = self.node().run(&["ip", "-o", "link", "show", "type", "veth"])?;
        // The node's own is eth0.
        let links = links.lines().filter(|line| line.contains(": veth"));
        left.extend(links.map(|line| format!("link {line}")));
        Ok(left)
    }

    /// Holds when nothing is left.
    pub(crate) fn expect_nothing(&self) -> Result<()> {
        let mut left = Vec::new();
        // The kernel takes a namespace down, with its end of a link, some time after its last user.
        let gone = lab::host::deadline::until("the end of what pods had", LINGER, || {
            left = self.left()?;
            Ok(left.iter().all(|what| !what.starts_with("link ")).then_some(()))
        });
        gone.and_then(|()| if left.is_empty() { Ok(()) } else { bail!("something stays") }).with_context(
            || format!("left: {left:#?}\n{}", self.log().briefs().unwrap_or_default().join("\n")),
        )
    }

    /// Kills every shim that runs on the node, and nothing that it started.
    pub(crate) fn kill_shims(&self) -> Result<()> {
        let program = Path::new(BIN_DIR).join("crossfade");
        let mut killed = 0;
        for pid in fs::read_dir(self.outside("/proc"))?.flatten() {
            if fs::read_link(pid.path().join("exe")).is_ok_and(|exe| exe == program) {
                let pid = pid.file_name();
                self.node().run(&["kill".as_ref(), "-KILL".as_ref(), pid.as_os_str()])?;
                killed += 1;
            }
        }
        ensure!(killed > 0, "no shim runs on the node");
        Ok(())
    }
}

/// How long a link may outlive its pod.
const LINGER: Duration = Duration::from_secs(20);

/// The stub at the end of a network's chain.
pub(crate) fn spy(overlay: &Overlay) -> String {
    format!("spy-{}", overlay.name)
}

/// A spy that lets everything pass.
pub(crate) fn passing() -> Stub {
    Stub::answering(Reply::pass())
}

/// A spy whose DELs fail, with this text, as often as told.
pub(crate) fn failing_dels(times: usize, text: &str) -> Stub {
    let failures = iter::repeat_n(Reply::fail(11, text, ""), times);
    passing().on_calls("DEL", failures.chain([Reply::silent()]).collect())
}

/// A network of `bridge`, `host-local` and these stubs.
fn conflist(overlay: &Overlay, stubs: &[&str], dual: bool) -> Value {
    let mut conflist = overlay.conflist(1);
    let bridge = conflist["plugins"][0].take();
    conflist["plugins"] =
        iter::once(bridge).chain(stubs.iter().map(|stub| json!({ "type": stub }))).collect();
    if dual {
        let six = format!("fd00:{}::/64", overlay.prefix.replace('.', ":"));
        let ipam = &mut conflist["plugins"][0]["ipam"];
        ipam["ranges"] = json!([[{ "subnet": overlay.subnet(1) }], [{ "subnet": six }]]);
        ipam["routes"] = json!([{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]);
    }
    conflist
}
