//! Calico's agents: what becomes of a pod when they have seen its status.
//!
//! ```text
//! pod under test                  the lab's own netns, which forwards            peer: a pod of Calico alone
//!   eth0, net1 ------------------- cali..., felix, kube-controllers ----------------- eth0
//! ```

use std::fs;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use lab::calico::{Datastore, Felix, Spec};
use lab::deadline;
use lab::scratch::Scratch;
use serde_json::{Value, json};

use crate::call::{Caller, Netns, run};

const NAMESPACE: &str = "ns";
/// More than one, since some things happen in the second.
const SEVERAL: u64 = 3;
/// Tells what happens from what does not.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);

/// A node's Calico.
struct Scene {
    felix: Felix,
    datastore: Datastore,
    conf: Value,
    prefix: String,
    net: u8,
    scratch: Scratch,
}

/// A pod of it.
struct Pod {
    name: String,
    netns: Netns,
    caller: Caller,
    ifname: &'static str,
    /// Calico's.
    addresses: Vec<IpAddr>,
    /// Of the other network, if there is one: its interface leads nowhere.
    others: Vec<IpAddr>,
}

impl Scene {
    /// Subnets, links and names are numbered `net`.
    fn new(net: u8, leak_grace: Option<u64>) -> Result<Self> {
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
        let scratch = Scratch::new("felix")?;
        let datastore = Datastore::create(&scratch.dir("datastore")?)?;
        let prefix = format!("f{net}cali");
        let blocks = [format!("10.76.{net}.0/24"), format!("fd00:76:{net}::/64")];
        let conf = json!({
            "cniVersion": "1.0.0", "name": "old", "type": "calico", "hostPrefix": prefix,
            "datastore": datastore.path(), "nodename": "n1",
            "ipam": {"type": "host-local", "dataDir": scratch.join("leases"),
                     "ranges": [[{"subnet": blocks[0]}], [{"subnet": blocks[1]}]]},
        });
        let spec = Spec {
            nodename: "n1".to_owned(),
            datastore: datastore.path().to_owned(),
            state: scratch.join("state.json"),
            prefix: prefix.clone(),
            blocks: blocks.to_vec(),
            every_ms: 50,
            leak_grace,
        };
        let felix = Felix::start(spec, None)?;
        Ok(Self { felix, datastore, conf, prefix, net, scratch })
    }

    /// A pod on Calico alone.
    fn alone(&self, name: &str) -> Result<Pod> {
        self.pod(name, "eth0", Vec::new())
    }

    /// A pod whose primary network is another one.
    fn second(&self, name: &str) -> Result<Pod> {
        let others = [format!("10.77.{}.9", self.net), format!("fd00:77:{}::9", self.net)];
        self.pod(name, "net1", others.iter().map(|other| other.parse()).collect::<Result<_, _>>()?)
    }

    fn pod(&self, name: &str, ifname: &'static str, others: Vec<IpAddr>) -> Result<Pod> {
        let netns = Netns::new(&format!("{}-{name}", self.prefix))?;
        if !others.is_empty() {
            netns.run("ip link add eth0 type bridge")?;
            for other in &others {
                netns.run(&format!("ip address add {other} dev eth0"))?;
            }
            netns.run("ip link set eth0 up")?;
        }
        let caller = Caller {
            plugin: "lab-calico",
            id: format!("{name}-sandbox"),
            netns: netns.path(),
            args: format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={name}"),
        };
        let result = caller.succeed_for(ifname, "ADD", &self.conf)?.json();
        let addresses = crate::calico::addresses(&result);
        let addresses: Vec<IpAddr> =
            addresses.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
        ensure!(addresses.len() == 2, "{result}");
        Ok(Pod { name: name.to_owned(), netns, caller, ifname, addresses, others })
    }

