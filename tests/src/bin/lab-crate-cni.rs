//! A stand-in CNI plugin written with the `cni-plugin` crate, at version 1.0.0: another author's idea of a plugin.
//!
//! It gives addresses out of a range and keeps them in a file. Its conf, beside the usual: `range` (a CIDR), `leases` (a
//! file), `veth` (`true`: also makes a veth pair; otherwise it touches no namespace). What the crate cannot do is part of
//! the stand-in: no STATUS, no GC, only lower-case container ids, no CNI_ARGS, and an exit status that is the error's code.
//! `lab::case::oracle` has the whole list. The crate's logger is not used: it may panic, and writes into the working directory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cni_plugin::reply::{ErrorReply, SuccessReply, reply};
use cni_plugin::{Cni, Command as Verb, Inputs};
use ipnetwork::IpNetwork;
use lab::host::command::run_line;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

/// "Unknown container" of the specification.
const UNKNOWN_CONTAINER: i32 = 3;

/// The first code that is a plugin's own.
const FAILED: i32 = 100;

fn main() -> Result<()> {
    // The crate itself answers VERSION, bad input and unknown verbs, and then ends the process.
    let inputs = Cni::load().into_inputs().context("VERSION is answered by the crate")?;
    let version = inputs.config.cni_version.clone();
    match serve(&inputs) {
        Ok(Some(result)) => reply(result),
        Ok(None) => Ok(()),
        Err(error) => reply(ErrorReply {
            cni_version: version,
            code: if error.is::<Unknown>() { UNKNOWN_CONTAINER } else { FAILED },
            msg: "lab-crate-cni failed",
            details: format!("{error:#}"),
        }),
    }
}

/// CHECK of a container that has no lease.
#[derive(Debug)]
struct Unknown(String);

impl std::fmt::Display for Unknown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} has no address here", self.0)
    }
}

impl std::error::Error for Unknown {}

fn serve(inputs: &Inputs) -> Result<Option<SuccessReply>> {
    let key = format!("{} {}", inputs.container_id, inputs.ifname);
    let mut leases = Leases::open(inputs)?;
    match inputs.command {
        Verb::Add => {
            let address = leases.give(&key)?;
            if wants_veth(inputs) {
                make_veth(inputs, &address)?;
            }
            leases.save()?;
            result(inputs, &address).map(Some)
        }
        Verb::Del => {
            if leases.by_key.remove(&key).is_some() {
                leases.save()?;
            }
            if wants_veth(inputs) {
                remove_veth(inputs)?;
            }
            Ok(None)
        }
        Verb::Check => {
            ensure!(leases.by_key.contains_key(&key), Unknown(key));
            Ok(None)
        }
        Verb::Version => bail!("VERSION is answered by the crate"),
    }
}

/// The addresses given out, behind a lock for as long as this lives.
struct Leases {
    file: Flock<File>,
    range: IpNetwork,
    /// Addresses with their prefix, as they stand in the file.
    by_key: BTreeMap<String, String>,
}

impl Leases {
    fn open(inputs: &Inputs) -> Result<Self> {
        let text = |key: &str| {
            let value = inputs.config.specific.get(key).and_then(Value::as_str);
            value.with_context(|| format!("the conf has no {key:?}"))
        };
        let path = text("leases")?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("open {path}"))?;
        let mut file = Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)
            .with_context(|| format!("lock {path}"))?;
        let mut content = String::new();
        file.read_to_string(&mut content).with_context(|| format!("read {path}"))?;
        let by_key = match content.as_str() {
            "" => BTreeMap::new(),
            content => serde_json::from_str(content).with_context(|| format!("parse {path}"))?,
        };
        let range = text("range")?.parse().context("parse the range")?;
        Ok(Self { file, range, by_key })
    }

    /// The first free address after the network's own and the gateway's.
    fn give(&mut self, key: &str) -> Result<String> {
        ensure!(!self.by_key.contains_key(key), "{key} has an address already");
        let taken = |address: &String| self.by_key.values().any(|lease| lease == address);
        let addresses = self.range.iter().skip(2);
        let mut addresses = addresses.map(|ip| format!("{ip}/{}", self.range.prefix()));
        let free = addresses.find(|address| !taken(address));
        let free = free.with_context(|| format!("no address left in {}", self.range))?;
        self.by_key.insert(key.to_owned(), free.clone());
        Ok(free)
    }

    fn save(&mut self) -> Result<()> {
        let content = serde_json::to_vec(&self.by_key).context("write leases")?;
        self.file.rewind().context("rewind the leases")?;
        self.file.set_len(0).context("truncate the leases")?;
        self.file.write_all(&content).context("write the leases")
    }
}

/// Built by way of JSON, since the crate's addresses are types of a library version of its own.
fn result(inputs: &Inputs, address: &str) -> Result<SuccessReply> {
    let netns = inputs.netns.as_deref().unwrap_or(Path::new(""));
    let document = json!({
        "cniVersion": inputs.config.cni_version.to_string(),
        "interfaces": [{"name": inputs.ifname, "sandbox": netns}],
        "ips": [{"address": address, "interface": 0}],
        "dns": {},
    });
    serde_json::from_value(document).context("a result in the crate's types")
}

fn wants_veth(inputs: &Inputs) -> bool {
    inputs.config.specific.get("veth") == Some(&Value::Bool(true))
}

fn make_veth(inputs: &Inputs, address: &str) -> Result<()> {
    let netns = inputs.netns.as_deref().context("ADD without CNI_NETNS")?;
    let (netns, pod) = (netns.display(), &inputs.ifname);
    run_line(&format!("ip link add type veth peer name {pod} netns {netns}"))?;
    let inside = format!("nsenter --net={netns} ip");
    run_line(&format!("{inside} address add {address} dev {pod}"))?;
    run_line(&format!("{inside} link set {pod} up")).map(drop)
}

/// Not an error if the netns or the interface is gone.
fn remove_veth(inputs: &Inputs) -> Result<()> {
    let netns = inputs.netns.as_deref().filter(|netns| netns.exists());
    let Some(netns) = netns else {
        return Ok(());
    };
    let line = format!("nsenter --net={} ip link delete {}", netns.display(), inputs.ifname);
    match run_line(&line) {
        Err(error) if error.to_string().contains("Cannot find device") => Ok(()),
        outcome => outcome.map(drop),
    }
}
