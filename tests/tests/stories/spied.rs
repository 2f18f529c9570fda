//! Where the stories play: one node with a real containerd and two networks of real plugins, the shim before them or not.
//!
//! Each network is `bridge` with `host-local` and, at the end of its chain, a stub called `spy-NETWORK` that lets everything
//! pass, writes down its calls, and fails or waits as a story wants. What the real plugins hold (leases, links) is what a
//! lost DEL would leak; what the spies wrote down says who was asked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Context, Result, bail, ensure};
use lab::containerd::{Containerd, Options};
use lab::cri::{Cri, Sandbox};
use lab::crossfade::{BIN_DIR, CONF_DIR, Crossfade};
use lab::fabric::{Fabric, Overlay};
use lab::node::Node;
use lab::scratch::files;
use lab::stub::{Act, CallLog, Gate, Reply, Stub, StubDir};
use serde_json::{Value, json};

/// The node with everything on it.
pub(crate) struct Scene {
    pub(crate) containerd: Containerd,
    pub(crate) crossfade: Crossfade,
    pub(crate) old: Overlay,
    pub(crate) new: Overlay,
    stubs: StubDir,
    // Last, for all of the above is on its node.
    fabric: Fabric,
}

impl Scene {
    /// The shim in front, policy `attach: old`.
    pub(crate) fn new() -> Result<Scene> {
        Scene::with(&Options::default(), false)
    }

    /// No shim: network old is the runtime's own, network new has no conf yet.
    pub(crate) fn bare() -> Result<Scene> {
        let scene = Scene::with(&Options::default(), false)?;
        fs::remove_file(scene.outside(CONF_DIR).join("01-crossfade.conflist")).context("our conf")?;
        fs::remove_file(scene.outside(CONF_DIR).join("10-new.conflist")).context("the conf of new")?;
        scene.expect_loaded("spy-old")?;
        Ok(scene)
    }

    /// The shim in front; `dual` gives both networks IPv6 as well.
    pub(crate) fn with(options: &Options, dual: bool) -> Result<Scene> {
        let fabric = Fabric::new(1)?;
        // The pods of one node reach each other over its bridges: nothing needs to be laid between nodes.
        let overlay = |name: &str, vni: u32, prefix: &str| Overlay {
            name: name.to_owned(),
            vni,
            udp_port: 8472,
            prefix: prefix.to_owned(),
            host_prefix: None,
        };
        let (old, new) = (overlay("old", 1, "10.244"), overlay("new", 2, "10.245"));
        let node = fabric.node(1);
        let crossfade = Crossfade::install(node, &old, &new)?;
        let bin = node.outside(BIN_DIR);
        let program = bin.join("lab-stub");
        lab::scratch::install(&lab::dist::lab_bin("lab-stub")?, &program)?;
        let stubs = StubDir::new(&bin, &node.dir().join("calls"), &program);
        for overlay in [&old, &new] {
            stubs.write(&spy(overlay), &passing())?;
            crossfade.network(overlay, &conflist(overlay, &[&spy(overlay)], dual))?;
        }
        // A package's plugin is root's, whoever built this one.
        node.scratch().install(&lab::dist::crossfade()?, PACKAGED)?;
        let containerd = Containerd::start(node, options)?;
        Ok(Scene { fabric, old, new, crossfade, stubs, containerd })
    }

    pub(crate) fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    pub(crate) fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.node().outside(path)
    }

    pub(crate) fn cri(&self) -> &Cri {
        self.containerd.cri()
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
        let mut policy = match phase.strip_prefix("both-") {
            Some(primary) => json!({ "attach": "both", "both": { "primary": primary } }),
            None => json!({ "attach": phase }),
        };
        if let (Some(policy), Value::Object(more)) = (policy.as_object_mut(), more) {
            policy.extend(more);
        }
        self.crossfade.policy(policy)
    }

    /// Runs a pod and returns the id of its sandbox.
    pub(crate) fn run(&self, name: &str) -> Result<String> {
        self.cri().run_sandbox(&Sandbox::new(name))
    }

    /// Stops and removes, as kubelet does.
    pub(crate) fn end(&self, id: &str) -> Result<()> {
        self.cri().stop(id)?;
        self.cri().remove(id)
    }

    /// The sandboxes that containerd keeps, ready or not.
    pub(crate) fn kept(&self) -> Result<Vec<String>> {
        Ok(self.cri().list()?.into_iter().map(|sandbox| sandbox.id).collect())
    }

    /// Waits until containerd has done with every sandbox that it gave up: their network namespaces go last.
    pub(crate) fn given_up(&self) -> Result<()> {
        lab::deadline::until("the end of what was given up", crate::LIMIT, || {
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
        let leases = (self.old.leases(self.node())?, self.new.leases(self.node())?);
        ensure!(
            leases.0.len() == old && leases.1.len() == new,
            "leases {leases:?}, expected {old} and {new}"
        );
        let found = self.crossfade.records()?;
        ensure!(found.len() == records, "records {found:?}, expected {records}");
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
        let gone = lab::deadline::until("the end of what pods had", LINGER, || {
            left = self.left()?;
            Ok(left.iter().all(|what| !what.starts_with("link ")).then_some(()))
        });
        gone.and_then(|()| if left.is_empty() { Ok(()) } else { bail!("something stays") }).with_context(
            || format!("left: {left:#?}\n{}", self.log().briefs().unwrap_or_default().join("\n")),
        )
    }

    /// Waits until the runtime's conf is one with this plugin in it.
    pub(crate) fn expect_loaded(&self, plugin: &str) -> Result<()> {
        lab::deadline::until(&format!("a conf with {plugin}"), crate::LIMIT, || {
            Ok(self.cri().conf_plugins()?.iter().any(|loaded| loaded == plugin).then_some(()))
        })
    }

    /// Makes containerd forget a sandbox, as if it had died before it wrote anything down; it must be restarted to notice.
    pub(crate) fn forget(&self, id: &str) -> Result<()> {
        let mut ctr = self.node().command("ctr");
        ctr.arg("--address").arg(self.containerd.socket());
        let output = ctr.args(["--namespace", "k8s.io", "containers", "delete", id]).output()?;
        ensure!(output.status.success(), "ctr: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
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

    /// `crossfade-bootstrap` beside this containerd.
    pub(crate) fn bootstrap(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.node().command(lab::dist::bootstrap()?);
        command.args(arguments).arg("--runtime-endpoint").arg(self.containerd.socket());
        if arguments[0] == "install" {
            command.arg("--plugin").arg(self.node().scratch().join(PACKAGED));
        }
        Ok(command)
    }

    /// Runs a command of it that must end so, and returns what it said.
    pub(crate) fn told(&self, arguments: &[&str], status: i32) -> Result<String> {
        let output = self.bootstrap(arguments)?.output().context("crossfade-bootstrap")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        ensure!(output.status.code() == Some(status), "{arguments:?}: {}\n{said}", output.status);
        Ok(said)
    }
}

/// How long a link may outlive its pod.
const LINGER: Duration = Duration::from_secs(20);

/// The plugin as a package would bring it, in the node's directory.
const PACKAGED: &str = "packaged-crossfade";

/// The stub at the end of a network's chain.
pub(crate) fn spy(overlay: &Overlay) -> String {
    format!("spy-{}", overlay.name)
}

/// A spy that lets everything pass.
pub(crate) fn passing() -> Stub {
    Stub::answering(pass())
}

/// The answer of a spy that lets an ADD pass.
pub(crate) fn pass() -> Reply {
    Reply(vec![Act::PrintPrevResult])
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
