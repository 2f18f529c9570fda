//! Two nodes of a network that routes between its pods, and a proof on the first one.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::host::command;
use lab::host::deadline::{LIMIT, until};
use lab::host::fabric::{Fabric, Overlay};
use lab::host::node::{Daemon, Node};
use lab::host::scratch::files;
use lab::install::crossfade::{BIN_DIR, Crossfade};
use lab::install::person;
use lab::scene::NODE_JSON;
use serde_json::{Value, json};

/// The first two addresses that the first node gives away, and the subnets that they are of.
pub(crate) const FIRST: &str = "10.244.1.2";
pub(crate) const SECOND: &str = "10.244.1.3";
pub(crate) const PODS: [&str; 2] = ["10.244.1.0/24", "fd00:244:1::/64"];
/// The second node's end of the network, to which the first node has a route.
pub(crate) const PEER: &str = "10.244.2.0";
/// Where the first node keeps what a proof found.
const RESULT: &str = "/run/crossfade/proof/old.json";

/// See the module.
pub(crate) struct Bench {
    pub(crate) old: Overlay,
    crossfade: Crossfade,
    fabric: Fabric,
}

impl Bench {
    /// A network of routed veth pairs, as ptp makes them, in both families. DNS is asked at [`PEER`].
    pub(crate) fn new() -> Result<Bench> {
        let fabric = Fabric::new(2)?;
        let [old, new] = fabric.old_and_new()?;
        let crossfade = Crossfade::install(fabric.node(1), &old, &new)?;
        let bench = Bench { old, crossfade, fabric };
        bench.network("flannel", &bench.plugins())?;
        bench.settings(json!({ "packets": { "dns": [PEER] } }))?;
        Ok(bench)
    }

    /// The node on which is proven.
    pub(crate) fn node(&self) -> &Node {
        self.fabric.node(1)
    }

    /// The other node.
    pub(crate) fn other(&self) -> &Node {
        self.fabric.node(2)
    }

