//! Crossfade's package on a node, and what systemd runs of it.
//!
//! The programs where the package has them, the generator as systemd calls it, and the settings of a node in private mode: with
//! these a node of the lab boots as an image would, without a systemd of its own. [`crate::boot`] has the real one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::host::node::Node;
use crate::runtime::containerd::Containerd;
use crate::{build::dist, host::scratch};

/// Where the package's programs are, as the node sees them.
const DIRECTORY: &str = "/usr/libexec/crossfade";
/// The node's settings.
const NODE: &str = "/etc/crossfade/node.json";
/// The runtime's unit, as much of it as tells how it is started.
const UNIT: &str = "/run/systemd/system/containerd.service";
/// kubelet's unit, likewise.
const KUBELET_UNIT: &str = "/run/systemd/system/kubelet.service";
/// Where systemd finds our generator.
const GENERATOR: &str = "/usr/lib/systemd/system-generators/crossfade-generator";
/// What systemd hands a generator. *Source*: man 7 `systemd.generator`.
const GENERATED: [&str; 3] =
    ["/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late"];
/// What the runtime's unit hands it, by [`RUNTIME_VARIABLE`].
const RUNTIME_ENV: &str = "/run/crossfade/runtime.env";
/// The words that the runtime gets.
const RUNTIME_VARIABLE: &str = "CROSSFADE_RUNTIME_ARGS";
/// What kubelet's unit hands it, by [`KUBELET_VARIABLE`].
const KUBELET_ENV: &str = "/run/crossfade/kubelet.env";
/// The words that kubelet gets.
pub const KUBELET_VARIABLE: &str = "CROSSFADE_KUBELET_ARGS";

/// `crossfade-bootstrap`, as the node sees it.
pub fn program() -> PathBuf {
    Path::new(DIRECTORY).join("crossfade-bootstrap")
}

/// Puts the programs in their place.
///
/// # Errors
/// They are not built.
pub fn unpack(node: &Node) -> Result<()> {
    for (program, name) in [(dist::crossfade()?, "crossfade"), (dist::bootstrap()?, "crossfade-bootstrap")] {
        scratch::install(&program, &node.outside(Path::new(DIRECTORY).join(name)))?;
    }
    Ok(())
}

/// Runs the node's own `crossfade-bootstrap` in the node.
///
/// # Errors
/// What it says.
pub fn run(node: &Node, arguments: &[&str]) -> Result<String> {
    let mut line = vec![program().into_os_string()];
    line.extend(arguments.iter().map(|argument| OsStr::new(argument).to_owned()));
    node.run(&line)
}

/// An image in private mode, but for its policy: programs, settings, and a runtime whose unit the generator has continued.
///
/// # Errors
/// The programs are not built, or what the generator says.
pub fn bake(node: &Node, containerd: &Containerd) -> Result<()> {
    // There is no kubelet here to tell anything.
    bake_with(node, containerd, json!({ "kubelet": { "register": false } }))
}

/// The same for a node whose kubelet has this command line.
///
/// # Errors
/// As [`bake`].
pub fn bake_with_kubelet(node: &Node, containerd: &Containerd, command: &str, more: Value) -> Result<()> {
    kubelet_unit(node, command)?;
    bake_with(node, containerd, more)
}

/// The units of a node on which nothing of Crossfade's is, as far as they tell how kubelet and the runtime are started.
///
/// # Errors
/// What the file system says.
pub fn units(node: &Node, containerd: &Containerd, kubelet: &str) -> Result<()> {
    kubelet_unit(node, kubelet)?;
    runtime_unit(node, containerd)
}

fn kubelet_unit(node: &Node, command: &str) -> Result<()> {
    node.write(KUBELET_UNIT, format!("[Service]\nExecStart={command}\n"))
}

fn runtime_unit(node: &Node, containerd: &Containerd) -> Result<()> {
    let config = containerd.config();
    node.write(UNIT, format!("[Service]\nExecStart=/usr/bin/containerd --config {}\n", config.display()))
}

/// With these keys of node.json laid over those of every node.
fn bake_with(node: &Node, containerd: &Containerd, more: Value) -> Result<()> {
    unpack(node)?;
    let mut settings = json!({
        "version": 1,
        "confDir": "private",
        "runtime": { "endpoint": format!("unix://{}", containerd.socket().display()) },
    });
    if let (Some(settings), Value::Object(more)) = (settings.as_object_mut(), more) {
        settings.extend(more);
    }
    node.write(NODE, serde_json::to_vec_pretty(&settings)?)?;
    runtime_unit(node, containerd)?;
    let [normal, early, late] = GENERATED;
    let links = Path::new(GENERATOR).parent().context("a directory")?;
    node.run(&[OsStr::new("mkdir"), OsStr::new("-p"), links.as_os_str()])?;
    // The nodes of a lab share this directory.
    node.run(&[OsStr::new("ln"), OsStr::new("-sfn"), program().as_os_str(), OsStr::new(GENERATOR)])?;
    node.run(&["mkdir", "-p", normal, early, late])?;
    node.run(&[GENERATOR, normal, early, late]).map(drop)
}

/// The configuration that systemd would start the runtime with, as `render --runtime` left it.
///
/// # Errors
/// It left none.
pub fn told_config(node: &Node) -> Result<PathBuf> {
    match words(node, RUNTIME_ENV, RUNTIME_VARIABLE)?.as_slice() {
        [flag, config] if flag == "--config" => Ok(PathBuf::from(config)),
        words => bail!("the runtime is told {words:?}, expected --config and a file"),
    }
}

/// The words that systemd would put at the end of kubelet's command line, as `render` left them; none if it left no file.
///
/// # Errors
/// The file is not as systemd would take it.
pub fn kubelet_words(node: &Node) -> Result<Vec<String>> {
    if !node.outside(KUBELET_ENV).exists() {
        return Ok(Vec::new());
    }
    words(node, KUBELET_ENV, KUBELET_VARIABLE)
}

fn words(node: &Node, file: &str, variable: &str) -> Result<Vec<String>> {
    let path = node.outside(file);
    let env = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    words_of(&env, variable).with_context(|| path.display().to_string())
}

/// The words that systemd makes of a variable of an environment file where it is a word of its own: split at blanks.
///
/// # Errors
/// It is not there, or systemd would not take it as it is.
pub fn words_of(env: &str, variable: &str) -> Result<Vec<String>> {
    let prefix = format!("{variable}=");
    let value = env.lines().find_map(|line| line.strip_prefix(&prefix));
    let value = value.with_context(|| format!("no {variable} in {env:?}"))?;
    ensure!(!value.contains(['"', '\'', '\\', '$']), "systemd would not take {value:?} as it is");
    Ok(value.split_ascii_whitespace().map(str::to_owned).collect())
}
