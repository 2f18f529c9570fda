//! The sweep of annotations that Calico left on Pods, with kubelet's credential and against NodeRestriction.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::publisher::Credential;
use crate::subject::Subject;
use crate::tree::Tree;
use lab::host::command::run;

lab::trials![
    annotations_of_a_sandbox_that_is_gone_are_removed_and_no_others,
    nothing_is_removed_while_a_record_is_damaged,
    a_node_that_may_not_ask_does_not_fail,
    a_server_that_says_nothing_holds_no_pass_up,
    the_api_server_is_not_asked_where_no_cni_leaves_any,
];

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const ID: &str = "cni.projectcalico.org/containerID";
pub(crate) const ADDRESS: &str = "cni.projectcalico.org/podIP";
pub(crate) const ADDRESSES: &str = "cni.projectcalico.org/podIPs";
/// No program listens at the discard port.
const NOWHERE: &str = "https://127.0.0.1:9";
pub(crate) const KUBECONFIG: &str = "etc/kubernetes/kubelet.conf";

/// What became of the target of each change, and the notes.
pub(crate) type SweepResult = (Vec<(String, String)>, Vec<String>);

/// A node with Calico, whose kubelet has its credential.
pub(crate) struct AnnotatedNode {
    pub(crate) subject: Subject,
    pub(crate) tree: Tree,
}

impl AnnotatedNode {
    pub(crate) fn new(node: &'static str) -> Result<Self> {
        let subject = Subject::registered(node)?;
        let credential = Credential::of_kubelet(subject.server, node)?;
        let tree = Tree::new(
            node,
            &json!({ "confDir": "shared", "kubelet": { "kubeconfig": format!("/{KUBECONFIG}") } }),
        )?;
        for (from, to) in [
            ("ca.pem", "ca.pem"),
            ("kubelet-client-current.pem", "kubelet-client-current.pem"),
            ("kubeconfig", "kubelet.conf"),
        ] {
            let text = fs::read_to_string(credential.dir.join(from))?;
            tree.write(&format!("etc/kubernetes/{to}"), &text)?;
        }
        tree.networks("calico", "cilium", "both")?;
        Ok(Self { subject, tree })
    }

    /// Makes a Pod of this node.
    pub(crate) fn pod(&self, name: &str, sandbox: &str) -> Result<()> {
        self.made(name, sandbox, |_| ())
    }

    pub(crate) fn made(&self, name: &str, sandbox: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut pod = annotated(self.subject.node, name, sandbox);
        change(&mut pod);
        self.subject.admin.create(PODS, &pod)?.object().map(drop)
    }

    pub(crate) fn annotations(&self, pod: &str) -> Result<Value> {
        let pod = self.subject.admin.get(&format!("{PODS}/{pod}"))?.object()?;
        ensure!(pod["metadata"]["labels"]["app"] == pod["metadata"]["name"], "{}", pod["metadata"]);
        Ok(pod["metadata"]["annotations"].clone())
    }

    /// The Pod is unchanged.
    pub(crate) fn stands(&self, pod: &str, sandbox: &str) -> Result<()> {
        let now = self.annotations(pod)?;
        ensure!(
            now[ID] == sandbox && now[ADDRESSES] == "10.1.0.7/32" && now["other"] == "stays",
            "{pod}: {now}"
        );
        Ok(())
    }

    /// The Pod has lost what Calico wrote, and nothing else.
    pub(crate) fn mended(&self, pod: &str) -> Result<()> {
        let now = self.annotations(pod)?;
        ensure!(now == json!({ "other": "stays" }), "{pod}: {now}");
        Ok(())
    }

    /// The file of a list of living sandboxes.
    fn listed(&self, sandboxes: &[&str]) -> Result<PathBuf> {
        let list: Vec<_> = sandboxes.iter().map(|id| json!({ "containerID": id })).collect();
        self.tree.write("listed.json", &json!(list).to_string())?;
        Ok(self.tree.path("listed.json"))
    }

