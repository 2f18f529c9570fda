//! The entries of the Calico-like plugin in its datastore, and the keys by which they go.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use lab::host::command::run_line;
use lab::host::leases::leases;
use lab::host::netns::Netns;
use lab::host::scratch::Scratch;
use lab::standin::calico::Datastore;
use serde_json::{Value, json};

use crate::call::Caller;

const NAMESPACE: &str = "ns";

/// A pod, its datastore and its conf.
struct Pod {
    scratch: Scratch,
    datastore: Datastore,
    netns: Netns,
    caller: Caller,
    conf: Value,
}

impl Pod {
    fn new(name: &'static str, net: u8) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let datastore = Datastore::create(&scratch.dir("datastore")?)?;
        let netns = Netns::pod(name)?;
        let caller = Caller {
            plugin: "lab-calico",
            id: format!("{name}-sandbox"),
            netns: netns.path().to_owned(),
            args: format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={name}"),
        };
        let conf = json!({
            "cniVersion": "1.0.0", "name": "old", "type": "calico",
            "datastore": datastore.path(), "nodename": "n1",
            "ipam": {"type": "host-local", "dataDir": scratch.join("leases"),
                     "ranges": [[{"subnet": format!("10.75.{net}.0/24")}], [{"subnet": format!("fd00:75:{net}::/64")}]]},
        });
        Ok(Self { scratch, datastore, netns, caller, conf })
    }

    /// What is given away by the datastore, which must be what is by the leases.
    fn given(&self) -> Result<Vec<IpAddr>> {
        let mut given: Vec<IpAddr> =
            self.datastore.allocations()?.iter().map(|allocation| allocation.address).collect();
        let entries = leases(&self.scratch.join("leases/old"))?;
        let leased: Vec<IpAddr> = entries.into_iter().map(|lease| lease.address).collect();
        given.sort();
        ensure!(given == leased, "given away are {given:?}, leased {leased:?}");
        Ok(given)
    }

    fn has_endpoint(&self) -> Result<bool> {
        let name = self.caller.id.trim_end_matches("-sandbox");
        Ok(self.datastore.endpoint(NAMESPACE, name)?.is_some())
    }
}

/// Addresses go with any interface of the container, the endpoint with its own sandbox, the link with the netns.
pub(crate) fn calico_del_goes_by_the_handle() -> Result<()> {
    let pod = Pod::new("handle", 1)?;
    let result = pod.caller.succeed("ADD", &pod.conf)?.result()?;
    let endpoint = pod.datastore.endpoint(NAMESPACE, "handle")?.context("no endpoint")?;
    ensure!(endpoint.interface == result["interfaces"][0]["name"], "{endpoint:?} {result}");
    ensure!(endpoint.container_id == pod.caller.id && endpoint.node == "n1", "{endpoint:?}");
    ensure!(pod.given()? == endpoint.pod_ips && endpoint.pod_ips.len() == 2, "{endpoint:?}");
    let handles = pod.datastore.allocations()?.into_iter().map(|allocation| allocation.handle);
    ensure!(handles.into_iter().all(|handle| handle == "old.handle-sandbox"), "another handle");

    let other = Caller { id: "other-sandbox".to_owned(), netns: "".into(), ..pod.caller.clone() };
    let answer = other.succeed("DEL", &pod.conf)?;
    ensure!(answer.stderr.contains("does not match"), "{}", answer.stderr);
    ensure!(pod.given()?.len() == 2 && pod.has_endpoint()?, "another sandbox's DEL took something");

    let nowhere = Caller { netns: "".into(), ..pod.caller.clone() };
    let answer = nowhere.succeed_for("net7", "DEL", &pod.conf)?;
    ensure!(answer.stderr.contains("WorkloadEndpoint does not exist"), "{}", answer.stderr);
    ensure!(pod.given()?.is_empty(), "the handle's addresses stay");
    ensure!(pod.has_endpoint()?, "another interface's DEL took the endpoint");
    run_line(&format!("ip link show {}", endpoint.interface)).context("without a netns the pair stays")?;

    pod.caller.succeed("DEL", &pod.conf)?;
    ensure!(!pod.has_endpoint()? && pod.netns.run("ip link show eth0").is_err(), "something is left");
    pod.caller.succeed("DEL", &pod.conf).context("again")?;
    Ok(())
}

/// One pod has one host end, one endpoint and one pair of annotations.
pub(crate) fn calico_second_interface_destroys_the_first() -> Result<()> {
    let pod = Pod::new("second", 2)?;
    pod.caller.succeed("ADD", &pod.conf)?;
    let first = pod.given()?;
    // Its default route would be in the way.
    pod.netns.run("ip link set eth0 down")?;
    pod.caller.succeed_for("net1", "ADD", &pod.conf)?;
    ensure!(pod.netns.run("ip link show eth0").is_err(), "the first link lives");
    pod.netns.run("ip link show net1")?;
    ensure!(pod.given()?.len() == 4, "{:?}", pod.given()?);

    let answer = pod.caller.succeed_for("net1", "DEL", &pod.conf)?;
    ensure!(answer.stderr.contains("WorkloadEndpoint does not exist"), "{}", answer.stderr);
    ensure!(pod.given()?.is_empty(), "one handle has the addresses of both interfaces");
    let left = pod.datastore.endpoint(NAMESPACE, "second")?.context("the annotations are gone")?;
    ensure!(left.container_id == pod.caller.id, "{left:?}");
    ensure!(!left.pod_ips.is_empty() && left.pod_ips.iter().all(|own| !first.contains(own)), "{left:?}");
    Ok(())
}

/// Without it nothing is done, and nothing is left.
pub(crate) fn calico_needs_its_datastore() -> Result<()> {
    let mut pod = Pod::new("away", 3)?;
    pod.conf["datastore"] = json!(pod.scratch.join("nowhere"));
    for verb in ["ADD", "DEL"] {
        let refusal = pod.caller.call(verb, &pod.conf)?.refused(999).context(verb)?;
        ensure!(refusal.msg.contains("ClusterInformation"), "{verb}: {refusal:?}");
    }
    ensure!(!pod.scratch.join("leases").exists(), "an address was given");
    pod.caller.succeed("CHECK", &pod.conf)?;
    Ok(())
}
