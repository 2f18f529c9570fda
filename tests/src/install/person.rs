//! An operator on a node, who runs `crossfade-bootstrap` and reads its output.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::host::node::Node;
use crate::host::scratch::files;
use crate::install::crossfade::{OURS, RECORDS};

const INVENTORY: &str = "/var/lib/crossfade/inventory.json";

/// `crossfade-bootstrap` as it ships, in a node, with these arguments.
///
/// # Errors
/// It is not built.
pub fn bootstrap(node: &Node, arguments: &[&str]) -> Result<Command> {
    let mut command = node.command(crate::build::dist::bootstrap()?);
    command.args(arguments);
    Ok(command)
}

/// Lets a network join (`JOIN`) or leave (`LEAVE`) a sandbox that runs, as `crossfade-bootstrap move-pods` does, with the plugin of this directory. It
/// must succeed.
///
/// # Errors
/// Neither a record nor the inventory has the sandbox, or what the plugin answers.
pub fn change_network(node: &Node, bin_dir: &str, verb: &str, id: &str, netns: &Path) -> Result<()> {
    let call = recorded_call(node, id)?;
    let conf: Value = serde_json::from_slice(&fs::read(node.outside(OURS))?)?;
    let mut input = conf["plugins"][0].clone();
    for key in ["cniVersion", "name"] {
        input[key] = conf[key].clone();
    }
    if call["runtimeConfig"].is_object() {
        input["runtimeConfig"] = call["runtimeConfig"].clone();
    }
    let mut command = node.command(format!("{bin_dir}/crossfade"));
    command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", id).env("CNI_IFNAME", "eth0");
    command.env("CNI_NETNS", netns).env("CNI_PATH", bin_dir);
    command.env("CNI_ARGS", call["cniArgs"].as_str().with_context(|| format!("CNI_ARGS of {id}: {call}"))?);
    let mut plugin = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    plugin.stdin.take().context("its stdin")?.write_all(input.to_string().as_bytes())?;
    let output = plugin.wait_with_output()?;
    ensure!(output.status.success(), "{verb} {id}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// What the ADD of a sandbox was called with, by its record or its inventory entry: an object with `cniArgs` and `runtimeConfig`.
fn recorded_call(node: &Node, id: &str) -> Result<Value> {
    let records = files(&node.outside(RECORDS))?;
    let Some(record) = records.iter().find(|path| path.display().to_string().contains(id)) else {
        let inventory: Value = serde_json::from_slice(&fs::read(node.outside(INVENTORY))?)?;
        let mut entries = inventory["attachments"].as_array().into_iter().flatten();
        return entries
            .find(|entry| entry["containerID"] == id)
            .cloned()
            .context("an entry of the inventory");
    };
    let text = fs::read_to_string(record)?;
    // Each line has a checksum in front.
    let line = text.lines().next().and_then(|line| line.split_once(' ')).context("a line")?.1;
    let mut record: Value = serde_json::from_str(line).with_context(|| text.clone())?;
    let primary = record["legs"].as_array().into_iter().flatten().find(|leg| leg["primary"] == true);
    record["runtimeConfig"] = primary.map(|leg| leg["runtimeConfig"].clone()).unwrap_or_default();
    Ok(record)
}
