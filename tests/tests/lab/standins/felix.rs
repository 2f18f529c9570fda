//! Calico's agents: what becomes of a pod when they have seen its status.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use lab::host::command::run_line;
use lab::host::deadline;

use crate::node::{FelixNode, HostRoutes, NAMESPACE, SEVERAL, are_apart, reach_each_other};

/// Tells what happens from what does not.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// As the only network, by its annotation and then by the status: routes of felix' own, and all is well.
pub(crate) fn felix_keeps_a_pod_of_its_own() -> Result<()> {
    let mut node = FelixNode::new(1, Some(2))?;
    let (pod, peer) = (node.alone("own")?, node.alone("peer")?);
    let expected: Vec<String> = pod.addresses.iter().map(|address| format!("{address} 80")).collect();
    node.felix.wait_passes(SEVERAL)?;
    ensure!(node.routes(&pod)? == expected, "by the annotation: {:?}", node.routes(&pod)?);
    reach_each_other(&peer, &pod).context("before there is a status")?;
    node.publish(&peer)?;
    node.publish(&pod)?;
    ensure!(node.routes(&pod)? == expected, "by the status: {:?}", node.routes(&pod)?);
    reach_each_other(&peer, &pod).context("with a status")?;
    node.felix.restart()?;
    let state = node.felix.wait_passes(SEVERAL)?;
    reach_each_other(&peer, &pod).context("after a restart")?;
    let set: Vec<IpAddr> = state.sets[&node.interface(&pod)?].iter().copied().collect();
    ensure!(set == pod.addresses, "{set:?}");
    ensure!(state.released.is_empty() && state.troubles.is_empty(), "{state:?}");
    node.end(&pod)?;
    node.end(&peer)?;
    ensure!(node.leases()?.is_empty(), "{:?}", node.leases()?);
    Ok(())
}

/// As the second network: well until there is a status, and dead a pass later.
pub(crate) fn felix_cuts_off_a_second_network() -> Result<()> {
    let mut node = FelixNode::new(2, None)?;
    let (pod, peer) = (node.second("cut")?, node.alone("peer")?);
    node.felix.wait_passes(SEVERAL)?;
    reach_each_other(&peer, &pod).context("seconds after ADD it still works")?;
    let dropped = ["iptables", "ip6tables"].map(|program| node.dropped(program));
    node.publish(&pod)?;
    are_apart(&peer, &pod)?;
    for (program, before) in ["iptables", "ip6tables"].into_iter().zip(dropped) {
        ensure!(node.dropped(program)? > before?, "{program} let what came from the pod pass");
    }
    let others: Vec<String> = pod.others.iter().map(|other| format!("{other} 80")).collect();
    ensure!(node.routes(&pod)? == others, "{:?}", node.routes(&pod)?);
    let way = run_line(&format!("ip route get {}", pod.addresses[0]));
    ensure!(way.is_err(), "there is a way to its address: {way:?}");
    // A policy knows the pod by the other network's addresses.
    let state = node.felix.state()?;
    let set: Vec<IpAddr> = state.sets[&node.interface(&pod)?].iter().copied().collect();
    ensure!(set == pod.others, "{set:?}");

    // What another program puts into the main table is gone after a pass.
    run_line(&format!("ip route add {} dev {}", pod.addresses[0], node.interface(&pod)?))?;
    node.felix.wait_passes(1)?;
    ensure!(node.routes(&pod)? == others, "{:?}", node.routes(&pod)?);
    pod.caller.succeed("CHECK", &node.conf).context("CHECK sees nothing of it")?;
    node.end(&pod)?;
    node.end(&peer)
}

/// A route in a table of its own and a rule to the address keep it alive, over passes and a restart.
pub(crate) fn felix_lets_a_host_route_live() -> Result<()> {
    let mut node = FelixNode::new(3, None)?;
    let (pod, peer) = (node.second("mended")?, node.alone("peer")?);
    node.publish(&pod)?;
    are_apart(&peer, &pod).context("there is nothing to mend")?;
    let mend = HostRoutes::add(&node.interface(&pod)?, &pod.addresses)?;
    reach_each_other(&peer, &pod).context("at once")?;
    node.felix.wait_passes(SEVERAL)?;
    reach_each_other(&peer, &pod).context("over passes")?;
    node.felix.restart()?;
    let state = node.felix.wait_passes(SEVERAL)?;
    reach_each_other(&peer, &pod).context("after a restart")?;
    ensure!(state.troubles.is_empty(), "{state:?}");
    drop(mend);
    are_apart(&peer, &pod).context("something else kept it alive")?;
    node.end(&pod)?;
    node.end(&peer)
}

