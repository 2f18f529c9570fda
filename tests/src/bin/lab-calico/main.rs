//! A Calico-like stand-in CNI plugin: what a pod on Calico looks like, without Calico's agent, API and policies.
//!
//! A veth pair whose host end is named `cali` and a hash of the pod, a /32 (or /128) in the pod, a gateway that no interface
//! has (169.254.1.1, or the host end's link-local address), a route to the pod on the host, and a result that names
//! neither gateway nor routes nor the pod's own interface. All of it after `projectcalico/calico`, `cni-plugin/pkg/dataplane/linux`
//! and `cni-plugin/pkg/k8s`. Unlike Calico it makes the IPv4 gateway's neighbour entry permanent instead of relying on
//! proxy ARP, which answers only where the host has a default route.
//!
//! Its conf, beside `cniVersion`, `name` and `type`:
//!
//! - `ipam`: as usual; its plugin is found in `CNI_PATH` and given stdin as it is. Or `addresses`: the pod's addresses.
//! - `mtu`: of both ends; the kernel's default if absent.
//! - `existingDefault`: `fail` (default, "file exists", as Calico does) or `keep`, if the pod has a default route already.
//! - `sandboxInResult`: `true` as newer releases do: the interface entry, which has the *host* end's name, gets the pod's
//!   MAC address and netns. Absent: the name alone.
//! - `podInResult`: `true` as release 3.31 does: the host's end by its name alone, then the pod's interface, which the addresses name.
//! - `hostPrefix`: begins the name of the host end; `cali` if absent. Only so can two stand-ins serve one pod: real Calico
//!   names the end by the pod alone.
//! - `datastore`: a directory, see `lab::standin::calico`, in which pods and addresses are registered for `lab-felix`; and `nodename` with it.
//!   Absent: nothing is registered, and an agent's view of the node has none of this plugin's pods.
//!
//! - `kubernetes`: an object with `kubeconfig`, a file in JSON with which the plugin writes its annotations on the Pod. Absent: it writes none.
//!
//! CHECK is empty, and says `OK` on stdout. DEL goes by network and container for the addresses, by pod and `eth0` for the
//! endpoint, by netns and interface for the link. Both as measured with release 3.31.

#[cfg(feature = "kubernetes")]
mod annotations;
mod conf;
mod dataplane;
mod ipam;
mod registry;

use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use conf::{Call, Failure};

/// What Calico's plugin accepts, as far as the lab needs it.
const VERSIONS: [&str; 4] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0"];

fn main() -> ExitCode {
    let mut stdin = Vec::new();
    let outcome = std::io::stdin()
        .read_to_end(&mut stdin)
        .context("read stdin")
        .map_err(Failure::from)
        .and_then(|_| serve(&stdin));
    let (text, code) = match outcome {
        Ok(Answer::Nothing) => return ExitCode::SUCCESS,
        Ok(Answer::Ok) => ("OK\n".to_owned(), ExitCode::SUCCESS),
        Ok(Answer::Document(document)) => (document.to_string(), ExitCode::SUCCESS),
        Err(failure) => (failure.document().to_string(), ExitCode::FAILURE),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

enum Answer {
    Nothing,
    Ok,
    Document(Value),
}

fn serve(stdin: &[u8]) -> Result<Answer, Failure> {
    let verb = std::env::var("CNI_COMMAND").context("CNI_COMMAND")?;
    if verb == "VERSION" {
        let versions = json!({"cniVersion": "1.0.0", "supportedVersions": VERSIONS});
        return Ok(Answer::Document(versions));
    }
    let call = Call::read(stdin)?;
    if !VERSIONS.contains(&call.conf.cni_version.as_str()) {
        return Err(Failure::incompatible(&call.conf.cni_version, &VERSIONS));
    }
    match verb.as_str() {
        "ADD" => add(&call).map(Answer::Document),
        "DEL" => {
            // In Calico's order: the endpoint, the interface, the addresses.
            registry::forget_endpoint(&call)?;
            dataplane::clean(&call)?;
            // Free in the datastore first: once the lease is gone, the next pod may have the address.
            registry::forget_addresses(&call)?;
            ipam::release(&call)?;
            Ok(Answer::Nothing)
        }
        "CHECK" => Ok(Answer::Ok),
        other => Err(Failure::unknown_verb(other)),
    }
}

fn add(call: &Call) -> Result<Value, Failure> {
    registry::reachable(call)?;
    let addresses = ipam::allocate(call)?;
    let attached = registry::note_addresses(call, &addresses)
        .and_then(|()| dataplane::attach(call, &addresses))
        .and_then(|mac| registry::note_endpoint(call, &addresses).map(|()| mac))
        .and_then(|mac| interfaces(call, &mac));
    let interfaces = match attached {
        Ok(interfaces) => interfaces,
        Err(error) => {
            // Calico releases the address and reports the first error, whatever comes of the release.
            let _reported_already = registry::forget_addresses(call);
            let _reported_already = ipam::release(call);
            return Err(error.into());
        }
    };
    let numbered = call.conf.cni_version != "1.0.0";
    let ips: Vec<Value> = addresses
        .iter()
        .map(|address| {
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            let mut ip = json!({"address": format!("{address}/{prefix}")});
            if numbered {
                ip["version"] = json!(if address.is_ipv4() { "4" } else { "6" });
            }
            if call.conf.pod_in_result {
                ip["interface"] = json!(1);
            }
            ip
        })
        .collect();
    Ok(json!({
        "cniVersion": call.conf.cni_version,
        "interfaces": interfaces,
        "ips": ips,
        "dns": {},
    }))
}

/// `interfaces` of the result.
fn interfaces(call: &Call, mac: &str) -> Result<Value> {
    let netns = call.netns.as_deref().context("ADD without CNI_NETNS")?;
    let host = json!({"name": call.host_end()});
    Ok(match (call.conf.pod_in_result, call.conf.sandbox_in_result) {
        (true, _) => json!([host, {"name": call.ifname, "mac": mac, "sandbox": netns}]),
        (false, true) => json!([{"name": call.host_end(), "mac": mac, "sandbox": netns}]),
        (false, false) => json!([host]),
    })
}
