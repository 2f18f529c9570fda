//! The reads of `doctor` and `policy explain` with kubelet's credential: the Node, and the pods that are bound to it.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::host::command::run_expecting;
use lab::kubernetes::STRATEGIC;
use serde_json::{Value, json};

use crate::publisher::Credential;
use crate::subject::Subject;
use crate::tree::{POLICY, Tree};

lab::trials![
    doctor_reads_the_node_and_its_pods_and_writes_nothing,
    a_pod_is_explained_by_its_annotations,
    a_server_that_does_not_answer_is_a_finding,
];

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A node whose kubelet has its credential, and whose policy heeds an annotation.
struct WatchedNode {
    subject: Subject,
    tree: Tree,
}

impl WatchedNode {
    fn new(node: &'static str) -> Result<Self> {
        let subject = Subject::registered(node)?;
        let credential = Credential::of_kubelet(subject.server, node)?;
        let kubelet = json!({ "kubeconfig": "/etc/kubernetes/kubelet.conf" });
        let tree = Tree::new(node, &json!({ "confDir": "shared", "kubelet": kubelet }))?;
        for (from, to) in [
            ("ca.pem", "ca.pem"),
            ("kubelet-client-current.pem", "kubelet-client-current.pem"),
            ("kubeconfig", "kubelet.conf"),
        ] {
            tree.write(&format!("etc/kubernetes/{to}"), &fs::read_to_string(credential.dir.join(from))?)?;
        }
        tree.networks("old", "new", "old")?;
        let mut policy: Value = serde_json::from_str(&fs::read_to_string(tree.path(POLICY))?)?;
        policy["podAnnotation"] = json!({ "key": "crossfade/attach", "allow": ["new"] });
        tree.write(POLICY, &policy.to_string())?;
        Ok(Self { subject, tree })
    }

    /// A pod that kubelet of this node has taken on, and that has no container.
    fn pod(&self, name: &str, node: &str) -> Result<()> {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "annotations": { "crossfade/attach": "new" } },
            "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "i" }] },
        });
        self.subject.admin.create(PODS, &pod)?.object()?;
        let begun = json!({ "status": { "phase": "Pending", "startTime": "2026-01-01T00:00:00Z" } });
        self.subject.admin.patch(&format!("{PODS}/{name}/status"), STRATEGIC, &begun)?.object().map(drop)
    }

    fn answer(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.tree.bootstrap(arguments)?.arg("--output=json").output()?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
    }
}

fn finding<'a>(answer: &'a Value, code: &str) -> Option<&'a Value> {
    answer["findings"].as_array()?.iter().find(|finding| finding["code"] == code)
}

fn doctor_reads_the_node_and_its_pods_and_writes_nothing() -> Result<()> {
    let looked = WatchedNode::new("looked-at")?;
    let answer = looked.answer(&["doctor"])?;
    let of_server = [
        "node-condition-ready",
        "network-unavailable",
        "node-unregistered",
        "pods-stuck-starting",
        "api-server",
    ];
    let codes: Vec<_> = of_server.iter().filter(|code| finding(&answer, code).is_some()).collect();
    ensure!(codes.is_empty(), "{answer:#}");

    looked.pod("looked-at-1", "looked-at")?;
    looked.pod("looked-elsewhere", "somewhere")?;
    let conditions = json!({ "status": { "conditions": [
        { "type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "cni plugin not initialized" },
        { "type": "NetworkUnavailable", "status": "True", "reason": "CalicoIsDown", "message": "it left" }] } });
    let path = format!("{}/status", looked.subject.path());
    looked.subject.admin.patch(&path, STRATEGIC, &conditions)?.object()?;
    let before = looked.subject.node()?;
    let answer = looked.answer(&["doctor"])?;
    let ready = finding(&answer, "node-condition-ready").context("Ready")?;
    ensure!(ready["evidence"].to_string().contains("cni plugin not initialized"), "{ready:#}");
    finding(&answer, "network-unavailable").context("NetworkUnavailable")?;
    let stuck = finding(&answer, "pods-stuck-starting").with_context(|| format!("{answer:#}"))?;
    ensure!(stuck["objects"] == json!(["default/looked-at-1"]), "{stuck:#}");
    ensure!(looked.subject.node()? == before, "doctor wrote on the Node");
    Ok(())
}

fn a_pod_is_explained_by_its_annotations() -> Result<()> {
    let looked = WatchedNode::new("explained")?;
    looked.pod("explained-1", "explained")?;
    let answer = looked.answer(&["policy", "explain", "default/explained-1"])?;
    ensure!(answer["attach"] == "new" && answer["warnings"] == json!([]), "{answer:#}");
    ensure!(
        answer["live"]["hostNetwork"] == false && answer["live"]["attachments"] == json!([]),
        "{answer:#}"
    );
    // Of a pod that is not on this node kubelet knows nothing.
    looked.pod("explained-elsewhere", "somewhere")?;
    run_expecting(&mut looked.tree.bootstrap(&["policy", "explain", "explained-elsewhere"])?, 3).map(drop)
}

fn a_server_that_does_not_answer_is_a_finding() -> Result<()> {
    let looked = WatchedNode::new("unanswered")?;
    let file = looked.tree.path("etc/kubernetes/kubelet.conf");
    let mut kubeconfig: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    kubeconfig["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:9");
    looked.tree.write("etc/kubernetes/kubelet.conf", &kubeconfig.to_string())?;
    let answer = looked.answer(&["doctor"])?;
    let finding = finding(&answer, "api-server").with_context(|| format!("{answer:#}"))?;
    ensure!(finding["evidence"].to_string().contains("list this Node"), "{finding:#}");
    // Without a credential the API server cannot be asked, and nothing is wrong with that.
    fs::remove_file(file)?;
    let answer = looked.answer(&["doctor"])?;
    ensure!(self::finding(&answer, "api-server").is_none(), "{answer:#}");
    let absent = answer["sources"]
        .as_array()
        .context("sources")?
        .iter()
        .find(|source| source["source"] == "api-server");
    ensure!(absent.is_some_and(|source| source["state"] == "absent"), "{answer:#}");
    Ok(())
}
