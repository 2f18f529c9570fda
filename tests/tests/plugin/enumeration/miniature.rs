//! One node in miniature for one point: directories on tmpfs, two networks served by stubs, a pod's netns, the shim's conf.
//!
//! The stubs leave something real: a lease file each, and in both-mode an interface with an address and a default route, so
//! that the route step has work to do. `new` is a chain of two plugins. Every call made through [`Miniature::call`] is held to
//! the invariants of an answer; what is found is collected in [`Miniature::problems`].
//!
//! Apart from [`lab::scene`], for it is made anew for each of thousands of points: no runtime, no node, nothing but what a call touches.

mod hold;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lab::{
    case::invariants::{self, CallExit, ExpectedAdd, Tree},
    host::{netns::Netns, scratch::Scratch},
    runtime::caller::{Outcome, Plugin},
    standin::stub::{Reply, StubDir},
};
use serde_json::{Value, json};

use crate::{
    delegates::{Delegates, NAMES},
    host::Host,
    mode::Mode,
};

/// In every delegate's conf, and to be seen nowhere else.
pub(crate) const CANARY: &str = "canary-8f1d20c5-secret";

/// What a call may take: only tells one that answers, in 20 ms, from one that hangs until its deadline.
const BUDGET: Duration = Duration::from_secs(120);

/// The policy's deadlines, in seconds. Longer by far than the budget, so that a call that waits for one is noticed.
const DEADLINE_SECS: u32 = 600;

/// The pod that the point is about. Short, since an interface is named after its container id.
pub(crate) const POD: &str = "p";
/// A pod whose sandbox is gone, for GC.
pub(crate) const STALE: &str = "s";

/// The programs, installed once.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) shim: PathBuf,
    pub(crate) bootstrap: PathBuf,
    pub(crate) stub: PathBuf,
}

static PROGRAMS: OnceLock<Programs> = OnceLock::new();

pub(crate) fn set_programs(programs: Programs) {
    // Named once, by main.
    drop(PROGRAMS.set(programs));
}

pub(crate) fn programs() -> &'static Programs {
    PROGRAMS.get().expect("main names the programs before it runs a test")
}

static MADE: AtomicU32 = AtomicU32::new(0);

/// One node in miniature.
#[derive(Debug)]
pub(crate) struct Miniature {
    dir: Scratch,
    mode: Mode,
    number: u32,
    pub(crate) host: Host,
    netns: Netns,
    /// The netns of [`STALE`], until it is attached.
    stale: Option<Netns>,
    pub(crate) stubs: StubDir,
    shim: Value,
    named: Vec<ExpectedAdd>,
    /// Whether a system call of the shim was made to fail. A DEL that cannot take a host route back succeeds all the same, and leaves
    /// it to the sweep; any other takes it back itself.
    pub(crate) refused: bool,
    /// What was found so far.
    pub(crate) problems: Vec<String>,
    outside: Option<Tree>,
}

impl Miniature {
    pub(crate) fn new(mode: Mode) -> Result<Self> {
        let dir = Scratch::new("enumeration")?;
        let bin = dir.dir("bin")?;
        for name in ["net.d", "leases/tail"] {
            dir.dir(name)?;
        }
        let stubs = StubDir::new(&bin, &dir.join("calls.jsonl"), &programs().stub);
        let network = |name: &str, version: &str, plugins: Value| {
            json!({"cniVersion": version, "name": name, "plugins": plugins}).to_string()
        };
        let token = json!({"token": CANARY});
        fs::write(
            dir.join("net.d/old.conflist"),
            network("oldnet", "0.4.0", json!([{"type": "stub-old", "k8s": token}])),
        )?;
        fs::write(
            dir.join("net.d/new.conflist"),
            network("newnet", "1.1.0", json!([{"type": "stub-new", "k8s": token}, {"type": "stub-tail"}])),
        )?;
        let policy = json!({
            "version": 1,
            "networks": {
                "old": {"conf": [dir.join("net.d/old.conflist")], "cidrs": ["10.1.0.0/16"]},
                "new": {
                    "conf": [dir.join("net.d/new.conflist")],
                    "cidrs": ["10.2.0.0/16"],
                    "secondary": if mode == Mode::Live { "works" } else { "hostRoute" }
                }
            },
            "attach": mode.attach(),
            "both": {"primary": "old", "defaultRoute": if mode == Mode::Live { "old" } else { "new" }},
            "gc": {"graceSeconds": 0},
            "deadlines": {
                "addSeconds": DEADLINE_SECS,
                "delSeconds": DEADLINE_SECS,
                "checkSeconds": DEADLINE_SECS,
                "gcSeconds": DEADLINE_SECS,
                "statusMillis": DEADLINE_SECS * 1000
            }
        });
        fs::write(dir.join("policy.json"), policy.to_string())?;
        fs::write(dir.join("listed.json"), "[]")?;
        let shim = json!({
            "cniVersion": "1.1.0",
            "name": "k8s-pod-network",
            "type": "crossfade",
            "policy": dir.join("policy.json"),
            "stateDir": dir.join("state"),
            "runDir": dir.join("run"),
        });
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let (host, netns) = (Host::new(dir.path())?, Netns::new()?);
        let (named, problems) = (Vec::new(), Vec::new());
        let (stale, outside, refused) = (None, None, false);
        let mut miniature =
            Self { dir, mode, number, host, netns, stale, stubs, shim, named, refused, problems, outside };
        miniature.write_stubs("", &Reply::default())?;
        miniature.outside = Some(miniature.look_outside()?);
        Ok(miniature)
    }

