//! What `sweep` does about annotations that Calico left on Pods, with kubelet's credential and against NodeRestriction.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::lists::Lists;
use super::publisher::Credential;
use super::subject::Subject;
use super::tree::Tree;
use lab::kubernetes::MERGE;

lab::trials![
    annotations_of_a_sandbox_that_is_gone_are_removed_and_no_others,
    nothing_is_removed_while_a_record_is_damaged,
    a_sandbox_that_is_younger_than_the_list_keeps_its_annotations,
    an_inventory_entry_that_is_younger_than_the_list_keeps_its_annotations,
    a_record_that_is_damaged_meanwhile_keeps_them_all,
    a_runtime_that_lists_nothing_any_more_is_not_believed,
    a_pod_that_has_changed_meanwhile_is_left_alone,
    a_node_that_may_not_ask_does_not_fail,
    a_server_that_says_nothing_holds_no_pass_up,
    nobody_is_asked_where_no_cni_leaves_any,
];

pub(super) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(super) const ID: &str = "cni.projectcalico.org/containerID";
pub(super) const ADDRESS: &str = "cni.projectcalico.org/podIP";
pub(super) const ADDRESSES: &str = "cni.projectcalico.org/podIPs";
/// Nobody listens on the discard port.
const NOWHERE: &str = "https://127.0.0.1:9";
pub(super) const KUBECONFIG: &str = "etc/kubernetes/kubelet.conf";

/// What became of the target of each change, and the notes.
pub(super) type Swept = (Vec<(String, String)>, Vec<String>);

/// A node with Calico, whose kubelet has its credential.
pub(super) struct Annotated {
    pub(super) subject: Subject,
    pub(super) tree: Tree,
}

impl Annotated {
    pub(super) fn new(node: &'static str) -> Result<Self> {
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

    /// A Pod of this node with what Calico wrote for a sandbox, and with an annotation of somebody else.
    fn pod(&self, name: &str, sandbox: &str) -> Result<()> {
        self.made(name, sandbox, |_| ())
    }

    pub(super) fn made(&self, name: &str, sandbox: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": name }, "annotations": {
                ID: sandbox, ADDRESS: "10.1.0.7/32", ADDRESSES: "10.1.0.7/32", "other": "stays",
            } },
            "spec": { "nodeName": self.subject.node, "containers": [{ "name": "c", "image": "i" }] },
        });
        change(&mut pod);
        self.subject.admin.create(PODS, &pod)?.object().map(drop)
    }

    pub(super) fn annotations(&self, pod: &str) -> Result<Value> {
        let pod = self.subject.admin.get(&format!("{PODS}/{pod}"))?.object()?;
        ensure!(pod["metadata"]["labels"]["app"] == pod["metadata"]["name"], "{}", pod["metadata"]);
        Ok(pod["metadata"]["annotations"].clone())
    }

    /// Nobody has touched the Pod.
    fn stands(&self, pod: &str, sandbox: &str) -> Result<()> {
        let now = self.annotations(pod)?;
        ensure!(
            now[ID] == sandbox && now[ADDRESSES] == "10.1.0.7/32" && now["other"] == "stays",
            "{pod}: {now}"
        );
        Ok(())
    }

    /// The Pod has lost what Calico wrote, and nothing else.
    pub(super) fn mended(&self, pod: &str) -> Result<()> {
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
    fn inventory(&self, sandboxes: &[&str]) -> Result<()> {
        let entry = |id: &&str| json!({ "containerID": id, "ifname": "eth0", "network": "old" });
        let entries: Vec<_> = sandboxes.iter().map(entry).collect();
        let text = json!({ "version": 1, "attachments": entries }).to_string();
        self.tree.write("var/lib/crossfade/inventory.json", &text)
    }

    fn damaged(&self) -> Result<()> {
        self.tree.write("var/lib/crossfade/attachments/0/x@eth0", "torn")
    }

    fn server(&self, address: &str) -> Result<()> {
        let mut kubeconfig: Value = serde_json::from_str(&self.tree.read(KUBECONFIG)?)?;
        kubeconfig["clusters"][0]["cluster"]["server"] = json!(address);
        self.tree.write(KUBECONFIG, &kubeconfig.to_string())
    }

    /// A pass that succeeds: the targets of its changes with their outcomes, `wait` left out, and its notes.
    fn sweep(&self, more: &[&str]) -> Result<Swept> {
        let output =
            self.tree.bootstrap(&["sweep", "--output=json"])?.args(more).output().context("sweep")?;
        ensure!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let changes = answer["changes"].as_array().context("changes")?;
        let changes = changes.iter().filter(|change| change["action"] != "wait");
        let changes = changes.map(|change| (text(&change["target"]), text(&change["outcome"]))).collect();
        let notes = answer["notes"].as_array().context("notes")?;
        Ok((changes, notes.iter().map(text).collect()))
    }

    pub(super) fn sweep_listed(&self, sandboxes: &[&str], more: &[&str]) -> Result<Swept> {
        let list = format!("--listed={}", self.listed(sandboxes)?.display());
        self.sweep(&[&[list.as_str()], more].concat())
    }
}

