//! The plugin on the `cni-plugin` crate, and what the oracle reads of it.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use lab::case::oracle::{Reply, read_reply};
use lab::host::netns::Netns;
use lab::host::scratch::Scratch;
use lab::runtime::caller::Outcome;
use serde_json::{Value, json};

use crate::call::Caller;

fn caller(id: &str) -> Caller {
    Caller {
        plugin: "lab-crate-cni",
        id: id.to_owned(),
        netns: PathBuf::from("/run/netns/never-was"),
        args: String::new(),
    }
}

fn conf(scratch: &Scratch) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "new", "type": "crate-cni",
        "range": "10.71.0.0/29", "leases": scratch.join("leases.json"),
    })
}

fn address(answer: &Outcome) -> Result<String> {
    match read_reply(answer.stdout.as_bytes())? {
        Reply::Success(result) => Ok(result.ips[0].address.to_string()),
        other => bail!("not a result: {other:?}"),
    }
}

fn error(answer: &Outcome) -> Result<(i32, String)> {
    match read_reply(answer.stdout.as_bytes())? {
        Reply::Error { code, details, .. } if !answer.status.success() => Ok((code, details)),
        other => bail!("not an error: {other:?}"),
    }
}

/// Addresses are given once, kept, and given again after DEL.
pub(crate) fn crate_plugin_keeps_its_leases() -> Result<()> {
    let scratch = Scratch::new("crate")?;
    let conf = conf(&scratch);
    let (first, second) = (caller("one"), caller("two"));
    ensure!(address(&first.succeed("ADD", &conf)?)? == "10.71.0.2/29", "the first address");
    ensure!(address(&second.succeed("ADD", &conf)?)? == "10.71.0.3/29", "the second address");
    ensure!(error(&first.call("ADD", &conf)?)?.0 == 100, "a second ADD of the same");
    first.succeed("CHECK", &conf)?;
    first.succeed("DEL", &conf)?;
    first.succeed("DEL", &conf)?;
    ensure!(error(&first.call("CHECK", &conf)?)?.0 == 3, "CHECK of an unknown container");
    second.succeed("CHECK", &conf)?;
    ensure!(address(&caller("three").succeed("ADD", &conf)?)? == "10.71.0.2/29", "given again");
    for id in ["four", "five", "six", "seven"] {
        caller(id).succeed("ADD", &conf)?;
    }
    let (code, details) = error(&caller("eight").call("ADD", &conf)?)?;
    ensure!(code == 100 && details.contains("no address left"), "{code} {details}");
    Ok(())
}

/// With a veth, there is an interface until DEL, which also works without the netns.
pub(crate) fn crate_plugin_makes_a_veth() -> Result<()> {
    let scratch = Scratch::new("crate-veth")?;
    let mut conf = conf(&scratch);
    conf["veth"] = json!(true);
    let netns = Netns::pod("crate-veth")?;
    let pod = Caller { netns: netns.path().to_owned(), ..caller("veth") };
    pod.succeed("ADD", &conf)?;
    ensure!(netns.run("ip address show eth0")?.contains("10.71.0.2/29"), "no address in the pod");
    pod.succeed("DEL", &conf)?;
    ensure!(netns.run("ip link show eth0").is_err(), "the interface is left");
    pod.succeed("DEL", &conf)?;
    for gone in ["", "/run/netns/never-was"] {
        Caller { netns: gone.into(), ..pod.clone() }.succeed("DEL", &conf)?;
    }
    Ok(())
}

/// What the crate cannot do is what a delegate on it cannot do.
pub(crate) fn crate_plugin_has_the_crates_limits() -> Result<()> {
    let scratch = Scratch::new("crate-limits")?;
    let mut conf = conf(&scratch);
    for verb in ["STATUS", "GC"] {
        error(&caller("one").call(verb, &conf)?)?;
    }
    error(&caller("UPPER").call("ADD", &conf)?)?;
    let answer = caller("one").succeed("VERSION", &conf)?;
    let Reply::Version(versions) = read_reply(answer.stdout.as_bytes())? else {
        bail!("VERSION answers {answer:?}");
    };
    ensure!(versions.contains(&"1.0.0".to_owned()), "{versions:?}");
    conf["cniVersion"] = json!("0.3.1");
    error(&caller("one").call("ADD", &conf)?)?;
    Ok(())
}