    /// Kubelet publishes the primary network's addresses, and felix has seen it.
    fn publish(&mut self, pod: &Pod) -> Result<()> {
        let primary = if pod.others.is_empty() { &pod.addresses } else { &pod.others };
        self.datastore.set_status(NAMESPACE, &pod.name, primary)?;
        self.felix.wait_passes(SEVERAL).map(drop)
    }

    fn interface(&self, pod: &Pod) -> Result<String> {
        let endpoint = self.datastore.endpoint(NAMESPACE, &pod.name)?;
        Ok(endpoint.context("no endpoint")?.interface)
    }

    /// Destinations of the main table that lead to the pod, with their protocol.
    fn routes(&self, pod: &Pod) -> Result<Vec<String>> {
        let interface = self.interface(pod)?;
        let mut found = Vec::new();
        for family in ["-4", "-6"] {
            let routes =
                run("ip", &format!("-Numeric -json {family} route show table main dev {interface}"))?;
            let routes: Vec<Value> = serde_json::from_str(&routes).unwrap_or_default();
            let text = |route: &Value, key: &str| route[key].as_str().unwrap_or_default().to_owned();
            let routes = routes.iter().map(|route| (text(route, "dst"), text(route, "protocol")));
            found.extend(
                routes
                    .filter(|(_, protocol)| protocol != "2")
                    .map(|(dst, protocol)| format!("{dst} {protocol}")),
            );
        }
        Ok(found)
    }

    /// Packets that the check of the way back has dropped, of a family.
    fn dropped(&self, program: &str) -> Result<u64> {
        let listed = run(program, "-w -t raw -nvxL PREROUTING")?;
        let rule =
            listed.lines().find(|line| line.contains(&format!("{}+", self.prefix))).context("no check")?;
        Ok(rule.split_whitespace().next().context("a count")?.parse()?)
    }

    fn leases(&self) -> Result<Vec<IpAddr>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.scratch.join("leases/old")).context("list leases")? {
            found.extend(entry?.file_name().to_string_lossy().parse::<IpAddr>());
        }
        found.sort();
        Ok(found)
    }

    fn end(&self, pod: &Pod) -> Result<()> {
        pod.caller.succeed_for(pod.ifname, "DEL", &self.conf)?;
        self.datastore.delete_pod(NAMESPACE, &pod.name)
    }
}

/// Each of the pod's addresses answers the peer, and each of the peer's the pod.
fn reach_each_other(peer: &Pod, pod: &Pod) -> Result<()> {
    for (from, to) in [(peer, pod), (pod, peer)] {
        for address in &to.addresses {
            from.netns.run(&format!("busybox ping -c 1 -W 60 {address}"))?;
        }
    }
    Ok(())
}

/// None of them does.
fn are_apart(peer: &Pod, pod: &Pod) -> Result<()> {
    for (from, to) in [(peer, pod), (pod, peer)] {
        for address in &to.addresses {
            let answer = from.netns.run(&format!("busybox ping -c 1 -W 1 {address}"));
            ensure!(answer.is_err(), "{address} of {} answers {}", to.name, from.name);
        }
    }
    Ok(())
}

/// Its own routes to a pod's addresses in table 1003, and a rule to each address: what keeps a second network alive.
struct HostRoutes(Vec<String>);

impl HostRoutes {
    fn add(interface: &str, addresses: &[IpAddr]) -> Result<Self> {
        let mut made = Self(Vec::new());
        for address in addresses {
            let family = if address.is_ipv4() { "-4" } else { "-6" };
            for line in [
                format!("route ACTION {address} dev {interface} table 1003"),
                format!("rule ACTION to {address} lookup 1003 priority 1003"),
            ] {
                let line = format!("{family} {line}");
                run("ip", &line.replace("ACTION", "add"))?;
                made.0.push(line.replace("ACTION", "delete"));
            }
        }
        Ok(made)
    }
}

impl Drop for HostRoutes {
    fn drop(&mut self) {
        for line in &self.0 {
            // A route goes with its interface.
            let _gone_already = run("ip", line);
        }
    }
}

