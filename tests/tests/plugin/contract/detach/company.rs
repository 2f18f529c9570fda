//! A forced DEL takes nothing that another attachment has: not its interface, not its address.
//!
//! Calico names a pod's host end after namespace and pod, and gives every one the same hardware address. So a pod of a
//! StatefulSet that was made anew has its predecessor's, in its name and in its address.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::host::command::run_line;
use lab::standin::stub::{Gate, Reply, Stub};
use serde_json::{Value, json};

use crate::{case::Case, netns::Netns, trials};

trials![
    the_interface_of_a_recorded_successor_stays,
    the_interface_of_a_successor_in_the_inventory_stays,
    the_interface_of_a_successor_whose_add_runs_stays,
    the_interface_stays_while_a_record_cannot_be_read,
    the_interface_goes_with_its_last_attachment,
    the_address_of_another_interface_of_the_container_stays,
];

const MAC: &str = "ee:ee:ee:ee:ee:ee";

/// A pod of `old` whose sandbox is gone, and its successor's netns and interface; no ADD of the successor yet.
struct Successor {
    case: Case,
    netns: Netns,
    host: String,
}

fn has_host_link(name: &str) -> Result<bool> {
    Ok(run_line("ip -o link")?.contains(&format!(": {name}@")))
}

impl Successor {
    fn new() -> Result<Self> {
        let case = Case::attach("old")?;
        // As unlike those of other tests as a hash would be.
        let host = format!("cali{}", case.netns_path().rsplit("case").next().unwrap_or_default());
        let plugin = json!({
            "type": "stub-old",
            "ipam": {"type": "host-local", "dataDir": case.path("leases"), "subnet": "10.1.0.0/24"}
        });
        case.write_conf("old", &json!({"cniVersion": "0.4.0", "name": "oldnet", "plugins": [plugin]}))?;
        let successor = Self { case, netns: Netns::new()?, host };
        successor.case.stubs.write("stub-old", &Stub::answering(Reply::json(&successor.answer())))?;
        successor.case.added()?;
        // The plugin takes the old interface away when it makes the new one.
        let (host, path) = (&successor.host, successor.netns.path().display());
        run_line(&format!("ip link add {host} address {MAC} type veth peer name eth0 netns {path}"))?;
        Ok(successor)
    }

    fn answer(&self) -> Value {
        json!({
            "cniVersion": "0.4.0",
            "interfaces": [{"name": self.host, "mac": MAC}, {"name": "eth0", "sandbox": "{netns}"}],
            "ips": [{"version": "4", "address": "10.1.0.5/32"}]
        })
    }

    fn call(&self, verb: &str) -> lab::runtime::caller::Plugin {
        let path = self.netns.path().display().to_string();
        self.case.call(verb).env("CNI_CONTAINERID", "c2").env("CNI_NETNS", &path)
    }

    /// The DEL of the first sandbox, forced; its netns is gone.
    fn force_first(&self) -> Result<Value> {
        self.retire()?;
        self.case.call("DEL").env("CNI_NETNS", "").run()?.silent()?;
        let text = fs::read_to_string(self.case.path("state/ledger.jsonl"))?;
        serde_json::from_str(text.lines().next().context("a line of the ledger")?).context("the ledger")
    }

    fn retire(&self) -> Result<()> {
        if self.case.stubs.program("stub-old").exists() {
            self.case.stubs.remove("stub-old")?;
        }
        self.case.change_policy(|policy| {
            policy["attach"] = json!("new");
            policy["retired"] = json!([{"network": "old", "forceAfterSeconds": 0}]);
        })
    }

    fn lives(&self, why: &str) -> Result<()> {
        let line = self.force_first()?;
        ensure!(has_host_link(&self.host)?, "the living pod's host end is gone: {line}");
        ensure!(self.netns.has_link("eth0")?, "the living pod's eth0 is gone");
        let leftovers = line["left"].to_string();
        ensure!(
            leftovers.contains(&self.host) && leftovers.contains(why),
            "it is said to be left, and why: {line}"
        );
        Ok(())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        // Where a test took it away, there is none.
        let _removed = run_line(&format!("ip link delete {}", self.host));
    }
}

fn the_interface_of_a_recorded_successor_stays() -> Result<()> {
    let successor = Successor::new()?;
    successor.call("ADD").run()?.result()?;
    successor.lives("c2")
}

fn the_interface_of_a_successor_in_the_inventory_stays() -> Result<()> {
    let successor = Successor::new()?;
    let entry =
        json!({"containerID": "c2", "ifname": "eth0", "network": "old", "prevResult": successor.answer()});
    successor.case.write_inventory(&json!([entry]))?;
    successor.lives("c2")
}

/// What it has made is in no record yet.
fn the_interface_of_a_successor_whose_add_runs_stays() -> Result<()> {
    let successor = Successor::new()?;
    let gate: Gate = successor.case.gate("gate")?;
    let reply = Reply::json(&successor.answer()).behind(&gate);
    successor.case.stubs.write("stub-old", &Stub::answering(reply))?;
    let add = successor.call("ADD").spawn()?;
    successor.case.stubs.log().wait_for("stub-old ADD eth0", 1)?;
    successor.lives("c2")?;
    gate.open()?;
    add.wait()?.result()?;
    Ok(())
}

fn the_interface_stays_while_a_record_cannot_be_read() -> Result<()> {
    let successor = Successor::new()?;
    successor.call("ADD").run()?.result()?;
    let records = successor.case.records()?;
    let other = records.iter().find(|path| path.to_string_lossy().contains("c2@")).context("its record")?;
    fs::write(other, "torn")?;
    successor.lives("damaged")
}

/// No other attachment has the interface: it is this attachment's to remove.
fn the_interface_goes_with_its_last_attachment() -> Result<()> {
    let successor = Successor::new()?;
    successor.call("ADD").run()?.result()?;
    successor.lives("c2")?;
    successor.call("DEL").run()?.silent()?;
    ensure!(!has_host_link(&successor.host)?, "the last one's host end is left");
    successor.case.expect_records(0)
}

/// A lease of an old host-local names the container and no interface.
fn the_address_of_another_interface_of_the_container_stays() -> Result<()> {
    let successor = Successor::new()?;
    let leases = successor.case.make_dir("leases/oldnet")?;
    fs::write(leases.join("10.1.0.9"), "c1")?;
    fs::write(leases.join("10.1.0.5"), "c1")?;
    let mut answer = successor.answer();
    answer["ips"][0]["address"] = json!("10.1.0.9/32");
    successor.case.stubs.write("stub-old", &Stub::answering(Reply::json(&answer)))?;
    successor.case.call("ADD").env("CNI_IFNAME", "eth1").run()?.result()?;
    successor.force_first()?;
    ensure!(!leases.join("10.1.0.5").exists(), "its own lease is left");
    ensure!(leases.join("10.1.0.9").exists(), "the lease of eth1 is gone");
    Ok(())
}
