//! Host ports in both-mode: portmap on both networks, and only the primary is mapped.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::echo::{PORT, Protocol, ask_at};
use crate::matrix::Case;
use crate::packets::PacketWatch;
use crate::remains::{Leave, leave};
use crate::space::Space;
use crate::topology::{Kind, NODE, Side, of_family, topology};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Asked at the node's address, from outside and from pods of the far node, the pod answers; its secondary is in no rule.
pub(crate) fn leads_to_the_primary(
    kinds: [Kind; 2],
    primary: Side,
    owner: Side,
    host_port: u16,
) -> Result<()> {
    // This release of portmap makes its shared chain without looking whether another has just done so.
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let topology = topology()?;
    let case = Case { primary, owner, ..Case::with_kinds(kinds) };
    let id = format!("port{host_port}");
    let mut pod = case.pod(topology, &id, Space::pod(&id)?)?;
    for side in Side::BOTH {
        let mut conf = case.network(side).conflist(1, case.families_of(side), &topology.leases[0]);
        let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}, "snat": true});
        conf["plugins"].as_array_mut().context("plugins")?.push(portmap);
        pod.write_conf(side, &conf)?;
    }
    let mapping = |protocol| json!({"hostPort": host_port, "containerPort": PORT, "protocol": protocol});
    pod.more = json!({
        "capabilities": {"portMappings": true},
        "runtimeConfig": {"portMappings": [mapping("tcp"), mapping("udp")]},
    });
    let watched = PacketWatch::new(&case, &pod)?;
    pod.add(topology)?;
    pod.respond()?;
    let is_primarys = |address: &IpAddr| case.network(primary).owns(*address);
    for is_ipv4 in [true, false] {
        let rules =
            topology.node.run(if is_ipv4 { "iptables-save -t nat" } else { "ip6tables-save -t nat" })?;
        for address in pod.addresses().iter().filter(|address| address.is_ipv4() == is_ipv4) {
            // By the target of the translation: a bare address may be the beginning of another one.
            let target = format!("--to-destination {}", SocketAddr::from((*address, PORT)));
            let mapped = rules.lines().any(|line| line.ends_with(&target));
            ensure!(mapped == is_primarys(address), "{address} is mapped: {mapped}");
        }
        let to = SocketAddr::from((of_family(NODE, is_ipv4)?, host_port));
        let mut askers = vec![&topology.outside];
        for side in Side::BOTH {
            askers.push(&topology.peer(case.network(side), 2)?.pod.space);
        }
        for (asker, protocol) in
            askers.iter().flat_map(|asker| Protocol::BOTH.map(|protocol| (asker, protocol)))
        {
            let answer = ask_at(asker, None, to, protocol)?;
            ensure!(answer.seen == answer.local, "the asker's address was changed: {answer:?}");
        }
    }
    watched.packets_at_home(&pod, is_primarys)?;
    // No CHECK: portmap's own, of this release, looks for IPv4 rules in IPv6 tables, with us or without.
    pod.be_silent()?;
    drop(watched);
    let addresses = pod.addresses();
    leave(Leave::Orderly, topology, pod)?;
    for save in ["iptables-save", "ip6tables-save"] {
        let rules = topology.node.run(&format!("{save} -t nat"))?;
        for address in &addresses {
            let target = format!("--to-destination {}", SocketAddr::from((*address, PORT)));
            ensure!(!rules.contains(&target), "{address} is still mapped");
        }
        ensure!(!rules.contains(&format!("id: \\\"{id}\\\"")), "a chain of {id} is left: {rules}");
    }
    Ok(())
}
