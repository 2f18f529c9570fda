//! The whole way.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lab::host::node::Daemon;
use lab::runtime::cri::Sandbox;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::node::{ASIDE, Node, changes};

/// Echo requests from one pod to another, twenty a second, until they are counted.
struct Pings(Daemon);

impl Pings {
    fn start(node: &Node, from: &str, to: &str) -> Result<Self> {
        let (from, to) = (node.cri().status(from)?, node.cri().status(to)?);
        let address = to.ip.context("an address")?.to_string();
        let mut ping = node.node().command_in(&from.netns, "busybox");
        ping.args(["ping", "-q", "-i", "0.05", &address]);
        Ok(Self(node.node().background("pings", &ping)?))
    }

    /// Ends, and says how many were sent and how many came back.
    fn counted(mut self) -> Result<(u32, u32)> {
        self.0.signal(Signal::SIGINT)?;
        self.0.wait(lab::host::deadline::LIMIT)?;
        let text = fs::read_to_string(self.0.log())?;
        let line = text.lines().find(|line| line.contains("packets transmitted")).context(text.clone())?;
        let numbers: Vec<u32> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        ensure!(numbers.len() >= 2, "{line}");
        Ok((numbers[0], numbers[1]))
    }
}

/// An attachment that ended without its DEL.
const LEDGER: &str = r#"{"version":1,"wallSecs":1790000000,"containerID":"c0","ifname":"eth0","network":"old","addresses":["10.244.1.9/24"],"reason":"its DEL failed","removed":[],"left":["the lease of 10.244.1.9"]}"#;

/// Writes that ledger, and returns its path.
fn owed(node: &Node) -> Result<PathBuf> {
    let file = node.outside("/var/lib/crossfade/ledger.jsonl");
    fs::write(&file, format!("{LEDGER}\n"))?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

/// By `uninstall`, with all that it removes, as by `graduate`.
pub(crate) fn the_ledger_stays_when_crossfade_is_uninstalled() -> Result<()> {
    let node = Node::new()?;
    let pod = node.run("pod")?;
    let file = owed(&node)?;
    node.run_expecting(&["uninstall", "--purge", "--brought"], 3)?;
    node.end(&pod)?;
    node.run_expecting(&["uninstall", "--purge", "--brought"], 0)?;
    ensure!(!node.outside("/var/lib/crossfade/name").exists());
    ensure!(fs::read_to_string(&file)?.trim_end() == LEDGER, "the ledger went with Crossfade");
    Ok(())
}

pub(crate) fn living_pods_keep_their_network_and_their_dels_reach_their_plugin() -> Result<()> {
    let node = Node::new()?;
    let (client, server) =
        (node.run("one")?, node.cri().run_sandbox(&Sandbox::new("exposed").exposed(18080))?);
    ensure!(node.attachments()? == (2, 0) && node.leases()? == (0, 2), "{:?}", node.leases()?);
    let cached = node.cached()?;
    ensure!(cached.len() == 2 && cached.iter().all(|name| name.starts_with("old-")), "{cached:?}");
    let file = owed(&node)?;

    let pings = Pings::start(&node, &client, &server)?;
    let before = node.files()?;
    let planned = node.graduate(&[], 0)?;
    ensure!(node.files()? == before, "a dry run changed something: {planned:#}");
    ensure!(planned["stage"] == "planned" && planned["ledger"][0]["containerID"] == "c0", "{planned:#}");
    let shown = node.run_expecting(&["graduate"], 0)?;
    ensure!(
        shown.contains("owed     c0 eth0 on old, 10.244.1.9/24: its DEL failed; left: the lease"),
        "{shown}"
    );
    ensure!(shown.contains("nothing was changed"), "{shown}");

    let done = node.graduate(&["--apply"], 0)?;
    ensure!(changes(&done) == changes(&planned), "{:#?}\n{:#?}", changes(&planned), changes(&done));
    ensure!(done["stage"] == "graduated", "{done:#}");
    ensure!(done["ledger"] == planned["ledger"], "the ledger is printed: {done:#}");
    ensure!(fs::read_to_string(&file)?.trim_end() == LEDGER, "and stays where it is");
    node.expect_gone()?;
    let cached = node.cached()?;
    ensure!(cached.len() == 2 && cached.iter().all(|name| name.starts_with("new-")), "{cached:?}");
    ensure!(node.leases()? == (0, 2), "living pods were touched: {:?}", node.leases()?);
    let aside = node.outside(ASIDE);
    for moved in
        ["attachments", "01-crossfade.conflist", "net.d/10-old.conflist", "node.json", "journal.jsonl"]
    {
        ensure!(aside.join(moved).exists(), "{moved} is not in {}", aside.display());
    }

    let (sent, back) = pings.counted()?;
    ensure!(sent > 20 && sent == back, "{back} of {sent} echo requests came back");
    let again = node.graduate(&["--apply"], 0)?;
    ensure!(changes(&again).is_empty() && again["notes"].to_string().contains("already"), "{again:#}");

    // The next pod is the new network's without Crossfade, and each pod's DEL reaches its plugin.
    node.log.clear()?;
    let next = node.run("next")?;
    let added = node.log.calls()?.into_iter().find(|call| call.verb() == "ADD").context("an ADD")?;
    ensure!(added.var("CROSSFADE_DEPTH").is_empty(), "an ADD came through Crossfade");
    for id in [&client, &server, &next] {
        node.expect_direct_del(id)?;
    }
    ensure!(node.leases()? == (0, 0) && node.cached()?.is_empty(), "left: {:?}", node.cached()?);
    let rules = node.node().run(&["iptables", "-w", "-t", "nat", "-S"])?;
    ensure!(!rules.contains("18080"), "a port is left:\n{rules}");
    boots_after(&node)
}

/// The node boots again: nothing of Crossfade's comes back.
fn boots_after(node: &Node) -> Result<()> {
    node.node().reboot_id("11111111-2222-4333-8444-555555555555")?;
    let before = node.files()?;
    node.run_expecting(&["unit", "boot"], 0)?;
    let mut after = node.files()?;
    after.remove("/var/lib/crossfade/boot.json");
    ensure!(
        after == before,
        "{:?}",
        after.keys().filter(|name| !before.contains_key(*name)).collect::<Vec<_>>()
    );
    let status: Value = serde_json::from_str(&node.run_expecting(&["status", "--output", "json"], 0)?)?;
    ensure!(status["confDir"] == "none", "{status:#}");
    Ok(())
}