/// The node's way to the *other* network's addresses leads into Calico's interface, and a route of the same length is lost.
pub(crate) fn felix_takes_the_primarys_way() -> Result<()> {
    let mut node = FelixNode::new(4, None)?;
    let pod = node.second("taken")?;
    run_line("ip link add f4other type bridge")?;
    let _link = deleted_at_the_end("f4other");
    run_line("ip link set f4other up")?;
    for other in &pod.others {
        run_line(&format!("ip route add {other} dev f4other"))?;
    }
    node.publish(&pod)?;
    for other in &pod.others {
        let way = run_line(&format!("ip route get {other}"))?;
        ensure!(way.contains(&format!("dev {}", node.interface(&pod)?)), "{way}");
    }
    node.end(&pod)
}

fn deleted_at_the_end(link: &'static str) -> impl Drop {
    struct Link(&'static str);
    impl Drop for Link {
        fn drop(&mut self) {
            let _gone_already = run_line(&format!("ip link delete {}", self.0));
        }
    }
    Link(link)
}

/// The address of a pod that lives is free again, for its status does not name it; not before the grace is over.
pub(crate) fn felix_collects_leaks_after_a_grace() -> Result<()> {
    // An ADD has an address before its endpoint is there. On a busy machine the passes in between must not be so many.
    const GRACE: u64 = 60;
    let node = FelixNode::new(5, Some(GRACE))?;
    let (pod, peer) = (node.second("leaked")?, node.alone("peer")?);
    node.datastore.set_status(NAMESPACE, &peer.name, &peer.addresses)?;
    node.felix.wait_passes(GRACE + 2)?;
    ensure!(node.leases()?.len() == 4, "what has no status yet is no leak: {:?}", node.leases()?);
    let before = node.felix.state()?.passes;
    node.datastore.set_status(NAMESPACE, &pod.name, &pod.others)?;
    let state = deadline::until("the release of a leak", LIMIT, || {
        let state = node.felix.state()?;
        Ok((!state.released.is_empty()).then_some(state))
    })?;
    ensure!(state.passes > before + GRACE, "no grace: {before}, {state:?}");
    let mut released = state.released.clone();
    released.sort();
    ensure!(released == pod.addresses, "{state:?}");
    ensure!(node.leases()? == peer.addresses, "{:?}", node.leases()?);
    let shown = pod.netns.run("ip address show dev net1")?;
    ensure!(shown.contains(&pod.addresses[0].to_string()), "the pod lives and has it: {shown}");
    node.end(&pod).context("DEL of what was released")?;
    ensure!(node.leases()? == peer.addresses, "the peer's went along");
    node.end(&peer)
}

/// A datastore that is away is reported, and work goes on when it is back.
pub(crate) fn felix_tells_of_trouble_and_goes_on() -> Result<()> {
    let mut node = FelixNode::new(6, None)?;
    let pod = node.alone("troubled")?;
    let (there, away) = (node.datastore.path().to_owned(), node.scratch.join("away"));
    fs::rename(&there, &away)?;
    let state = node.felix.wait_passes(SEVERAL)?;
    ensure!(state.troubles.iter().any(|trouble| trouble.contains("ClusterInformation")), "{state:?}");
    ensure!(!pod.caller.call("DEL", &node.conf)?.status.success(), "DEL without a datastore");
    fs::rename(&away, &there)?;
    node.publish(&pod)?;
    let known = node.felix.state()?.troubles.len();
    let state = node.felix.wait_passes(SEVERAL)?;
    ensure!(state.troubles.len() == known && state.sets.len() == 1, "{state:?}");
    node.end(&pod)
}