    /// Writes the stubs; `plugin` does something before its ADD.
    pub(crate) fn write_stubs(&self, plugin: &str, before: &Reply) -> Result<()> {
        let delegates = Delegates { leases: self.path("leases"), plug: self.has_interfaces() };
        for name in NAMES {
            let before = if name == plugin { before.clone() } else { Reply::default() };
            self.stubs.write(name, &delegates.stub(name, before))?;
        }
        Ok(())
    }

    /// Whether the stubs make interfaces.
    fn has_interfaces(&self) -> bool {
        matches!(self.mode, Mode::Both | Mode::Live)
    }

    /// Another value of the policy's `attach`.
    pub(crate) fn flip(&mut self, attach: &str) -> Result<()> {
        let path = self.path("policy.json");
        let mut policy: Value = serde_json::from_slice(&fs::read(&path)?)?;
        policy["attach"] = json!(attach);
        fs::write(&path, policy.to_string())?;
        self.outside = Some(self.look_outside()?);
        Ok(())
    }

    /// What the names of this miniature's interfaces out here begin with.
    fn interfaces(&self) -> String {
        format!("w{}-", self.number)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The container id of a pod, unique among all miniatures.
    pub(crate) fn id(&self, pod: &str) -> String {
        format!("w{}-{pod}", self.number)
    }

    /// A call of the shim as a runtime makes it.
    pub(crate) fn plugin(&self, verb: &str, pod: &str) -> Plugin {
        let id = self.id(pod);
        let mut conf = self.shim.clone();
        if verb == "GC" {
            conf["cni.dev/valid-attachments"] = json!([{"containerID": self.id(POD), "ifname": "eth0"}]);
        }
        let plugin = Plugin::new(&programs().shim)
            .read_by_the_oracle()
            .patience(BUDGET * 2)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_PATH", &self.stubs.path().display().to_string())
            .stdin(&conf.to_string());
        if matches!(verb, "ADD" | "DEL" | "CHECK" | "JOIN" | "LEAVE") {
            let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns1;K8S_POD_NAME={pod}");
            plugin
                .env("CNI_CONTAINERID", &id)
                .env("CNI_NETNS", &self.netns_path(pod))
                .env("CNI_IFNAME", "eth0")
                .env("CNI_ARGS", &args)
        } else {
            plugin
        }
    }

    /// CNI_NETNS; empty once it is gone.
    fn netns_path(&self, pod: &str) -> String {
        let netns = if pod == STALE { self.stale.as_ref() } else { Some(&self.netns) };
        let path = netns.map(Netns::path).filter(|path| path.exists());
        path.map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// Runs a call, under a wrapper if there is one, and holds its answer to N4, N7 and N8. `killed` says that the wrapper kills it on purpose.
    pub(crate) fn run(&mut self, verb: &str, pod: &str, wrapper: &[&str], killed: bool) -> Result<Outcome> {
        let began = Instant::now();
        let host = self.host.wrapper();
        let wrapper: Vec<&str> = host.iter().map(String::as_str).chain(wrapper.iter().copied()).collect();
        let outcome = self.plugin(verb, pod).wrapped(&wrapper).run()?;
        let mut findings = Vec::new();
        if !killed {
            findings.extend(invariants::answer(verb, CallExit::from(outcome.status), &outcome.stdout));
        }
        findings.extend(invariants::budget(verb, began.elapsed(), BUDGET));
        let places = [("stdout", outcome.stdout.as_bytes()), ("stderr", outcome.stderr.as_bytes())];
        findings.extend(invariants::secret(CANARY, places));
        self.take(findings);
        if matches!(verb, "ADD" | "JOIN") {
            let parts = match (verb, self.mode) {
                ("JOIN", _) => &self.mode.parts()[1..],
                (_, Mode::Live) => &self.mode.parts()[..1],
                (_, Mode::Old | Mode::New | Mode::Both) => self.mode.parts(),
            };
            let parts = parts.iter().map(|(name, ifname)| ((*name).into(), (*ifname).into()));
            self.named.push(ExpectedAdd {
                id: self.id(pod),
                parts: parts.collect(),
                succeeded: outcome.status.success(),
            });
        }
        Ok(outcome)
    }

    /// A call without anything in its way.
    pub(crate) fn call(&mut self, verb: &str, pod: &str) -> Result<Outcome> {
        self.run(verb, pod, &[], false)
    }

    pub(crate) fn take(&mut self, findings: impl IntoIterator<Item = invariants::Finding>) {
        self.problems.extend(findings.into_iter().map(|finding| finding.to_string()));
    }

    /// Brings a pod up, which must succeed.
    pub(crate) fn attach(&mut self, pod: &str) -> Result<()> {
        let outcome = self.call("ADD", pod)?;
        ensure!(outcome.status.success(), "the ADD before the point failed: {outcome:?}");
        Ok(())
    }

    /// Brings another pod up, whose sandbox then goes without a DEL.
    pub(crate) fn attach_stale(&mut self) -> Result<()> {
        self.stale = Some(Netns::new()?);
        self.attach(STALE)?;
        self.stale = None;
        Ok(())
    }

    /// Everything of the miniature but what the shim and the stubs may write.
    fn look_outside(&self) -> Result<Tree> {
        let [state, run, leases, bin] = ["state", "run", "leases", "bin"].map(|name| self.path(name));
        let ours = [state, run, leases, bin, self.path("calls.jsonl"), self.trace_path(), self.gate_path()];
        Tree::read(self.dir.path(), &ours.each_ref().map(PathBuf::as_path))
    }

    /// Where strace writes.
    pub(crate) fn trace_path(&self) -> PathBuf {
        self.path("trace")
    }

    /// Where a delegate may be held.
    pub(crate) fn gate_path(&self) -> PathBuf {
        self.path("gate")
    }

    /// The netns goes, as when a sandbox goes without a DEL.
    pub(crate) fn remove_netns(&self) -> Result<()> {
        self.netns.remove()
    }

    /// One pass of the sweep over an empty list of sandboxes; it must succeed.
    pub(crate) fn sweep(&mut self) -> Result<()> {
        let flag = |name: &str, file: &str| format!("--{name}={}", self.path(file).display());
        let [enter, host] = self.host.wrapper();
        let output = std::process::Command::new(enter)
            .arg(host)
            .arg(&programs().bootstrap)
            .args(["unit", "sweep", &flag("listed", "listed.json"), &flag("conf-dir", "net.d")])
            .args([flag("state-dir", "state"), flag("run-dir", "run"), flag("policy", "policy.json")])
            .arg(format!("--bin-dir={}", self.stubs.path().display()))
            .output()
            .context("start the sweep")?;
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            self.problems.push(format!("the sweep fails: {text}"));
        }
        self.take(invariants::secret(CANARY, [("the sweep's output", text.as_bytes())]));
        Ok(())
    }

    /// How long the call log is: longer after any call of a stub.
    pub(crate) fn calls_bytes(&self) -> u64 {
        self.path("calls.jsonl").metadata().map_or(0, |log| log.len())
    }

    /// What the pod's lock says, if it is there: every verb but VERSION, STATUS and GC takes it first and writes itself down.
    pub(crate) fn holder(&self) -> Option<Vec<u8>> {
        fs::read(self.path("run/locks").join(format!("{}@eth0", self.id(POD)))).ok()
    }

    /// Paths that the shim may write to: its directories, and a pod's own settings, which it opens inside the pod's netns.
    pub(crate) fn may_write(&self, path: &Path) -> bool {
        let ours =
            [self.path("state"), self.path("run"), "/dev/null".into(), "/proc/sys/net/ipv6/conf".into()];
        ours.iter().any(|directory| path.starts_with(directory))
    }
}
