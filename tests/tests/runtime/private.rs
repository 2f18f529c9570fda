//! The configuration of the runtime in private mode: a real containerd with the copy of its configuration, stand-ins for a containerd 2 and
//! for one whose copy would not be what it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use lab::build::preflight::{CONTAINERD, NODES, Need, PLUGINS};
use lab::host::command;
use lab::host::deadline::{LIMIT, until};
use lab::host::fabric::Fabric;
use lab::host::node::Node;
use lab::install::person;
use lab::runtime::containerd::{Containerd, Options, Release, Version};
use lab::runtime::cri::Sandbox;
use lab::scene::{Scene, Setup};
use serde_json::Value;

const NEEDS: &[&[Need]] = &[NODES, PLUGINS, CONTAINERD];
const CONF_DIR: &str = "/run/crossfade/net.d";
const COPY: &str = "/run/crossfade/containerd/config.toml";
const DROP_IN: &str = "/run/containerd/conf.d/zz-crossfade.toml";
const ENV: &str = "/run/crossfade/runtime.env";
const SECRET: &str = "s3cret-of-a-registry";

fn main() -> Result<ExitCode> {
    lab::build::preflight::main(|| {
        let mut trials = lab::trials_of![
            NEEDS;
            containerd_reads_our_directory_and_nothing_else_is_different,
            imports_from_run_are_used_where_containerd_merges_them,
            containerd_makes_no_conf_of_its_own_in_our_directory,
        ];
        trials.extend(lab::trials_of![
            &[NODES];
            a_copy_that_would_differ_is_refused,
            a_template_that_cannot_be_emptied_is_refused,
            containerd_2_is_told_by_what_it_imports,
        ]);
        trials
    })
}

/// Runs the program on the node; returns its exit status and everything it said.
fn bootstrap(node: &Node, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    command::status_and_text(&mut person::bootstrap(node, arguments)?)
}

fn render(node: &Node) -> Result<String> {
    let (status, text) = bootstrap(node, &["unit", "render", "--runtime"])?;
    ensure!(status == Some(0), "{text}");
    Ok(text)
}