    /// The plugins of the network's conf.
    pub(crate) fn plugins(&self) -> Value {
        let ranges = PODS.map(|subnet| json!([{ "subnet": subnet }]));
        let ipam = json!({ "type": "host-local", "ranges": ranges,
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }] });
        json!([{ "type": "ptp", "mtu": Overlay::MTU, "ipMasq": false, "ipam": ipam }])
    }

    /// Replaces the network's conf and its profile.
    pub(crate) fn network(&self, profile: &str, plugins: &Value) -> Result<()> {
        let conflist = json!({ "cniVersion": "1.0.0", "name": self.old.name, "plugins": plugins });
        self.crossfade.network(&self.old, &conflist)?;
        let conf = self.crossfade.conf_path(&self.old);
        let old = json!({ "profile": profile, "conf": [conf], "cidrs": [self.old.cidr()] });
        self.crossfade.policy(json!({ "attach": "old", "networks": { "old": old } }))
    }

    /// Replaces node.json.
    pub(crate) fn settings(&self, more: Value) -> Result<()> {
        let mut settings = json!({ "version": 1 });
        let keys = settings.as_object_mut().context("settings")?;
        keys.extend(more.as_object().cloned().unwrap_or_default());
        self.node().write(NODE_JSON, settings.to_string())
    }

    /// A rule of the firewall of a node, in one family.
    pub(crate) fn rule(node: &Node, family: &str, rule: &str) -> Result<()> {
        let line: Vec<&str> = [family, "-w"].into_iter().chain(rule.split(' ')).collect();
        node.run(&line).map(drop)
    }

    /// Drops all packets between pods, and from the node to pods, in one family.
    pub(crate) fn block(&self, family: &str) -> Result<()> {
        self.toggle(family, "-I")
    }

    /// Lets them pass again.
    pub(crate) fn unblock(&self, family: &str) -> Result<()> {
        self.toggle(family, "-D")
    }

    fn toggle(&self, family: &str, verb: &str) -> Result<()> {
        let subnet = PODS[usize::from(family == "ip6tables")];
        Bench::rule(self.node(), family, &format!("{verb} FORWARD -d {subnet} -j DROP"))?;
        Bench::rule(self.node(), family, &format!("{verb} OUTPUT -d {subnet} -j DROP"))
    }

    /// How many packets between pods [`Bench::block`] dropped.
    pub(crate) fn blocked(&self) -> Result<u64> {
        let table = self.node().run(&["iptables", "-w", "-nvxL", "FORWARD"])?;
        let rule = table.lines().nth(2).context("the rule")?;
        Ok(rule.split_whitespace().next().context("its counter")?.parse()?)
    }

    /// A DNS server at [`PEER`] that knows every name.
    pub(crate) fn dns(&self) -> Result<Daemon> {
        let mut server = self.other().command("dnsmasq");
        server.args([
            "--no-daemon",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--conf-file=/dev/null",
        ]);
        server.args(["--user=root", "--pid-file=", "--address=/#/192.0.2.9"]);
        server.arg(format!("--listen-address={PEER}"));
        let server = self.other().background("dns", &server)?;
        until("the DNS server", LIMIT, || {
            let text = self.other().run(&["busybox", "netstat", "-lnu"])?;
            Ok(text.contains(&format!("{PEER}:53")).then_some(()))
        })?;
        Ok(server)
    }

    /// The command of a proof.
    pub(crate) fn command(&self) -> Result<Command> {
        person::bootstrap(
            self.node(),
            &["unit", "prove", "old", "--bin-dir", BIN_DIR, "--bin-dir", "/usr/lib/cni"],
        )
    }

    /// Proves, and expects this exit status; all that was said, and the result.
    pub(crate) fn prove(&self, status: i32) -> Result<(String, Value)> {
        let mut command = self.command()?;
        if status != 0 {
            // What does not pass is not waited for; what passes does so in the first rounds.
            command.args(["--within", "5"]);
        }
        let text = command::run_expecting(&mut command, status)?;
        let result = self.result()?;
        self.expect_nothing().with_context(|| text.clone())?;
        Ok((text, result))
    }

    /// What the last proof found.
    pub(crate) fn result(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.node().outside(RESULT))?)?)
    }

    /// A proof fails for this reason, and says these words; its packets.
    pub(crate) fn expect_failure(&self, reason: &str, words: &[&str]) -> Result<Value> {
        let (text, result) = self.prove(3)?;
        let why = result["failed"].as_str().unwrap_or_default();
        ensure!(result["packets"]["reason"] == reason, "expected {reason}: {result:#}\n{text}");
        ensure!(words.iter().all(|word| why.contains(word)), "{why}");
        ensure!(text.contains(why) && text.contains(RESULT), "{text}");
        Ok(result["packets"].clone())
    }

    /// A proof passes, and notes something with these words; its packets.
    pub(crate) fn expect_note(&self, words: &[&str]) -> Result<Value> {
        let (text, result) = self.prove(0)?;
        ensure!(result["packets"]["reason"] == "passed", "{result:#}");
        let notes = result["packets"]["notes"].as_array().cloned().unwrap_or_default();
        let has =
            |note: &Value| words.iter().all(|word| note.as_str().is_some_and(|note| note.contains(word)));
        ensure!(notes.iter().any(has), "{result:#}\n{text}");
        Ok(result["packets"].clone())
    }

    /// Nothing of a proof is on the node but its result.
    pub(crate) fn expect_nothing(&self) -> Result<()> {
        let leases = self.leases()?;
        ensure!(leases == 0, "{leases} leases");
        for directory in ["/run/netns", "/run/crossfade/proof/old/state/attachments"] {
            let lease_files = files(&self.node().outside(directory))?;
            ensure!(lease_files.is_empty(), "left: {lease_files:?}");
        }
        let links = self.node().run(&["ip", "-o", "link", "show", "type", "veth"])?;
        // The node's own link to the wire is one.
        ensure!(links.lines().all(|line| line.contains(" eth0@")), "{links}");
        Ok(())
    }

    /// How many addresses are given away.
    pub(crate) fn leases(&self) -> Result<usize> {
        Ok(self.old.leases(self.node())?.len())
    }
}

/// The exchanges on one path, with what each is asked for.
pub(crate) fn on<'a>(packets: &'a Value, path: &str) -> Vec<&'a Value> {
    let all = packets["exchanges"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|exchange| exchange["path"] == path).collect()
}