/// What the answer says of one Pod.
pub(super) fn target(pod: &str) -> String {
    format!("annotations {ID}, {ADDRESS}, {ADDRESSES} of Pod default/{pod}")
}

/// The notes about annotations.
fn about(notes: &[String]) -> Vec<&str> {
    let all = notes.iter().filter_map(|note| note.strip_prefix("annotations that a CNI left on Pods: "));
    all.collect()
}

fn annotations_of_a_sandbox_that_is_gone_are_removed_and_no_others() -> Result<()> {
    let node = Annotated::new("annotated")?;
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
    let node = Annotated::new("damaged")?;
    node.pod("damaged-stale", "gone")?;
    node.damaged()?;
    // It asks nobody.
    node.server(NOWHERE)?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    ensure!(changes.is_empty() && about(&notes)[0].contains("a record is damaged"), "{changes:?} {notes:?}");
    node.stands("damaged-stale", "gone")
}

/// The sandbox is made after the pass has asked the runtime, and does not come through Crossfade.
fn a_sandbox_that_is_younger_than_the_list_keeps_its_annotations() -> Result<()> {
    let node = Annotated::new("younger")?;
    node.pod("younger-stale", "gone")?;
    node.pod("younger-new", "young")?;
    let lists = Lists::start(|turn| if turn == 0 { vec!["old"] } else { vec!["young"] })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes == [(target("younger-stale"), "done".into())], "{changes:?} {notes:?}");
    node.stands("younger-new", "young")?;
    node.mended("younger-stale")?;
    // What only the first list has may live as well.
    node.pod("younger-old", "old")?;
    let lists = Lists::start(|turn| if turn == 0 { vec!["old", "young"] } else { vec!["young"] })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes.is_empty(), "{changes:?} {notes:?}");
    node.stands("younger-old", "old")
}

fn an_inventory_entry_that_is_younger_than_the_list_keeps_its_annotations() -> Result<()> {
    let node = Annotated::new("entered")?;
    node.pod("entered-new", "entered")?;
    node.pod("entered-stale", "gone")?;
    let place = node.tree.path("var/lib/crossfade/inventory.json");
    let text = json!({ "version": 1, "attachments": [
        { "containerID": "entered", "ifname": "eth0", "network": "old" }] });
    node.inventory(&[])?;
    let lists = Lists::start(move |turn| {
        if turn == 1 {
            fs::write(&place, text.to_string()).expect("the inventory");
        }
        vec!["other"]
    })?;
    // The runtime is asked before the records.
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes == [(target("entered-stale"), "done".into())], "{changes:?} {notes:?}");
    node.stands("entered-new", "entered")
}

fn a_record_that_is_damaged_meanwhile_keeps_them_all() -> Result<()> {
    let node = Annotated::new("tearing")?;
    node.pod("tearing-stale", "gone")?;
    let place = node.tree.path("var/lib/crossfade/attachments/0/x@eth0");
    node.damaged()?;
    fs::remove_file(&place)?;
    let lists = Lists::start(move |turn| {
        if turn == 1 {
            fs::write(&place, "torn").expect("a record");
        }
        vec!["other"]
    })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes.is_empty() && about(&notes)[0].contains("a record is damaged"), "{changes:?} {notes:?}");
    node.stands("tearing-stale", "gone")
}

fn a_runtime_that_lists_nothing_any_more_is_not_believed() -> Result<()> {
    let node = Annotated::new("emptied")?;
    node.pod("emptied-stale", "gone")?;
    let lists = Lists::start(|turn| if turn == 0 { vec!["other"] } else { Vec::new() })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes.is_empty() && about(&notes)[0].contains("lists no sandbox"), "{changes:?} {notes:?}");
    node.stands("emptied-stale", "gone")?;
    // One that has none, and says so twice, is believed.
    let lists = Lists::start(|_| Vec::new())?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    ensure!(changes == [(target("emptied-stale"), "done".into())], "{changes:?} {notes:?}");
    node.mended("emptied-stale")
}