    /// The sandboxes that were there before Crossfade. Their network is not ready, so that no pass closes them.
    pub(crate) fn inventory(&self, sandboxes: &[&str]) -> Result<()> {
        let entry = |id: &&str| json!({ "containerID": id, "ifname": "eth0", "network": "old" });
        let entries: Vec<_> = sandboxes.iter().map(entry).collect();
        let text = json!({ "version": 1, "attachments": entries }).to_string();
        self.tree.write("var/lib/crossfade/inventory.json", &text)
    }

    pub(crate) fn damaged(&self) -> Result<()> {
        self.tree.write("var/lib/crossfade/attachments/0/x@eth0", "torn")
    }

    pub(crate) fn server(&self, address: &str) -> Result<()> {
        let mut kubeconfig: Value = serde_json::from_str(&self.tree.read(KUBECONFIG)?)?;
        kubeconfig["clusters"][0]["cluster"]["server"] = json!(address);
        self.tree.write(KUBECONFIG, &kubeconfig.to_string())
    }

    /// A pass that succeeds: the targets of its changes with their outcomes, `wait` left out, and its notes.
    pub(crate) fn sweep(&self, more: &[&str]) -> Result<SweepResult> {
        let answer = run(self.tree.bootstrap(&["unit", "sweep", "--output=json"])?.args(more))?;
        let answer: Value = serde_json::from_str(&answer)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let changes = answer["changes"].as_array().context("changes")?;
        let changes = changes.iter().filter(|change| change["action"] != "wait");
        let changes = changes.map(|change| (text(&change["target"]), text(&change["outcome"]))).collect();
        let notes = answer["notes"].as_array().context("notes")?;
        Ok((changes, notes.iter().map(text).collect()))
    }

    pub(crate) fn sweep_listed(&self, sandboxes: &[&str], more: &[&str]) -> Result<SweepResult> {
        let list = format!("--listed={}", self.listed(sandboxes)?.display());
        self.sweep(&[&[list.as_str()], more].concat())
    }
}

/// A Pod with what Calico wrote for a sandbox, and with an annotation of another writer.
pub(crate) fn annotated(node: &str, name: &str, sandbox: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name }, "annotations": {
            ID: sandbox, ADDRESS: "10.1.0.7/32", ADDRESSES: "10.1.0.7/32", "other": "stays",
        } },
        "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i" }] },
    })
}

/// What the answer says of one Pod.
pub(crate) fn target(pod: &str) -> String {
    format!("annotations {ID}, {ADDRESS}, {ADDRESSES} of Pod default/{pod}")
}

/// The notes about annotations.
pub(crate) fn about(notes: &[String]) -> Vec<&str> {
    let all = notes.iter().filter_map(|note| note.strip_prefix("annotations that a CNI left on Pods: "));
    all.collect()
}

