//! Settings that a ConfigMap brings, and files that stay.

use std::fs;

use anyhow::{Result, ensure};
use lab::host::deadline::{LIMIT, until};
use lab::install::daemonset::manifest;
use lab::standin::agent::{Agent, Answer, HttpHealth, Spec};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::NEEDS;
use crate::running::{Running, settings};

const POLICY: &str = "/etc/crossfade/policy.json";

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        an_administrator_s_file_is_not_replaced,
        a_flip_on_the_node_stays_until_the_configmap_changes,
        settings_that_are_not_valid_touch_nothing,
        a_node_that_is_switched_off_is_left_alone,
        a_policy_has_pods_wait_for_watch_once_the_agent_is_ready,
    ]
}

/// Runs the install container of a new pod of the DaemonSet; its exit status and what it said.
fn install(scene: &Running, map: &std::collections::BTreeMap<String, String>) -> Result<(i32, String)> {
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, map)?;
    let code = pod.run_init("install")?;
    let message = pod.log("install")?;
    pod.end()?;
    Ok((code, message))
}

fn an_administrator_s_file_is_not_replaced() -> Result<()> {
    let scene = Running::new()?;
    let theirs = settings("both")?["policy.json"].clone() + "\n";
    scene.node().write(POLICY, &theirs)?;
    let (code, message) = install(&scene, &settings("old")?)?;
    ensure!(code == 3 && message.contains(POLICY) && message.contains("--overwrite"), "{code}: {message}");
    ensure!(
        fs::read_to_string(scene.outside(POLICY))? == theirs && !scene.has_ours(),
        "something was changed"
    );
    // A file with the same bytes is kept, and install goes on.
    let (code, message) = install(&scene, &[("policy.json".to_owned(), theirs.clone())].into())?;
    ensure!(code == 0 && message.contains("keep"), "{code}: {message}");
    ensure!(scene.has_ours());
    Ok(())
}

fn a_flip_on_the_node_stays_until_the_configmap_changes() -> Result<()> {
    let scene = Running::new()?;
    let (code, message) = install(&scene, &settings("old")?)?;
    ensure!(code == 0, "{message}");
    scene.run_expecting(&["policy", "set", "new", "--runtime"], 0)?;
    let theirs = fs::read_to_string(scene.outside(POLICY))?;
    let (code, message) = install(&scene, &settings("old")?)?;
    ensure!(code == 0 && message.contains("was changed on this node"), "{code}: {message}");
    ensure!(fs::read_to_string(scene.outside(POLICY))? == theirs, "the flip was taken back");
    let (code, message) = install(&scene, &settings("both")?)?;
    ensure!(code == 3 && message.contains("--overwrite"), "{code}: {message}");
    // The fix that install names works: without the file there is nothing to overwrite.
    fs::remove_file(scene.outside(POLICY))?;
    let (code, message) = install(&scene, &settings("both")?)?;
    ensure!(
        code == 0 && fs::read_to_string(scene.outside(POLICY))?.contains("\"both\""),
        "{code}: {message}"
    );
    Ok(())
}

fn settings_that_are_not_valid_touch_nothing() -> Result<()> {
    let scene = Running::new()?;
    for (file, text, words) in
        [("policy.json", "{", "policy.json"), ("node.json", r#"{"version":1,"confdir":"shared"}"#, "confDir")]
    {
        let mut map = settings("old")?;
        map.insert(file.to_owned(), text.to_owned());
        let (code, message) = install(&scene, &map)?;
        ensure!(code == 78 && message.contains(words), "{file}: {code}: {message}");
        ensure!(!scene.outside(POLICY).exists() && !scene.has_ours(), "{file}: something was changed");
    }
    Ok(())
}

/// The install container asks the agent before it brings a policy that waits for the file of `watch`.
fn a_policy_has_pods_wait_for_watch_once_the_agent_is_ready() -> Result<()> {
    const FILE: &str = "/run/crossfade/probe/old";
    let scene = Running::new()?;
    scene.node().write("/var/lib/calico/nodename", "n1")?;
    let mut map = settings("old")?;
    let mut policy: Value = serde_json::from_str(&map["policy.json"])?;
    policy["networks"]["old"]["profile"] = json!("calico");
    map.insert("policy.json".to_owned(), policy.to_string());
    let (code, message) = install(&scene, &map)?;
    ensure!(code == 3 && message.contains("localhost:9099/readiness"), "{code}: {message}");
    ensure!(!scene.outside(POLICY).exists() && !scene.has_ours(), "something was changed");
    let http = HttpHealth::plain("127.0.0.1:9099".parse()?, Answer::Ready);
    let spec = Spec { name: "felix".into(), http: Some(http), ..Spec::default() };
    let _felix = Agent::start(spec, Some(scene.node().pid().as_raw().cast_unsigned()))?;
    let (code, message) = install(&scene, &map)?;
    ensure!(code == 0 && scene.outside(FILE).exists(), "{code}: {message}");
    ensure!(fs::read_to_string(scene.outside(POLICY))?.contains(FILE), "{message}");
    scene.run("at-once").map(drop)
}

fn a_node_that_is_switched_off_is_left_alone() -> Result<()> {
    let scene = Running::new()?;
    scene.node().write("/etc/crossfade/disabled", "")?;
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&manifest::daemonset("pod.yaml")?, &settings("old")?)?;
    pod.run()?;
    ensure!(pod.log("install")?.contains("switched off"), "{}", pod.logs());
    let status = until("status.json", LIMIT, || Ok(Some(scene.status()).filter(Value::is_object)))?;
    ensure!(status["reason"] == "SwitchedOff" && !scene.has_ours(), "{status:#}");
    // It stays, for one that ends is started again and again.
    ensure!(pod.ended("watch")?.is_none() && pod.unready()?.is_some(), "{}", pod.logs());
    pod.end()
}