/// As the only network, by its annotation and then by the status: routes of felix' own, and all is well.
pub(crate) fn keeps_a_pod_of_its_own() -> Result<()> {
    let mut scene = Scene::new(1, Some(2))?;
    let (pod, peer) = (scene.alone("own")?, scene.alone("peer")?);
    let expected: Vec<String> = pod.addresses.iter().map(|address| format!("{address} 80")).collect();
    scene.felix.wait_passes(SEVERAL)?;
    ensure!(scene.routes(&pod)? == expected, "by the annotation: {:?}", scene.routes(&pod)?);
    reach_each_other(&peer, &pod).context("before there is a status")?;
    scene.publish(&peer)?;
    scene.publish(&pod)?;
    ensure!(scene.routes(&pod)? == expected, "by the status: {:?}", scene.routes(&pod)?);
    reach_each_other(&peer, &pod).context("with a status")?;
    scene.felix.restart()?;
    let state = scene.felix.wait_passes(SEVERAL)?;
    reach_each_other(&peer, &pod).context("after a restart")?;
    let set: Vec<IpAddr> = state.sets[&scene.interface(&pod)?].iter().copied().collect();
    ensure!(set == pod.addresses, "{set:?}");
    ensure!(state.released.is_empty() && state.troubles.is_empty(), "{state:?}");
    scene.end(&pod)?;
    scene.end(&peer)?;
    ensure!(scene.leases()?.is_empty(), "{:?}", scene.leases()?);
    Ok(())
}

/// As the second network: well until there is a status, and dead a pass later.
pub(crate) fn cuts_off_a_second_network() -> Result<()> {
    let mut scene = Scene::new(2, None)?;
    let (pod, peer) = (scene.second("cut")?, scene.alone("peer")?);
    scene.felix.wait_passes(SEVERAL)?;
    reach_each_other(&peer, &pod).context("seconds after ADD it still works")?;
    let dropped = ["iptables", "ip6tables"].map(|program| scene.dropped(program));
    scene.publish(&pod)?;
    are_apart(&peer, &pod)?;
    for (program, before) in ["iptables", "ip6tables"].into_iter().zip(dropped) {
        ensure!(scene.dropped(program)? > before?, "{program} let what came from the pod pass");
    }
    let others: Vec<String> = pod.others.iter().map(|other| format!("{other} 80")).collect();
    ensure!(scene.routes(&pod)? == others, "{:?}", scene.routes(&pod)?);
    let way = run("ip", &format!("route get {}", pod.addresses[0]));
    ensure!(way.is_err(), "there is a way to its address: {way:?}");
    // A policy knows the pod by the other network's addresses.
    let state = scene.felix.state()?;
    let set: Vec<IpAddr> = state.sets[&scene.interface(&pod)?].iter().copied().collect();
    ensure!(set == pod.others, "{set:?}");

    // What somebody puts into the main table is gone after a pass.
    run("ip", &format!("route add {} dev {}", pod.addresses[0], scene.interface(&pod)?))?;
    scene.felix.wait_passes(1)?;
    ensure!(scene.routes(&pod)? == others, "{:?}", scene.routes(&pod)?);
    pod.caller.succeed("CHECK", &scene.conf).context("CHECK sees nothing of it")?;
    scene.end(&pod)?;
    scene.end(&peer)
}

/// A route in a table of its own and a rule to the address keep it alive, over passes and a restart.
pub(crate) fn lets_a_host_route_live() -> Result<()> {
    let mut scene = Scene::new(3, None)?;
    let (pod, peer) = (scene.second("mended")?, scene.alone("peer")?);
    scene.publish(&pod)?;
    are_apart(&peer, &pod).context("there is nothing to mend")?;
    let mend = HostRoutes::add(&scene.interface(&pod)?, &pod.addresses)?;
    reach_each_other(&peer, &pod).context("at once")?;
    scene.felix.wait_passes(SEVERAL)?;
    reach_each_other(&peer, &pod).context("over passes")?;
    scene.felix.restart()?;
    let state = scene.felix.wait_passes(SEVERAL)?;
    reach_each_other(&peer, &pod).context("after a restart")?;
    ensure!(state.troubles.is_empty(), "{state:?}");
    drop(mend);
    are_apart(&peer, &pod).context("something else kept it alive")?;
    scene.end(&pod)?;
    scene.end(&peer)
}