fn annotations_of_a_sandbox_that_is_gone_are_removed_and_no_others() -> Result<()> {
    let node = AnnotatedNode::new("annotated")?;
    node.pod("annotated-stale", "gone")?;
    node.pod("annotated-alive", "alive")?;
    node.pod("annotated-before-us", "known")?;
    node.made("annotated-released", "gone", |pod| pod["metadata"]["annotations"][ADDRESS] = json!(""))?;
    node.made("annotated-elsewhere", "gone", |pod| pod["spec"]["nodeName"] = json!("somewhere"))?;
    node.made("annotated-host", "gone", |pod| pod["spec"]["hostNetwork"] = json!(true))?;
    node.pod("annotated-leaving", "gone")?;
    // kubelet would say when it is gone.
    node.subject.admin.delete(&format!("{PODS}/annotated-leaving"))?.object()?;
    node.inventory(&["known"])?;
    let before = node.subject.admin.get(PODS)?.object()?;

    let planned = node.sweep_listed(&["alive"], &["--dry-run"])?;
    ensure!(planned.0 == [(target("annotated-stale"), String::new())], "{planned:?}");
    let versions = |pods: &Value| -> Vec<Value> {
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        let own =
            items.into_iter().filter(|pod| pod["metadata"]["name"].to_string().contains("\"annotated-"));
        own.map(|pod| pod["metadata"]["resourceVersion"].clone()).collect()
    };
    ensure!(versions(&before).len() == 7, "{before:#}");
    ensure!(
        versions(&node.subject.admin.get(PODS)?.object()?) == versions(&before),
        "a dry run wrote on a Pod"
    );

    let done = node.sweep_listed(&["alive"], &[])?;
    ensure!(done.0 == [(target("annotated-stale"), "done".into())] && about(&done.1).is_empty(), "{done:?}");
    node.mended("annotated-stale")?;
    node.stands("annotated-alive", "alive")?;
    node.stands("annotated-before-us", "known")?;
    for pod in ["released", "elsewhere", "host", "leaving"] {
        node.stands(&format!("annotated-{pod}"), "gone")?;
    }
    let again = node.sweep_listed(&["alive"], &[])?;
    ensure!(again.0.is_empty(), "{again:?}");
    Ok(())
}

fn nothing_is_removed_while_a_record_is_damaged() -> Result<()> {
    let node = AnnotatedNode::new("damaged")?;
    node.pod("damaged-stale", "gone")?;
    node.damaged()?;
    // The API server is not asked.
    node.server(NOWHERE)?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    ensure!(changes.is_empty() && about(&notes)[0].contains("a record is damaged"), "{changes:?} {notes:?}");
    node.stands("damaged-stale", "gone")
}

fn a_node_that_may_not_ask_does_not_fail() -> Result<()> {
    let node = AnnotatedNode::new("unasked")?;
    node.pod("unasked-stale", "gone")?;
    node.server(NOWHERE)?;
    for more in [&["--dry-run"][..], &[]] {
        let (changes, notes) = node.sweep_listed(&[], more)?;
        let message = about(&notes);
        ensure!(
            changes.is_empty() && message.len() == 1 && message[0].contains("the next pass"),
            "{notes:?}"
        );
    }
    // Without a credential, and where nothing is said on the Node.
    fs::remove_file(node.tree.path(KUBECONFIG))?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    let message = about(&notes);
    ensure!(changes.is_empty() && message[0].contains("does not look for them"), "{notes:?}");
    node.tree.settings(&json!({
        "confDir": "shared", "report": { "node": false }, "kubelet": { "kubeconfig": format!("/{KUBECONFIG}") },
    }))?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    let message = about(&notes);
    ensure!(changes.is_empty() && message[0].contains("report.node"), "{notes:?}");
    node.stands("unasked-stale", "gone")
}

/// The server accepts its connection and never answers, for longer than a pass waits.
fn a_server_that_says_nothing_holds_no_pass_up() -> Result<()> {
    let node = AnnotatedNode::new("unheard")?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    node.server(&format!("https://{}", silent.local_addr()?))?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    let message = about(&notes);
    ensure!(changes.is_empty() && message[0].contains("no answer in time"), "{notes:?}");
    Ok(())
}

fn the_api_server_is_not_asked_where_no_cni_leaves_any() -> Result<()> {
    let node = AnnotatedNode::new("elsewise")?;
    node.pod("elsewise-stale", "gone")?;
    node.server(NOWHERE)?;
    node.tree.networks("flannel", "cilium", "both")?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    ensure!(changes.is_empty() && about(&notes).is_empty(), "{notes:?}");
    // Canal's plugin is Calico's.
    node.tree.networks("canal", "cilium", "old")?;
    let (_, notes) = node.sweep_listed(&[], &[])?;
    ensure!(about(&notes).len() == 1, "{notes:?}");
    node.stands("elsewise-stale", "gone")
}