/// A new ADD, a DEL of Calico's own, and a Pod that was made anew, each after the Pods were read.
fn a_pod_that_has_changed_meanwhile_is_left_alone() -> Result<()> {
    let node = Annotated::new("changing")?;
    for pod in ["added", "released", "again", "lost", "gone", "stale"] {
        node.pod(&format!("changing-{pod}"), "gone")?;
    }
    let admin = node.subject.server.admin()?;
    let kubelet = node.subject.server.kubelet(node.subject.node)?;
    let again =
        Annotated { subject: Subject::unregistered("changing")?, tree: Tree::new("changing", &json!({}))? };
    let lists = Lists::start(move |turn| {
        if turn == 1 {
            // As Calico's plugin does with kubelet's rights, and as others may.
            let say = |pod: &str, key: &str, value: Value| {
                let body = json!({ "metadata": { "annotations": { key: value } } });
                let path = format!("{PODS}/changing-{pod}/status");
                kubelet.patch(&path, MERGE, &body).and_then(|answer| answer.object()).expect("a patch");
            };
            say("added", ID, json!("made"));
            say("released", ADDRESS, json!(""));
            say("lost", ADDRESSES, Value::Null);
            for pod in ["again", "gone"] {
                let path = format!("{PODS}/changing-{pod}");
                let uid =
                    admin.get(&path).and_then(|answer| answer.object()).expect("the Pod")["metadata"]["uid"]
                        .as_str()
                        .expect("a UID")
                        .to_owned();
                admin.delete_now(&path, &uid).and_then(|answer| answer.object()).expect("a deletion");
            }
            again.pod("changing-again", "gone").expect("the same name");
        }
        vec!["other"]
    })?;
    let (changes, notes) = node.sweep(&[&lists.endpoint()])?;
    let outcome = |pod: &str| {
        let target = target(&format!("changing-{pod}"));
        changes.iter().find(|change| change.0 == target).map(|change| change.1.clone()).unwrap_or_default()
    };
    let outcomes = ["added", "released", "again", "lost", "gone", "stale"].map(outcome);
    ensure!(outcomes == ["busy", "busy", "busy", "busy", "busy", "done"], "{changes:?} {notes:?}");
    ensure!(about(&notes).is_empty(), "{notes:?}");
    node.stands("changing-added", "made")?;
    node.stands("changing-released", "gone")?;
    node.stands("changing-again", "gone")?;
    let lost = node.annotations("changing-lost")?;
    ensure!(lost[ID] == "gone" && lost[ADDRESS] == "10.1.0.7/32", "{lost}");
    node.mended("changing-stale")
}

fn a_node_that_may_not_ask_does_not_fail() -> Result<()> {
    let node = Annotated::new("unasked")?;
    node.pod("unasked-stale", "gone")?;
    node.server(NOWHERE)?;
    for more in [&["--dry-run"][..], &[]] {
        let (changes, notes) = node.sweep_listed(&[], more)?;
        let said = about(&notes);
        ensure!(changes.is_empty() && said.len() == 1 && said[0].contains("the next pass"), "{notes:?}");
    }
    // Without a credential, and where nothing is said on the Node.
    fs::remove_file(node.tree.path(KUBECONFIG))?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    let said = about(&notes);
    ensure!(changes.is_empty() && said[0].contains("does not look for them"), "{notes:?}");
    node.tree.settings(&json!({
        "confDir": "shared", "report": { "node": false }, "kubelet": { "kubeconfig": format!("/{KUBECONFIG}") },
    }))?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    let said = about(&notes);
    ensure!(changes.is_empty() && said[0].contains("report.node"), "{notes:?}");
    node.stands("unasked-stale", "gone")
}

/// Somebody accepts its connection and never says a word, for longer than a pass waits.
fn a_server_that_says_nothing_holds_no_pass_up() -> Result<()> {
    let node = Annotated::new("unheard")?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    node.server(&format!("https://{}", silent.local_addr()?))?;
    let (changes, notes) = node.sweep_listed(&[], &[])?;
    let said = about(&notes);
    ensure!(changes.is_empty() && said[0].contains("no answer in time"), "{notes:?}");
    Ok(())
}

fn nobody_is_asked_where_no_cni_leaves_any() -> Result<()> {
    let node = Annotated::new("elsewise")?;
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