/// The node's way to the *other* network's addresses leads into Calico's interface, and a route of the same length is lost.
pub(crate) fn takes_the_primarys_way() -> Result<()> {
    let mut scene = Scene::new(4, None)?;
    let pod = scene.second("taken")?;
    run("ip", "link add f4other type bridge")?;
    let _link = deleted_at_the_end("f4other");
    run("ip", "link set f4other up")?;
    for other in &pod.others {
        run("ip", &format!("route add {other} dev f4other"))?;
    }
    scene.publish(&pod)?;
    for other in &pod.others {
        let way = run("ip", &format!("route get {other}"))?;
        ensure!(way.contains(&format!("dev {}", scene.interface(&pod)?)), "{way}");
    }
    scene.end(&pod)
}

fn deleted_at_the_end(link: &'static str) -> impl Drop {
    struct Link(&'static str);
    impl Drop for Link {
        fn drop(&mut self) {
            let _gone_already = run("ip", &format!("link delete {}", self.0));
        }
    }
    Link(link)
}

/// The address of a pod that lives is free again, for its status does not name it; not before the grace is over.
pub(crate) fn collects_leaks_after_a_grace() -> Result<()> {
    const GRACE: u64 = 5;
    let mut scene = Scene::new(5, Some(GRACE))?;
    let (pod, peer) = (scene.second("leaked")?, scene.alone("peer")?);
    scene.datastore.set_status(NAMESPACE, &peer.name, &peer.addresses)?;
    scene.felix.wait_passes(GRACE + 2)?;
    ensure!(scene.leases()?.len() == 4, "what has no status yet is no leak: {:?}", scene.leases()?);
    let before = scene.felix.state()?.passes;
    scene.datastore.set_status(NAMESPACE, &pod.name, &pod.others)?;
    let state = deadline::until("the release of a leak", LIMIT, || {
        let state = scene.felix.state()?;
        Ok((!state.released.is_empty()).then_some(state))
    })?;
    ensure!(state.passes > before + GRACE, "no grace: {before}, {state:?}");
    let mut released = state.released.clone();
    released.sort();
    ensure!(released == pod.addresses, "{state:?}");
    ensure!(scene.leases()? == peer.addresses, "{:?}", scene.leases()?);
    let shown = pod.netns.run("ip address show dev net1")?;
    ensure!(shown.contains(&pod.addresses[0].to_string()), "the pod lives and has it: {shown}");
    scene.end(&pod).context("DEL of what was released")?;
    ensure!(scene.leases()? == peer.addresses, "the peer's went along");
    scene.end(&peer)
}

/// A datastore that is away is told of, and things go on when it is back.
pub(crate) fn tells_of_trouble_and_goes_on() -> Result<()> {
    let mut scene = Scene::new(6, None)?;
    let pod = scene.alone("troubled")?;
    let (there, away) = (scene.datastore.path().to_owned(), scene.scratch.join("away"));
    fs::rename(&there, &away)?;
    let state = scene.felix.wait_passes(SEVERAL)?;
    ensure!(state.troubles.iter().any(|trouble| trouble.contains("ClusterInformation")), "{state:?}");
    ensure!(!pod.caller.call("DEL", &scene.conf)?.ok, "DEL without a datastore");
    fs::rename(&away, &there)?;
    scene.publish(&pod)?;
    let known = scene.felix.state()?.troubles.len();
    let state = scene.felix.wait_passes(SEVERAL)?;
    ensure!(state.troubles.len() == known && state.sets.len() == 1, "{state:?}");
    scene.end(&pod)
}
