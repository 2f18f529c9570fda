//! Single calls with the real bridge and host-local in real network namespaces.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::call::{Attachment, Call};
use super::cost::{Floor, Verb};
use super::report::Limit;
use super::workshop::{Installation, Networks, Workshop, nothing_left, plugin_conf};
use super::{Bench, Turn};
use crate::host::command;

/// A network of the standard plugins, with a bridge and leases of its own.
pub(super) struct Bridge {
    conflist: Value,
    bridge: String,
    leases: std::path::PathBuf,
}

impl Bridge {
    /// The network of this number, 10.NUMBER.0.0/16.
    pub(super) fn new(workshop: &Workshop, number: u8) -> Bridge {
        let bridge = format!("bench{number}");
        let leases = workshop.scratch(&format!("leases-{number}"));
        let conflist = json!({
            "cniVersion": "1.0.0",
            "name": bridge,
            "plugins": [{
                "type": "bridge",
                "bridge": bridge,
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": leases,
                    "ranges": [[{ "subnet": format!("10.{number}.0.0/16") }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            }],
        });
        Bridge { conflist, bridge, leases }
    }

    pub(super) fn conflist(&self) -> &Value {
        &self.conflist
    }

    /// A bare call of its plugin.
    pub(super) fn bare(&self, workshop: &Workshop, verb: &str, attachment: &Attachment) -> Result<Call> {
        let program = workshop.plugins.join("bridge");
        let mut call = Call::new(&program, verb, &workshop.plugins, &plugin_conf(&self.conflist))?;
        call.attachment(attachment);
        Ok(call)
    }

    /// The shim in front of it.
    pub(super) fn behind_shim(&self, workshop: &Workshop, label: &str) -> Result<Installation> {
        let new = super::workshop::stub_network("newnet", "stub-new", "1.0.0");
        let bin: &Path = &workshop.plugins;
        workshop.install(
            label,
            &Networks { old: &self.conflist, new: &new, attach: "old", version: "1.0.0", bin },
        )
    }

    /// Gives a bare DEL what the runtime would have kept of the ADD.
    pub(super) fn remember(&self, add: &mut Call, del: &mut Call) -> Result<()> {
        let mut conf = plugin_conf(&self.conflist);
        conf["prevResult"] = add.answer()?;
        del.stdin(&conf)
    }

    /// What attachments that are gone must not leave: leases and links on the bridge.
    pub(super) fn leftovers(&self) -> Result<Vec<std::path::PathBuf>> {
        // Beside the leases, one file each by address, are a lock and the last address given.
        let is_lease = |path: &std::path::PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().parse::<std::net::IpAddr>().is_ok())
        };
        let mut leftovers: Vec<_> =
            crate::host::scratch::files(&self.leases)?.into_iter().filter(is_lease).collect();
        let links = command::run(Command::new("ip").args(["-o", "link", "show", "master", &self.bridge]))
            .context("links of the bridge")?;
        leftovers.extend(links.lines().map(Into::into));
        Ok(leftovers)
    }
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let network = Bridge::new(&bench.workshop, 100);
    let shim = network.behind_shim(&bench.workshop, "plugins")?;
    let attachments: Vec<Attachment> = bench
        .workshop
        .netns("plugins", 2)?
        .into_iter()
        .zip(["bare", "shim"])
        .map(|(netns, id)| Attachment { id: id.to_owned(), netns, ifname: "eth0".to_owned() })
        .collect();
    let workshop = &bench.workshop;
    let bare = |verb| network.bare(workshop, verb, &attachments[0]);
    let through = |verb| shim.call_for(verb, &attachments[1]);
    let floor = Floor::durable(workshop, "plugins", shim.record_length(&attachments[1])?)?;
    let mut add = Verb::new(vec![bare("ADD")?], through("ADD")?, None, floor);
    let mut del = Verb::new(vec![bare("DEL")?], through("DEL")?, None, Floor::start(workshop)?);
    for turn in bench.turns(bench.options.pairs) {
        let turn: Turn = turn?;
        add.measure(turn)?;
        network.remember(&mut add.bare[0], &mut del.bare[0])?;
        del.measure(turn)?;
    }
    nothing_left("bridge + host-local", &shim.leftovers()?)?;
    nothing_left("bridge + host-local", &network.leftovers()?)?;
    let report = &mut bench.report;
    add.report("bridge + host-local ADD", report);
    del.report("bridge + host-local DEL", report);
    joins(bench)
}

/// A network that joins a pod that runs, and leaves it, beside the ADD and the DEL of that network alone: each JOIN keeps the default route of the pod by a table of its own, and each LEAVE gives it back.
fn joins(bench: &mut Bench) -> Result<()> {
    let workshop = &bench.workshop;
    let (old, new) = (Bridge::new(workshop, 101), Bridge::new(workshop, 102));
    let bin = workshop.plugins.clone();
    let networks =
        Networks { old: old.conflist(), new: new.conflist(), attach: "old", version: "1.0.0", bin: &bin };
    let shim = workshop.install("joins", &networks)?;
    let mut netns = workshop.netns("joins", 2)?.into_iter();
    let mut attachment = |id: &str, ifname: &str| -> Result<Attachment> {
        let netns = netns.next().context("a netns")?;
        Ok(Attachment { id: id.to_owned(), netns, ifname: ifname.to_owned() })
    };
    let (alone, pod) = (attachment("bare", "net1")?, attachment("pod", "eth0")?);
    let floor = Floor::durable(workshop, "joins", shim.record_length(&pod)?)?;
    let (bare_add, bare_del) = (new.bare(workshop, "ADD", &alone)?, new.bare(workshop, "DEL", &alone)?);
    let mut join = Verb::new(vec![bare_add], shim.call_for("JOIN", &pod)?, None, floor);
    let mut leave = Verb::new(
        vec![bare_del],
        shim.call_for("LEAVE", &pod)?,
        None,
        Floor::durable(workshop, "leaves", 1)?,
    );
    shim.call_for("ADD", &pod)?.run()?;
    for turn in bench.turns(bench.options.pairs.div_ceil(5)) {
        let turn = turn?;
        shim.attach("both")?;
        join.measure(turn)?;
        new.remember(&mut join.bare[0], &mut leave.bare[0])?;
        shim.attach("old")?;
        leave.measure(turn)?;
    }
    shim.call_for("DEL", &pod)?.run()?;
    for left in [shim.leftovers()?, old.leftovers()?, new.leftovers()?] {
        nothing_left("JOIN and LEAVE", &left)?;
    }
    let report = &mut bench.report;
    let joined = join.report("bridge + host-local JOIN, against an ADD", report);
    let leave_cost = leave.report("bridge + host-local LEAVE, against a DEL", report);
    report.goal(
        "a network that joins and leaves, beyond its plugin",
        vec![
            Limit::new("JOIN, p50", joined.overhead.median_us / 1000.0, 60.0, "ms"),
            Limit::new("LEAVE, p50", leave_cost.overhead.median_us / 1000.0, 30.0, "ms"),
        ],
    );
    Ok(())
}
