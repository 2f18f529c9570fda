//! `doctor` on a node with a real containerd: what is done to its pods and its confs is found, nothing is changed by looking, and the commands
//! that `doctor` names mend it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};
use lab::host::command;
use lab::host::deadline::{LIMIT, until};
use lab::host::node::Daemon;
use lab::install::crossfade::{BIN_DIR, CONF_DIR};
use lab::scene::{NODE_JSON, Scene, Setup, end};
use lab::standin::agent::{Agent, Spec};
use lab::standin::stub::{Reply, Stub, StubDir};
use serde_json::{Value, json};

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];

/// What belongs to the node, and is the same after a look.
const WATCHED: [&str; 7] = [
    "/etc/cni",
    "/etc/crossfade",
    "/var/lib/crossfade",
    "/run/crossfade",
    "/opt/cni",
    "/var/lib/cni",
    "/run/netns",
];
/// What `watch` writes beside the look.
const OF_WATCH: &str = "/run/crossfade/status.json";

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        lab::trials_of![
            NEEDS;
            what_is_done_to_pods_is_found_and_mended,
            what_is_done_to_the_conf_is_found_and_mended,
            an_agent_that_rewrites_is_found_and_what_it_took_comes_back,
            a_runtime_that_hangs_is_a_finding,
        ]
    })
}

/// A node on which Crossfade was installed, `watch` runs, and nothing is wrong.
fn well() -> Result<(Scene, Daemon)> {
    let scene = Setup::bare().packaged().start()?;
    // The machine may have a containerd of its own, whose unit and configuration are not this one's.
    let (socket, config) = (scene.containerd.socket(), scene.containerd.config());
    let runtime = json!({ "endpoint": format!("unix://{}", socket.display()), "config": config, "binDirs": [BIN_DIR, "/usr/lib/cni"] });
    scene.node().write(NODE_JSON, json!({ "version": 1, "runtime": runtime }).to_string())?;
    scene.crossfade.policy(json!({ "attach": "old", "gc": { "graceSeconds": 0 } }))?;
    scene.crossfade.network(&scene.new, &scene.new.conflist(1))?;
    scene.run_expecting(&["install"], 0)?;
    scene.booted()?;
    let watch = scene.watch()?;
    expect(&scene, &[])?;
    Ok((scene, watch))
}

/// Every file of the node's that Crossfade or a plugin may write, and what the kernel has.
fn state(scene: &Scene) -> Result<BTreeMap<PathBuf, String>> {
    let mut state = BTreeMap::new();
    for dir in WATCHED {
        collect(&scene.outside(dir), &mut state)?;
    }
    state.remove(&scene.outside(OF_WATCH));
    // Addresses and routes of a link that has just come are the kernel's own doing.
    for script in
        ["ip rule", "ip -6 rule", "ip route show table all | grep 'table 1003' || true", "ls /sys/class/net"]
    {
        state.insert(script.into(), scene.node().run(&["sh", "-c", script])?);
    }
    Ok(state)
}

fn collect(path: &Path, state: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), state)?;
        }
        return Ok(());
    }
    let about = format!("{} {:o} {}.{}", meta.ino(), meta.mode(), meta.mtime(), meta.mtime_nsec());
    let text = if meta.is_file() { fs::read(path).unwrap_or_default() } else { Vec::new() };
    state.insert(path.into(), format!("{about} {}", String::from_utf8_lossy(&text)));
    Ok(())
}

/// What `doctor` finds; the look changes nothing.
fn look(scene: &Scene) -> Result<Vec<Value>> {
    let before = state(scene)?;
    let (status, report) = command::status_and_text(&mut scene.bootstrap(&["doctor", "--output", "json"])?)?;
    let after = state(scene)?;
    let changed: Vec<_> = before.iter().filter(|(path, text)| after.get(*path) != Some(text)).collect();
    ensure!(changed.is_empty() && before.len() == after.len(), "doctor changed something: {changed:#?}");
    let answer: Value = serde_json::from_str(&report).with_context(|| report.clone())?;
    let findings = answer["findings"].as_array().context("findings")?.clone();
    let expected = if findings.iter().all(|finding| finding["severity"] == "note") { 0 } else { 3 };
    ensure!(status == Some(expected), "{status:?}: {report}");
    Ok(findings)
}