/// A node in private mode whose containerd is started so.
fn private(node: &Node, command: &str) -> Result<()> {
    node.write("/etc/crossfade/node.json", r#"{"version": 1, "confDir": "private"}"#)?;
    node.write("/etc/systemd/system/containerd.service", format!("[Service]\nExecStart={command}\n"))
}

fn containerd_reads_our_directory_and_nothing_else_is_different() -> Result<()> {
    let Scene { fabric, old, mut containerd, .. } = Setup::bare().start()?;
    let node = fabric.node(1);
    let original = containerd.config();
    // What nodes have: a credential, and imports.
    let version = containerd.version();
    containerd.import("/etc/containerd/conf.d/*.toml")?;
    let credential =
        format!("[{}.configs.\"r.example\".auth]\n  password = \"{SECRET}\"\n", version.registry());
    fs::write(&original, fs::read_to_string(&original)? + &credential)?;
    let imported = "[plugins.\"io.containerd.gc.v1.scheduler\"]\n  pause_threshold = 0.03\n";
    node.write("/etc/containerd/conf.d/gc.toml", format!("version = {}\n{imported}", version.number()))?;
    containerd.restart()?;
    let before = containerd.cri().info("config")?;

    private(node, &format!("/usr/bin/containerd --config {}", original.display()))?;
    let (status, planned) = bootstrap(node, &["unit", "render", "--runtime", "--dry-run"])?;
    ensure!(status == Some(0) && !node.outside(COPY).exists(), "{planned}");
    let text = render(node)?;
    ensure!(text == planned, "planned {planned}, done {text}");
    ensure!(!text.contains(SECRET), "{text}");
    let copy = node.outside(COPY);
    ensure!(fs::read_to_string(&copy)?.contains(SECRET), "the credential is lost");
    let mode = copy.metadata()?.permissions().mode() & 0o7777;
    ensure!(mode == 0o600, "{mode:o}");
    let env = fs::read_to_string(node.outside(ENV))?;
    ensure!(env == format!("CROSSFADE_RUNTIME_ARGS=--config {COPY}\n"), "{env}");
    ensure!(render(node)?.lines().all(|line| line.starts_with("keep")), "a second start writes again");
    ensure!(fs::read_dir(copy.parent().context("directory")?)?.count() == 1, "something is left over");

    fs::create_dir_all(node.outside(CONF_DIR))?;
    containerd.stop()?;
    containerd.start_with(Path::new(COPY));
    containerd.start_again()?;
    expect_our_directory(&before, containerd.cri().info("config")?)?;
    // The agents' conf is where it was, and the runtime does not read it.
    ensure!(!containerd.cri().network_ready()?.0, "it still reads the agents' directory");
    node.write(format!("{CONF_DIR}/10-old.conflist"), serde_json::to_vec(&old.conflist(1))?)?;
    until("the conf of our directory", LIMIT, || Ok(containerd.cri().network_ready()?.0.then_some(())))?;
    let pod = containerd.cri().run_sandbox(&Sandbox::new("p"))?;
    containerd.cri().stop(&pod)?;

    node.write("/etc/crossfade/node.json", r#"{"version": 1, "confDir": "shared"}"#)?;
    render(node)?;
    ensure!(!node.outside(ENV).exists() && !copy.exists(), "shared mode leaves it");
    private(node, &format!("/usr/bin/containerd --config {}", original.display()))?;
    render(node)?;
    node.write("/etc/crossfade/disabled", "")?;
    render(node)?;
    ensure!(!node.outside(ENV).exists() && !copy.exists(), "switched off it is still there");
    Ok(())
}

/// Where containerd imports from below /run, a drop-in there says it, if the importing file is of version 3 as the drop-in is: one of a
/// later version than the file would make containerd 2 pass over the file's own CRI section.
fn imports_from_run_are_used_where_containerd_merges_them() -> Result<()> {
    let versions = match Release::current()? >= Release(2, 0, 0) {
        true => vec![Version::Three, Version::Two],
        false => vec![Version::Two],
    };
    for version in versions {
        let options = Options { version: Some(version), ..Options::default() };
        let Scene { fabric, old, mut containerd, .. } = Setup::bare().containerd(options).start()?;
        let node = fabric.node(1);
        containerd.import("/run/containerd/conf.d/*.toml")?;
        containerd.restart()?;
        let before = containerd.cri().info("config")?;
        private(node, &format!("/usr/bin/containerd --config {}", containerd.config().display()))?;
        let output = render(node)?;
        let drop_in = node.outside(DROP_IN);
        ensure!(drop_in.exists() == (version == Version::Three), "{version:?}: {output}");
        ensure!(node.outside(COPY).exists() != drop_in.exists(), "{version:?}: {output}");
        fs::create_dir_all(node.outside(CONF_DIR))?;
        containerd.stop()?;
        if !drop_in.exists() {
            containerd.start_with(Path::new(COPY));
        }
        containerd.start_again()?;
        let again = render(node)?;
        ensure!(again.lines().all(|line| line.starts_with("keep")), "{version:?}, a second start: {again}");
        expect_our_directory(&before, containerd.cri().info("config")?)?;
        node.write(format!("{CONF_DIR}/10-old.conflist"), serde_json::to_vec(&old.conflist(1))?)?;
        until("the conf of our directory", LIMIT, || Ok(containerd.cri().network_ready()?.0.then_some(())))?;
        let pod = containerd.cri().run_sandbox(&Sandbox::new("p"))?;
        containerd.cri().remove(&pod)?;
        node.write("/etc/crossfade/node.json", r#"{"version": 1, "confDir": "shared"}"#)?;
        render(node)?;
        ensure!(!drop_in.exists() && !node.outside(COPY).exists(), "{version:?}: shared mode leaves it");
    }
    Ok(())
}

/// Holds when containerd reads Crossfade's directory, and is otherwise what it was.
fn expect_our_directory(before: &Value, mut after: Value) -> Result<()> {
    ensure!(after["cni"]["confDir"] == CONF_DIR, "{}", after["cni"]);
    after["cni"]["confDir"] = before["cni"]["confDir"].clone();
    ensure!(
        without_empty(&after) == without_empty(before),
        "containerd is set up differently: {before}\n{after}"
    );
    Ok(())
}

/// What GKE and AKS with kubenet have: containerd makes a conf from a template when kubelet tells it the pod CIDR.
fn containerd_makes_no_conf_of_its_own_in_our_directory() -> Result<()> {
    const CIDR: &str = "10.88.0.0/24";
    const MADE: &str = "10-containerd-net.conflist";
    let fabric = Fabric::new(1)?;
    let node = fabric.node(1);
    // Its plugins are there.
    fabric.old()?;
    let mut containerd = Containerd::start(node, &Options::default())?;
    containerd.make_confs()?;
    containerd.restart()?;
    // Without us it does so, and pods get that network.
    containerd.cri().update_pod_cidr(CIDR)?;
    let made = node.outside("/etc/cni/net.d").join(MADE);
    until("the network of the template", LIMIT, || Ok(containerd.cri().network_ready()?.0.then_some(())))?;
    let pod = containerd.cri().run_sandbox(&Sandbox::new("without-us"))?;
    containerd.cri().remove(&pod)?;
    fs::remove_file(&made)?;

    private(node, &format!("/usr/bin/containerd --config {}", containerd.config().display()))?;
    render(node)?;
    fs::create_dir_all(node.outside(CONF_DIR))?;
    containerd.stop()?;
    containerd.start_with(Path::new(COPY));
    containerd.start_again()?;
    // It writes before it answers.
    containerd.cri().update_pod_cidr(CIDR)?;
    let there: Vec<_> = fs::read_dir(node.outside(CONF_DIR))?.collect();
    let pod = containerd.cri().run_sandbox(&Sandbox::new("early"));
    ensure!(pod.is_err(), "a pod came up on a network that no policy named: {pod:?}, {there:?}");
    ensure!(there.is_empty() && !made.exists(), "{there:?}");
    ensure!(containerd.cri().info("config")?["cni"]["confTemplate"] == "", "the copy has a template");
    Ok(())
}

/// A tree with `null` for what is empty: a dump writes an empty list or table where nothing was said, and they mean the same.
fn without_empty(tree: &Value) -> Value {
    match tree {
        Value::Object(object) if object.is_empty() => Value::Null,
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.clone(), without_empty(value))).collect()
        }
        Value::Array(list) if list.is_empty() => Value::Null,
        other => other.clone(),
    }
}

