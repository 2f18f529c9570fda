//! `crossfade-bootstrap unit watch` on a node's files, and its Node.

use std::fs::{self, File};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use lab::host::command::run;
use lab::host::deadline::until;
use serde_json::{Value, json};

use crate::publisher::{Credential, WITHIN};
use crate::subject::{Subject, says};
use crate::tree::{POLICY, Tree};
use lab::kubernetes::STRATEGIC;

lab::trials![
    the_node_follows_the_truth,
    attachments_are_counted_as_they_come_and_go,
    desired_flips_to_an_allowed_phase_and_to_no_other,
    desired_is_followed_once_what_stood_in_the_way_is_gone,
    desired_has_its_last_value,
    a_node_that_does_not_follow_says_so,
    network_unavailable_is_cleared_where_no_cni_writes_it,
    switched_off_is_its_last_word,
    an_api_server_that_is_away_holds_nothing_up,
];

/// A node with its `watch`.
struct WatchedNode {
    subject: Subject,
    tree: Tree,
    watch: Child,
    _credential: Credential,
}

impl WatchedNode {
    fn new(node: &'static str, more: &Value, networks: [&str; 3]) -> Result<Self> {
        let subject = Subject::registered(node)?;
        let credential = Credential::of_kubelet(subject.server, node)?;
        Self::with(subject, credential, more, networks)
    }

    fn with(subject: Subject, credential: Credential, more: &Value, networks: [&str; 3]) -> Result<Self> {
        let mut settings = json!({ "confDir": "private", "proof": "probe",
            "kubelet": { "kubeconfig": "/etc/kubernetes/kubelet.conf" } });
        for (key, value) in more.as_object().context("settings")? {
            settings[key] = value.clone();
        }
        let tree = Tree::new(subject.node, &settings)?;
        let [old, new, attach] = networks;
        tree.networks(old, new, attach)?;
        tree.write("etc/kubernetes/kubelet.conf", "")?;
        for file in ["kubeconfig", "ca.pem", "kubelet-client-current.pem"] {
            let name = if file == "kubeconfig" { "kubelet.conf" } else { file };
            fs::copy(credential.dir.join(file), tree.path("etc/kubernetes").join(name))?;
        }
        let log = File::create(tree.path("watch.log"))?;
        let watch = tree
            .bootstrap(&["unit", "watch"])?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("watch")?;
        Ok(Self { subject, tree, watch, _credential: credential })
    }

    fn set_ready(&self, network: &str) -> Result<()> {
        fs::write(self.tree.ready(network), "").context("ready")
    }

    /// Waits until `watch` has ended with the status by which its unit stays down.
    fn ends_switched_off(&mut self) -> Result<()> {
        let status = until("the end of watch", WITHIN, || Ok(self.watch.try_wait()?))?;
        ensure!(status.code() == Some(3), "{status}: {}", self.tree.read("watch.log")?);
        Ok(())
    }

    /// Waits until the Node says so.
    fn says(&self, status: &str, reason: &str) -> Result<Value> {
        self.subject.until(&format!("{status} {reason}"), |node| says(node)[..2] == [status, reason])
    }

    fn label(&self, phase: &str) -> Result<()> {
        let label = |node: &Value| node["metadata"]["labels"]["crossfade/phase"] == phase;
        self.subject
            .until(&format!("label {phase}"), label)
            .map(drop)
            .with_context(|| format!("events: {:?}", self.subject.events().unwrap_or_default()))
    }

    /// Waits for an event with this reason; its message.
    fn event(&self, reason: &str, part: &str) -> Result<()> {
        until(&format!("event {reason} with {part}"), WITHIN, || {
            let events = self.subject.events()?;
            let answer = |event: &Value| {
                event["reason"] == reason && event["message"].as_str().is_some_and(|text| text.contains(part))
            };
            Ok(events.iter().any(answer).then_some(()))
        })
    }
}