fn code(finding: &Value) -> &str {
    finding["code"].as_str().unwrap_or_default()
}

/// Waits until `doctor` finds exactly these; `watch` and the runtime take their time to notice what was done.
fn expect(scene: &Scene, codes: &[&str]) -> Result<Vec<Value>> {
    let expected: BTreeSet<&str> = codes.iter().copied().collect();
    let mut last = Vec::new();
    let reached = until(&format!("findings {codes:?}"), LIMIT, || {
        last = look(scene)?;
        let codes: BTreeSet<&str> = last.iter().map(code).collect();
        Ok((codes == expected).then_some(()))
    });
    reached.with_context(|| format!("{last:#?}\nstatus: {:#}", scene.status()))?;
    Ok(last)
}

fn finding_with_code<'a>(findings: &'a [Value], expected_code: &str) -> Result<&'a Value> {
    findings
        .iter()
        .find(|finding| code(finding) == expected_code)
        .with_context(|| format!("{expected_code} in {findings:#?}"))
}

/// Runs the commands of a finding as a person at a shell of the node does.
fn mend(scene: &Scene, finding: &Value) -> Result<()> {
    let commands = finding["mend"].as_array().context("mend")?.iter();
    let bootstrap = lab::build::dist::bootstrap()?.display().to_string();
    for command in commands.filter_map(|mend| mend["command"].as_str()) {
        let line = command.replace("crossfade-bootstrap", &bootstrap);
        let mut line = line.clone();
        if line.ends_with(" install") {
            line += &format!(" --runtime-endpoint {}", scene.containerd.socket().display());
        }
        scene.node().run(&["sh", "-ec", &line]).with_context(|| format!("{command}: {finding:#}"))?;
    }
    Ok(())
}

/// The namespaces that containerd has made for its pods.
fn namespaces(scene: &Scene) -> Result<Vec<String>> {
    Ok(scene.node().run(&["ls", "/run/netns"])?.split_whitespace().map(str::to_owned).collect())
}

fn what_is_done_to_pods_is_found_and_mended() -> Result<()> {
    let (mut scene, watch) = well()?;
    let before = namespaces(&scene)?;
    let id = scene.run("robbed")?;
    let all = namespaces(&scene)?;
    let netns = all.iter().find(|name| !before.contains(name)).context("the pod's netns")?;
    scene.node().run(&["ip", "netns", "delete", netns])?;
    let answer = expect(&scene, &["record-stale"])?;
    ensure!(answer[0]["objects"].to_string().contains("robbed"), "{answer:#?}");
    scene.end(&id)?;
    expect(&scene, &[])?;

    let stubs = StubDir::on(scene.node(), BIN_DIR)?;
    let refuses = Stub::answering(Reply::pass()).on("DEL", Reply::fail(100, "the agent is away", ""));
    stubs.write("sulk", &refuses)?;
    scene.crossfade.network(&scene.old, &scene.old.conflist_with(1, &["sulk"]))?;
    let id = scene.run("kept")?;
    ensure!(scene.end(&id).is_err(), "its DEL succeeded");
    let answer = expect(&scene, &["del-owed"])?;
    ensure!(answer[0]["objects"].to_string().contains("kept"), "{answer:#?}");
    let status = scene.run_expecting(&["status"], 3)?;
    ensure!(
        status.starts_with("node          not all right") && status.contains("owed for longer"),
        "{status}"
    );
    stubs.write("sulk", &Stub::answering(Reply::pass()))?;
    scene.end(&id)?;
    expect(&scene, &[])?;
    let status = scene.run_expecting(&["status"], 0)?;
    ensure!(status.starts_with("node          all right\n"), "{status}");

    let id = scene.run("forgotten")?;
    scene.containerd.forget(&id)?;
    scene.containerd.restart()?;
    let answer = expect(&scene, &["sandbox-forgotten"])?;
    let endpoint = scene.containerd.socket().display().to_string();
    let leaks = scene.run_expecting(&["attachments", "--leaks", "--runtime-endpoint", &endpoint], 0)?;
    ensure!(leaks.contains(&format!("leak: {id} eth0")), "{leaks}");
    let forgotten = finding_with_code(&answer, "sandbox-forgotten")?;
    ensure!(forgotten["mend"].to_string().contains("--listed"), "a plain sweep refuses: {forgotten:#}");
    let refused = scene.run_expecting(&["unit", "sweep"], 75)?;
    ensure!(refused.contains("lists no sandbox at all"), "{refused}");
    mend(&scene, forgotten)?;
    expect(&scene, &[])?;
    // With another pod alive, the list is believed.
    let (id, lives) = (scene.run("again")?, scene.run("lives")?);
    scene.containerd.forget(&id)?;
    scene.containerd.restart()?;
    let answer = expect(&scene, &["sandbox-forgotten"])?;
    mend(&scene, finding_with_code(&answer, "sandbox-forgotten")?)?;
    expect(&scene, &[])?;
    scene.end(&lives)?;
    ensure!(scene.leases()? == (0, 0), "{:?}", scene.leases()?);
    end(watch)
}

