//! The end of the reports on a Node: label and annotations go, and the condition says a last word.

use std::fs;
use std::process::Stdio;

use anyhow::{Result, ensure};
use lab::host::command::{run_expecting, status_and_text};
use lab::host::deadline::until;
use serde_json::{Value, json};

use crate::publisher::{Credential, Publisher, WITHIN, ready};
use crate::subject::{Subject, says};
use crate::tree::Tree;
use lab::kubernetes::MERGE;

lab::trials![
    a_final_image_takes_back_what_was_said,
    a_boot_that_is_switched_off_takes_back_what_was_said,
    uninstalling_takes_back_what_was_said,
    a_node_of_which_nothing_was_said_is_not_touched,
    a_node_that_takes_part_keeps_what_it_says,
    it_waits_for_kubelet_s_credential,
    without_an_api_server_it_says_what_to_do_by_hand,
];

/// A node whose `watch` said something on its Node, and runs no more.
struct LeavingNode {
    subject: Subject,
    tree: Tree,
    credential: Credential,
}

impl LeavingNode {
    fn new(node: &'static str, conf_dir: &str) -> Result<Self> {
        let leaving = Self::silent(node, conf_dir)?;
        let mut publisher = Publisher::start(&leaving.credential.kubeconfig(), None)?;
        publisher.publish(&ready("old"))?;
        drop(publisher);
        let others = json!({ "metadata": { "labels": { "other": "x" }, "annotations": { "crossfade/desired": "old", "other": "x" } } });
        leaving.subject.admin.patch(&leaving.subject.path(), MERGE, &others)?.object()?;
        ensure!(says(&leaving.subject.node()?)[0] == "True", "{}", leaving.subject.node()?);
        Ok(leaving)
    }

    fn silent(node: &'static str, conf_dir: &str) -> Result<Self> {
        let subject = Subject::registered(node)?;
        let credential = Credential::of_kubelet(subject.server, node)?;
        let leaving = Self { subject, tree: tree(node, conf_dir)?, credential };
        leaving.give()?;
        Ok(leaving)
    }

    /// Gives kubelet its credential.
    fn give(&self) -> Result<()> {
        for (from, to) in [
            ("ca.pem", "ca.pem"),
            ("kubelet-client-current.pem", "kubelet-client-current.pem"),
            ("kubeconfig", "kubelet.conf"),
        ] {
            let text = fs::read_to_string(self.credential.dir.join(from))?;
            self.tree.write(&format!("etc/kubernetes/{to}"), &text)?;
        }
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        status_and_text(&mut self.tree.bootstrap(arguments)?)
    }

    fn done(&self, arguments: &[&str]) -> Result<String> {
        run_expecting(&mut self.tree.bootstrap(arguments)?, 0)
    }

    fn has_left(&self, status: &str, reason: &str) -> Result<Value> {
        let node = self.subject.node()?;
        let [now, why, message] = says(&node);
        ensure!([now, why] == [status, reason] && message.contains("(since 2"), "{:?}", says(&node));
        let (labels, annotations) = (&node["metadata"]["labels"], &node["metadata"]["annotations"]);
        ensure!(labels["crossfade/phase"].is_null() && labels["other"] == "x", "{labels}");
        ensure!(annotations["crossfade/observed"].is_null(), "{annotations}");
        ensure!(annotations["other"] == "x", "what others say is theirs: {annotations}");
        // A node that is switched on again follows it.
        let desired = if reason == "SwitchedOff" { json!("old") } else { Value::Null };
        ensure!(annotations["crossfade/desired"] == desired, "{annotations}");
        Ok(node)
    }
}

fn tree(node: &str, conf_dir: &str) -> Result<Tree> {
    Tree::new(
        node,
        &json!({ "confDir": conf_dir, "kubelet": { "kubeconfig": "/etc/kubernetes/kubelet.conf" } }),
    )
}