impl Drop for WatchedNode {
    fn drop(&mut self) {
        let _gone = self.watch.kill();
        let _status = self.watch.wait();
    }
}

fn the_node_follows_the_truth() -> Result<()> {
    let watched = WatchedNode::new("watched", &json!({}), ["generic", "generic", "old"])?;
    watched.says("False", "WaitingForNetwork")?;
    watched.label("old")?;
    watched.set_ready("old")?;
    let node = watched.says("True", "NetworkReady")?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    ensure!(says(&node)[2].ends_with(&format!("(boot {})", boot.trim())), "{:?}", says(&node));
    let status: Value = serde_json::from_str(&watched.tree.read("run/crossfade/status.json")?)?;
    let observed = node["metadata"]["annotations"]["crossfade/observed"].as_str().context("observed")?;
    let observed: Value = serde_json::from_str(observed)?;
    ensure!(observed["policySha256"] == status["policySHA256"], "{observed} {status}");
    ensure!(observed["mints"] == json!(["old"]) && observed["follows"] == json!([]), "{observed}");
    let base = observed["base"].as_str().context("a base")?.to_owned();
    let policy = watched.tree.read(POLICY)?;
    watched.tree.write(POLICY, "{")?;
    watched.says("False", "BadSettings")?;
    watched.label("old")?;
    watched.tree.write(POLICY, &policy.replace(r#""attach":"old""#, r#""attach":"new""#))?;
    watched.says("False", "WaitingForNetwork")?;
    watched.label("new")?;
    watched.set_ready("new")?;
    let node = watched.says("True", "NetworkReady")?;
    let flipped = observed_of(&node);
    ensure!(flipped["base"] == *base && flipped["mints"] == json!(["new"]), "{flipped}");
    Ok(())
}

/// The annotation of a Node; null where there is none.
fn observed_of(node: &Value) -> Value {
    let text = node["metadata"]["annotations"]["crossfade/observed"].as_str().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

/// Records come and go without a pass, and the last change is always published.
fn attachments_are_counted_as_they_come_and_go() -> Result<()> {
    let watched = WatchedNode::new("counted", &json!({}), ["generic", "generic", "old"])?;
    let counts = |what: &str, expected: Value| {
        watched.subject.until(what, |node| observed_of(node)["attached"] == expected).map(drop)
    };
    watched.label("old")?;
    watched.set_ready("old")?;
    watched.says("True", "NetworkReady")?;
    counts("an empty state directory", json!({}))?;
    let inventory = |networks: &[&str]| -> Result<()> {
        let entry = |(at, network): (usize, &&str)| json!({ "containerID": format!("c{at}"), "ifname": "eth0", "network": network });
        let entries: Vec<Value> = networks.iter().enumerate().map(entry).collect();
        let text = json!({ "version": 1, "attachments": entries }).to_string();
        watched.tree.write("var/lib/crossfade/inventory.json", &text)
    };
    inventory(&["old", "old", "new"])?;
    counts("an inventory", json!({ "old": 2, "new": 1 }))?;
    // A shard that is not there yet, and what no program can read.
    watched.tree.write("var/lib/crossfade/attachments/a/c9@eth0", "no record")?;
    counts("a damaged record", json!({ "old": 2, "new": 1, "unknown": 1 }))?;
    for networks in [&["old"][..], &["old", "new"], &["new", "new"], &["new"]] {
        inventory(networks)?;
    }
    fs::remove_file(watched.tree.path("var/lib/crossfade/attachments/a/c9@eth0"))?;
    counts("the last change", json!({ "new": 1 }))?;
    inventory(&["old"])?;
    watched.tree.write("var/lib/crossfade/inventory.json", "{")?;
    counts("an inventory that cannot be read", Value::Null)
}

fn desired_flips_to_an_allowed_phase_and_to_no_other() -> Result<()> {
    let settings = json!({ "desired": "node-annotation", "allowed": ["both-old", "both-new"] });
    let watched = WatchedNode::new("flipped", &settings, ["generic", "generic", "old"])?;
    watched.set_ready("old")?;
    watched.set_ready("new")?;
    watched.says("True", "NetworkReady")?;
    let attach = || -> Result<Value> {
        Ok(serde_json::from_str::<Value>(&watched.tree.read(POLICY)?)?["attach"].take())
    };
    for wish in ["new", "old-both", "../../etc/passwd"] {
        watched.subject.annotate("crossfade/desired", &json!(wish))?;
        watched.event("FlipRefused", wish)?;
        ensure!(attach()? == "old", "flipped to {}", attach()?);
    }
    watched.label("old")?;
    watched.subject.annotate("crossfade/desired", &json!("both-old"))?;
    watched.label("both-old")?;
    ensure!(attach()? == "both", "{}", attach()?);
    watched.subject.annotate("crossfade/desired", &json!("both-new"))?;
    watched.label("both-new")?;
    watched.says("True", "NetworkReady")?;
    Ok(())
}

/// A phase that met a full disk, an `allowed` without it, or a policy that cannot be used is followed when that is mended, with the
/// annotation untouched; meanwhile event and condition name it.
fn desired_is_followed_once_what_stood_in_the_way_is_gone() -> Result<()> {
    let settings = json!({ "confDir": "private", "proof": "probe", "desired": "node-annotation", "allowed": ["both-old"],
        "kubelet": { "kubeconfig": "/etc/kubernetes/kubelet.conf" } });
    let watched = WatchedNode::new("patient", &settings, ["generic", "generic", "old"])?;
    watched.set_ready("old")?;
    watched.set_ready("new")?;
    watched.says("True", "NetworkReady")?;
    watched.subject.annotate("crossfade/desired", &json!("both-new"))?;
    watched.event("FlipRefused", "both-new")?;
    let names = |node: &Value| says(node)[2].contains("asks for phase \"both-new\"");
    watched.subject.until("the condition names the refused phase", names)?;
    let mut allowed = settings.clone();
    allowed["allowed"] = json!(["both-old", "both-new", "new"]);
    watched.tree.settings(&allowed)?;
    watched.label("both-new")?;
    watched.subject.until("the condition names it no more", |node| !names(node))?;

    // Nothing can be written beside the policy.
    let dir = watched.tree.path("etc/crossfade");
    nix::mount::mount(Some(&dir), &dir, None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>)?;
    let read_only =
        nix::mount::MsFlags::MS_BIND | nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_RDONLY;
    nix::mount::mount(None::<&str>, &dir, None::<&str>, read_only, None::<&str>)?;
    watched.subject.annotate("crossfade/desired", &json!("both-old"))?;
    let failed = watched.event("FlipFailed", "both-old");
    nix::mount::umount2(&dir, nix::mount::MntFlags::MNT_DETACH)?;
    failed?;
    watched.label("both-old")?;

    let policy = watched.tree.read(POLICY)?;
    watched.tree.write(POLICY, "{")?;
    watched.says("False", "BadSettings")?;
    watched.subject.annotate("crossfade/desired", &json!("new"))?;
    watched.event("FlipFailed", "\"new\"")?;
    watched.tree.write(POLICY, &policy)?;
    watched.label("new")
}

/// Values that follow each other faster than they are looked at, and one that was taken back.
fn desired_has_its_last_value() -> Result<()> {
    let settings = json!({ "desired": "node-annotation", "allowed": ["both-old", "both-new", "new"] });
    let watched = WatchedNode::new("hasty", &settings, ["generic", "generic", "old"])?;
    watched.set_ready("old")?;
    watched.set_ready("new")?;
    watched.says("True", "NetworkReady")?;
    for phase in ["both-old", "new", "both-old", "new", "both-old", "new", "both-new"] {
        watched.subject.annotate("crossfade/desired", &json!(phase))?;
    }
    watched.label("both-new")?;
    // A flip by hand against the annotation is flipped back; without it, it stays.
    let by_hand = |phase: &str| run(&mut watched.tree.bootstrap(&["policy", "set", phase])?);
    by_hand("both-old")?;
    until("the policy's way back", WITHIN, || {
        let policy: Value = serde_json::from_str(&watched.tree.read(POLICY)?)?;
        Ok((policy["both"]["primary"] == "new").then_some(()))
    })?;
    watched.subject.annotate("crossfade/desired", &Value::Null)?;
    watched.subject.annotate("crossfade/desired", &json!("nonsense"))?;
    watched.event("FlipRefused", "nonsense")?;
    by_hand("both-old")?;
    watched.label("both-old")
}

fn a_node_that_does_not_follow_says_so() -> Result<()> {
    let watched = WatchedNode::new("unmoved", &json!({ "allowed": ["new"] }), ["generic", "generic", "old"])?;
    watched.set_ready("old")?;
    watched.says("True", "NetworkReady")?;
    watched.subject.annotate("crossfade/desired", &json!("new"))?;
    watched.event("FlipRefused", "does not follow")?;
    watched.label("old")
}

fn network_unavailable_is_cleared_where_no_cni_writes_it() -> Result<()> {
    let stands = json!({ "status": { "conditions": [{ "type": "NetworkUnavailable", "status": "True", "reason": "CalicoIsDown",
        "message": "x", "lastHeartbeatTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z" }]}});
    for (node, new, status) in [("antrea-after", "antrea", "False"), ("cilium-after", "cilium", "True")] {
        let subject = Subject::registered(node)?;
        subject.kubelet.patch(&format!("{}/status", subject.path()), STRATEGIC, &stands)?.object()?;
        let credential = Credential::of_kubelet(subject.server, node)?;
        let watched = WatchedNode::with(subject, credential, &json!({}), ["calico", new, "new"])?;
        watched.says("False", "WaitingForNetwork")?;
        let unavailable = || watched.subject.condition("NetworkUnavailable");
        ensure!(unavailable()?["reason"] == "CalicoIsDown", "cleared before {new} was ready");
        watched.set_ready("new")?;
        watched.says("True", "NetworkReady")?;
        ensure!(unavailable()?["status"] == status, "{new}: {}", unavailable()?);
    }
    Ok(())
}

fn switched_off_is_its_last_word() -> Result<()> {
    let mut watched = WatchedNode::new("off", &json!({}), ["generic", "generic", "old"])?;
    watched.set_ready("old")?;
    watched.says("True", "NetworkReady")?;
    watched.tree.write("etc/crossfade/disabled", "")?;
    watched.ends_switched_off()?;
    let node = watched.subject.node()?;
    ensure!(says(&node)[..2] == ["False", "SwitchedOff"], "{node}");
    let metadata = &node["metadata"];
    ensure!(metadata["labels"]["crossfade/phase"].is_null(), "{}", metadata["labels"]);
    ensure!(metadata["annotations"]["crossfade/observed"].is_null(), "{}", metadata["annotations"]);
    Ok(())
}

fn an_api_server_that_is_away_holds_nothing_up() -> Result<()> {
    let subject = Subject::registered("alone")?;
    // No program listens at the discard port.
    let credential = Credential::of_kubelet_at(subject.server, "alone", "https://127.0.0.1:9")?;
    let mut watched = WatchedNode::with(subject, credential, &json!({}), ["generic", "generic", "old"])?;
    watched.set_ready("old")?;
    until("the conf", WITHIN, || {
        Ok(watched.tree.path("run/crossfade/net.d/01-crossfade.conflist").is_file().then_some(()))
    })?;
    watched.tree.write("etc/crossfade/disabled", "")?;
    watched.ends_switched_off()?;
    Ok(())
}