fn what_is_done_to_the_conf_is_found_and_mended() -> Result<()> {
    let (scene, watch) = well()?;
    let first = format!("{CONF_DIR}/00-other.conflist");
    scene.node().write(&first, scene.new.conflist(1).to_string())?;
    expect(&scene, &["conf-not-first"])?;
    // A pod that is attached past us.
    until(
        "the other conf",
        LIMIT,
        || Ok((!scene.loaded()?.contains(&"crossfade".to_owned())).then_some(())),
    )?;
    let id = scene.run("past")?;
    let answer = expect(&scene, &["conf-not-first", "pods-bypass"])?;
    ensure!(
        finding_with_code(&answer, "pods-bypass")?["objects"].to_string().contains("past"),
        "{answer:#?}"
    );
    mend(&scene, finding_with_code(&answer, "conf-not-first")?)?;
    scene.expect_loaded("crossfade")?;
    expect(&scene, &["pods-bypass"])?;
    // Its DEL comes to us, who know nothing of it: the address stays, and doctor reports it.
    scene.end(&id)?;
    let answer = expect(&scene, &["lease-unknown"])?;
    ensure!(answer[0]["objects"].to_string().contains(&id), "{answer:#?}");
    let lease = scene.new.leases(scene.node())?;
    let evidence = answer[0]["evidence"].to_string();
    ensure!(lease.len() == 1 && evidence.contains(&lease[0].to_string()), "{lease:?}: {evidence}");

    let status = watch.kill()?;
    ensure!(!status.success(), "{status}");
    expect(&scene, &["lease-unknown", "watch-down"])?;
    scene.run_expecting(&["status"], 3)?;
    Ok(())
}

fn an_agent_that_rewrites_is_found_and_what_it_took_comes_back() -> Result<()> {
    let (scene, watch) = well()?;
    let spec = Spec { name: "exclusive".into(), exclusive: Some(CONF_DIR.into()), ..Spec::default() };
    let agent = Agent::start(spec, Some(scene.node().pid().as_raw().cast_unsigned()))?;
    until("contention", LIMIT, || Ok((scene.status()["reason"] == "ConfContended").then_some(())))?;
    let answer = look(&scene)?;
    let fights = finding_with_code(&answer, "agent-takes-conf")?;
    ensure!(fights["mend"].to_string().contains("cni.exclusive"), "{fights:#}");
    finding_with_code(&answer, "conf-missing")?;
    // The setting is changed.
    agent.kill()?;
    mend(&scene, fights)?;
    scene.expect_loaded("crossfade")?;
    expect(&scene, &[])?;
    let id = scene.run("after")?;
    ensure!(
        scene.leases()? == (1, 0),
        "the conf of the old network is not what it was: {:?}",
        scene.leases()?
    );
    scene.end(&id)?;
    end(watch)
}

/// Nothing of `doctor` fails with the runtime, and everything that needs no runtime is still found.
fn a_runtime_that_hangs_is_a_finding() -> Result<()> {
    let (scene, watch) = well()?;
    fs::remove_file(scene.outside(BIN_DIR).join("crossfade"))?;
    end(watch)?;
    let answer = scene.containerd.frozen(|| look(&scene))??;
    let codes: BTreeSet<&str> = answer.iter().map(code).collect();
    let expected: BTreeSet<&str> = ["runtime-hangs", "plugin-missing", "watch-down"].into();
    ensure!(codes == expected, "{answer:#?}");
    mend(&scene, finding_with_code(&answer, "plugin-missing")?)?;
    expect(&scene, &["watch-down"]).map(drop)
}
