//! Addresses: from the plugin that `ipam` names, or from the conf.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lab::standin::calico::leases;
use serde_json::Value;

use crate::conf::{Call, Failure};

/// Addresses for the pod.
///
/// # Errors
/// The plugin's own, or none at all.
pub(crate) fn allocate(call: &Call) -> Result<Vec<IpAddr>, Failure> {
    let Some(reply) = run(call, "ADD")? else {
        return Ok(given(call)?);
    };
    Ok(addresses(&reply)?)
}

/// Gives back what the container has of this network, whatever its interface. Not an error if there is nothing.
///
/// # Errors
/// The plugin's own.
pub(crate) fn release(call: &Call) -> Result<(), Failure> {
    run(call, "DEL")?;
    // host-local goes by the interface as well, Calico by `NETWORKNAME.CONTAINERID`.
    if let Some(store) = call.store() {
        leases::release(&store, &call.container_id)?;
    }
    Ok(())
}

fn given(call: &Call) -> Result<Vec<IpAddr>> {
    let addresses = &call.conf.addresses;
    ensure!(!addresses.is_empty(), "network {} names neither ipam nor addresses", call.conf.name);
    Ok(addresses.clone())
}

/// The addresses of a reply, without their masks: every pod is a network of its own.
fn addresses(reply: &[u8]) -> Result<Vec<IpAddr>> {
    let reply: Value = serde_json::from_slice(reply).context("parse the ipam plugin's reply")?;
    let ips = reply["ips"].as_array().context("the ipam plugin's reply has no ips")?;
    ips.iter()
        .map(|ip| {
            let text = ip["address"].as_str().context("an ip without address")?;
            let bare = text.split('/').next().unwrap_or(text);
            bare.parse().with_context(|| format!("address {text:?}"))
        })
        .collect()
}

/// Runs the ipam plugin, if the conf names one, with our own stdin and environment: what it said to stdout.
fn run(call: &Call, verb: &str) -> Result<Option<Vec<u8>>, Failure> {
    let Some(ipam) = &call.conf.ipam else {
        return Ok(None);
    };
    let candidates = call.path.iter().map(|directory| directory.join(&ipam.plugin));
    let program = candidates.into_iter().find(|path| path.is_file());
    let program = program
        .with_context(|| format!("failed to find plugin {:?} in path {:?}", ipam.plugin, call.path))?;
    let (succeeded, stdout, stderr) =
        pipe(&program, verb, &call.stdin).with_context(|| format!("run {}", program.display()))?;
    if succeeded {
        return Ok(Some(stdout));
    }
    Err(Failure::of_plugin(&ipam.plugin, &stdout, &stderr))
}

fn pipe(program: &Path, verb: &str, stdin: &[u8]) -> Result<(bool, Vec<u8>, Vec<u8>)> {
    let mut child = Command::new(program)
        .env("CNI_COMMAND", verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // A conf is far smaller than a pipe, so this never waits; a plugin that reads none of it is no error.
    let _unread = child.stdin.take().map(|mut pipe| pipe.write_all(stdin));
    let output = child.wait_with_output()?;
    Ok((output.status.success(), output.stdout, output.stderr))
}
