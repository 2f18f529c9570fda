//! Obstacles of `graduate`: each is named, with the way on, and nothing is changed.

use std::fs;

use anyhow::{Result, ensure};
use lab::install::crossfade::{CONF_DIR, OURS};
use lab::scene::Setup;
use serde_json::{Value, json};

use crate::node::{Node, problems};

/// A refusal that changes nothing, and says these words.
fn refused(node: &Node, status: i32, words: &[&str]) -> Result<Value> {
    let before = node.files()?;
    let mut report = Value::Null;
    for arguments in [&[][..], &["--apply"]] {
        report = node.graduate(arguments, status)?;
        ensure!(node.files()? == before, "{arguments:?} changed something: {report:#}");
        for word in words {
            ensure!(problems(&report).contains(word), "{word:?} is not in {report:#}");
        }
    }
    for problem in report["problems"].as_array().into_iter().flatten() {
        ensure!(problem["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "no way on: {problem}");
    }
    Ok(report)
}

pub(crate) fn what_still_needs_crossfade_is_refused_with_the_way_on() -> Result<()> {
    let node = Node::new()?;
    let fine = node.run("fine")?;
    // Pods of every other phase.
    let mut others = Vec::new();
    for phase in ["old", "both-old", "both-new"] {
        node.run_expecting(&["policy", "set", phase, "--runtime"], 0)?;
        others.push(node.run(phase)?);
    }
    refused(&node, 3, &["the phase is both-new", "policy set new", "3 attachments are on another network"])?;
    node.run_expecting(&["policy", "set", "new", "--runtime"], 0)?;
    let report =
        refused(&node, 3, &["default/both-new", "default/both-old", "default/old", "drain these pods"])?;
    ensure!(!problems(&report).contains(&fine), "{report:#}");
    for id in &others {
        node.end(id)?;
    }
    // A rule, and an annotation.
    let rule = json!({ "attach": "new", "rules": [{ "namespace": "kube-system", "attach": "old" }],
        "podAnnotation": { "key": "crossfade/attach", "allow": ["both"] } });
    node.crossfade.policy(rule)?;
    refused(&node, 3, &["1 rules attach pods", "a pod's annotation may ask"])?;
    node.crossfade.policy(json!({ "attach": "new", "networks": {
        "new": { "conf": [node.crossfade.conf_path(&node.new)], "ready": [{ "unix": "/run/new.sock" }] } } }))?;
    refused(&node, 3, &["network new is not ready", "/run/new.sock"])?;
    node.crossfade.policy(json!({ "attach": "new" }))?;
    // What the runtime has forgotten, and what cannot be read.
    let torn = node.outside("/var/lib/crossfade/attachments/0/c9@eth0");
    fs::create_dir_all(torn.parent().expect("a directory"))?;
    fs::set_permissions(
        torn.parent().expect("a directory"),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )?;
    fs::write(&torn, "torn")?;
    fs::set_permissions(&torn, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    refused(&node, 3, &["records cannot be read", "c9@eth0"])?;
    fs::remove_file(&torn)?;
    // A runtime that does not answer decides nothing.
    let before = node.files()?;
    let silent = node.containerd.frozen(|| node.graduate(&["--apply"], 75))??;
    ensure!(problems(&silent).contains("run the same command again"), "{silent:#}");
    let graduated = node.bootstrap(&["graduate", "--apply"])?.args(["--output", "json"]).output()?;
    ensure!(graduated.status.code() == Some(0), "nothing is in the way any more: {graduated:?}");
    ensure!(node.files()? != before);
    node.expect_direct_del(&fine)?;
    ensure!(node.leases()? == (0, 0), "{:?}", node.leases()?);
    absent()
}

/// A node without Crossfade, and one in private mode.
fn absent() -> Result<()> {
    let scene = Setup::bare().packaged().settings(json!({})).start()?;
    scene.crossfade.network(&scene.new, &scene.new.conflist(1))?;
    scene.crossfade.policy(json!({ "attach": "new" }))?;
    let report = scene.run_expecting(&["graduate", "--apply"], 3)?;
    ensure!(report.contains("01-crossfade.conflist is not there"), "{report}");
    let settings = scene.outside(lab::scene::NODE_JSON);
    let text = fs::read_to_string(&settings)?;
    let mut object: Value = serde_json::from_str(&text)?;
    object["confDir"] = json!("private");
    scene.node().write(lab::scene::NODE_JSON, object.to_string())?;
    let report = scene.run_expecting(&["graduate"], 3)?;
    ensure!(
        report.contains("the runtime reads /run/crossfade/net.d") && report.contains("final image"),
        "{report}"
    );
    ensure!(!scene.outside(OURS).exists());
    Ok(())
}

/// What the runtime would use without Crossfade's conf must be the new network's.
pub(crate) fn a_conf_that_crossfade_does_not_use_stays_in_front() -> Result<()> {
    let node = Node::new()?;
    let pod = node.run("pod")?;
    let mut other = node.old.conflist(1);
    other["name"] = json!("another");
    let path = format!("{CONF_DIR}/15-another.conflist");
    node.node().write(&path, other.to_string())?;
    refused(&node, 3, &["the runtime would use /etc/cni/net.d/15-another.conflist", "cleanup"])?;
    // One that cannot be read decides as well: containerd would have no network.
    node.node().write(&path, "{")?;
    refused(&node, 3, &["15-another.conflist"])?;
    fs::remove_file(node.outside(&path))?;
    let multus = json!({"cniVersion": "1.0.0", "name": "multus", "type": "multus", "clusterNetwork": "old"});
    let first = format!("{CONF_DIR}/00-multus.conf");
    node.node().write(&first, multus.to_string())?;
    refused(&node, 3, &["00-multus.conf", "clusterNetwork be new"])?;
    fs::remove_file(node.outside(&first))?;
    node.expect_loaded("crossfade")?;
    node.graduate(&["--apply"], 0)?;
    node.expect_gone()?;
    node.expect_direct_del(&pod)
}