/// A script in the place of containerd.
fn stand_in(node: &Node, script: &str) -> Result<()> {
    const PROGRAM: &str = "/opt/cni/stand-in/containerd";
    node.write(PROGRAM, format!("#!/bin/sh\n{script}"))?;
    fs::set_permissions(node.outside(PROGRAM), fs::Permissions::from_mode(0o755))?;
    private(node, PROGRAM)
}

fn a_copy_that_would_differ_is_refused() -> Result<()> {
    let fabric = Fabric::new(1)?;
    let node = fabric.node(1);
    // As one that reads something from the name of its configuration.
    stand_in(
        node,
        r#"case "$2" in *candidate) oom=-7; cat "$2" | sed "s/oom_score = 0/oom_score = $oom/"; exit ;; esac
printf 'version = 2\noom_score = 0\nimports = []\n[plugins."io.containerd.grpc.v1.cri".cni]\nconf_dir = "/etc/cni/net.d"\n'
"#,
    )?;
    node.write("/etc/containerd/config.toml", "version = 2\n")?;
    node.write(ENV, "CROSSFADE_RUNTIME_ARGS=of an earlier start\n")?;
    let (status, text) = bootstrap(node, &["unit", "render", "--runtime"])?;
    ensure!(status == Some(3) && text.contains("oom_score") && !text.contains("-7"), "{text}");
    ensure!(!node.outside(ENV).exists() && !node.outside(COPY).exists(), "half of it is left");
    let left: Vec<_> = fs::read_dir(node.outside("/run/crossfade/containerd"))?.collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

fn a_template_that_cannot_be_emptied_is_refused() -> Result<()> {
    let fabric = Fabric::new(1)?;
    let node = fabric.node(1);
    // As one whose template is decided elsewhere.
    stand_in(
        node,
        r#"dir=/etc/cni/net.d
case "$2" in *candidate) dir=/run/crossfade/net.d ;; esac
printf "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nconf_dir = '$dir'\nconf_template = '/etc/template'\n"
"#,
    )?;
    node.write("/etc/containerd/config.toml", "version = 2\n")?;
    let (status, text) = bootstrap(node, &["unit", "render", "--runtime"])?;
    ensure!(status == Some(3) && text.contains("conf_template"), "{text}");
    ensure!(!node.outside(ENV).exists() && !node.outside(COPY).exists(), "half of it is left");
    Ok(())
}

fn containerd_2_is_told_by_what_it_imports() -> Result<()> {
    let fabric = Fabric::new(1)?;
    let node = fabric.node(1);
    stand_in(
        node,
        r#"dir=/etc/cni/net.d
template=/etc/template
if [ "$2" = /run/crossfade/containerd/config.toml.candidate ]; then cat "$2"; exit; fi
drop=/run/containerd/conf.d/zz-crossfade.toml
[ -e $drop ] && dir=$(sed -n "s/.*conf_dir = '\(.*\)'/\1/p" $drop)
[ -e $drop ] && template=$(sed -n "s/.*conf_template = '\(.*\)'/\1/p" $drop)
printf "version = 3\nimports = ['$2']\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir = '$dir'\nconf_template = '$template'\nbin_dirs = ['/opt/cni/bin']\n"
"#,
    )?;
    let drop_in = node.outside(DROP_IN);
    for (version, imports, by_drop_in) in [
        (3, "'/run/containerd/conf.d/*.toml'", true),
        (3, "'/etc/containerd/conf.d/*.toml'", false),
        (2, "'/run/containerd/conf.d/*.toml'", false),
    ] {
        node.write("/etc/containerd/config.toml", format!("version = {version}\nimports = [{imports}]\n"))?;
        for _ in 0..2 {
            let text = render(node)?;
            ensure!(drop_in.exists() == by_drop_in, "{imports}: {text}");
            ensure!(node.outside(ENV).exists() != by_drop_in, "{imports}: {text}");
            ensure!(node.outside(COPY).exists() != by_drop_in, "{imports}: {text}");
            let output = fs::read_to_string(if by_drop_in { drop_in.clone() } else { node.outside(COPY) })?;
            ensure!(output.contains("conf_template = ") && !output.contains("/etc/template"), "{output}");
        }
        node.write("/etc/crossfade/node.json", r#"{"version": 1}"#)?;
        render(node)?;
        ensure!(!drop_in.exists() && !node.outside(ENV).exists(), "{imports}: shared mode leaves it");
        node.write("/etc/crossfade/node.json", r#"{"version": 1, "confDir": "private"}"#)?;
    }
    Ok(())
}