fn a_final_image_takes_back_what_was_said() -> Result<()> {
    let leaving = LeavingNode::new("final", "none")?;
    let before = leaving.subject.node()?;
    let planned = leaving.done(&["unit", "retract", "--dry-run"])?;
    ensure!(leaving.subject.node()? == before, "a dry run wrote on the Node");
    ensure!(leaving.done(&["unit", "retract"])? == planned, "{planned}");
    let node = leaving.has_left("Unknown", "FinalImage")?;
    let printed = leaving.done(&["unit", "retract"])?;
    ensure!(printed.starts_with("keep"), "{printed}");
    ensure!(leaving.subject.node()? == node, "written at every boot");
    Ok(())
}

fn a_boot_that_is_switched_off_takes_back_what_was_said() -> Result<()> {
    let leaving = LeavingNode::new("off-at-boot", "private")?;
    leaving.tree.write("etc/crossfade/disabled", "")?;
    leaving.done(&["unit", "retract"])?;
    leaving.has_left("False", "SwitchedOff").map(drop)
}

fn uninstalling_takes_back_what_was_said() -> Result<()> {
    let leaving = LeavingNode::new("uninstalled", "shared")?;
    let planned = leaving.done(&["uninstall", "--dry-run"])?;
    ensure!(says(&leaving.subject.node()?)[0] == "True", "a dry run wrote on the Node");
    let done = leaving.done(&["uninstall"])?;
    ensure!(planned == done && done.contains("retract"), "{planned}{done}");
    leaving.has_left("Unknown", "Removed").map(drop)
}

fn a_node_of_which_nothing_was_said_is_not_touched() -> Result<()> {
    let leaving = LeavingNode::silent("silent", "none")?;
    let before = leaving.subject.node()?;
    leaving.done(&["unit", "retract"])?;
    ensure!(leaving.subject.node()? == before, "{}", leaving.subject.node()?);
    Ok(())
}

fn a_node_that_takes_part_keeps_what_it_says() -> Result<()> {
    let leaving = LeavingNode::new("partaker", "private")?;
    let before = leaving.subject.node()?;
    let (status, printed) = leaving.run(&["unit", "retract"])?;
    ensure!(status == Some(3) && printed.contains("takes part"), "{status:?}: {printed}");
    ensure!(leaving.subject.node()? == before, "{}", leaving.subject.node()?);
    Ok(())
}

/// In a first boot kubelet is bootstrapped later than this begins.
fn it_waits_for_kubelet_s_credential() -> Result<()> {
    let leaving = LeavingNode::new("patience", "none")?;
    fs::remove_file(leaving.tree.path("etc/kubernetes/kubelet.conf"))?;
    let mut command = leaving.tree.bootstrap(&["unit", "retract", "--timeout", "600"])?;
    let mut retract = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    leaving.give()?;
    let status = until("its end", WITHIN, || Ok(retract.try_wait()?))?;
    ensure!(status.success(), "{status}");
    leaving.has_left("Unknown", "FinalImage").map(drop)
}

fn without_an_api_server_it_says_what_to_do_by_hand() -> Result<()> {
    let subject = Subject::registered("unreachable")?;
    // No program listens at the discard port.
    let credential = Credential::of_kubelet_at(subject.server, "unreachable", "https://127.0.0.1:9")?;
    let leaving = LeavingNode { subject, tree: tree("unreachable", "none")?, credential };
    leaving.give()?;
    let (status, printed) = leaving.run(&["unit", "retract", "--timeout", "1"])?;
    ensure!(status == Some(75) && printed.contains("kubectl label node"), "{status:?}: {printed}");
    // `uninstall` succeeds all the same.
    leaving.tree.settings(
        &json!({ "confDir": "shared", "kubelet": { "kubeconfig": "/etc/kubernetes/kubelet.conf" } }),
    )?;
    let printed = leaving.done(&["uninstall"])?;
    ensure!(printed.contains("kubectl label node") && printed.contains("not done"), "{printed}");
    Ok(())
}
