//! The pod's interface, made with `ip`.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use lab::host::command::run_line;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use crate::conf::{Call, ExistingDefault};

/// Calico's next hop for every pod; no interface has it.
const GATEWAY_V4: &str = "169.254.1.1";

/// MAC address of every host end.
const HOST_MAC: &str = "ee:ee:ee:ee:ee:ee";

/// The link-local address that the kernel makes of [`HOST_MAC`] (RFC 4291, appendix A).
const GATEWAY_V6: &str = "fe80::ecee:eeff:feee:eeee";

/// Makes the pair, and everything on it, for these addresses; the MAC address of the pod's end.
///
/// # Errors
/// What exists already (`File exists`), or what the kernel refuses. The pair is removed again.
pub(crate) fn attach(call: &Call, addresses: &[IpAddr]) -> Result<String> {
    let netns = call.netns.as_deref().context("ADD without CNI_NETNS")?;
    let (host, pod) = (call.host_end(), call.ifname.as_str());
    if run_line("ip -oneline link show type veth")?.contains(&host) {
        // The last sandbox of the same pod, or another interface of this one.
        ip(&format!("link delete {host}"))?;
    }
    let mtu = call.conf.mtu.map(|mtu| format!("mtu {mtu} ")).unwrap_or_default();
    let path = netns.display();
    ip(&format!("link add {host} address {HOST_MAC} {mtu}type veth peer name {pod} {mtu}netns {path}"))?;
    let made = host_end_up(&host, addresses)
        .and_then(|()| inside(netns, || furnish(call, addresses)))
        .and_then(|mac| host_routes(&host, addresses).map(|()| mac));
    if made.is_err() {
        // The first error is the one that matters.
        let _reported_already = ip(&format!("link delete {host}"));
    }
    made
}

/// Removes the pod's interface. Not an error if it, or the whole netns, is gone.
///
/// # Errors
/// What the kernel refuses.
pub(crate) fn clean(call: &Call) -> Result<()> {
    let Some(netns) = call.netns.as_deref() else {
        return Ok(());
    };
    let pod = &call.ifname;
    match File::open(netns) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Ok(_) | Err(_) => {}
    }
    let removed = inside(netns, || match ip(&format!("link delete {pod}")) {
        Err(error) if error.to_string().contains("Cannot find device") => Ok(()),
        outcome => outcome,
    });
    match removed {
        // The file of a netns that was unmounted.
        Err(error) if error.downcast_ref::<Errno>() == Some(&Errno::EINVAL) => Ok(()),
        outcome => outcome,
    }
}

/// Inside the pod: routes before addresses, as Calico does, so that a default route of another network is hit first.
fn furnish(call: &Call, addresses: &[IpAddr]) -> Result<String> {
    let pod = &call.ifname;
    let has_v6 = addresses.iter().any(IpAddr::is_ipv6);
    if has_v6 {
        enable_v6(&["all", "default", pod])?;
        without_dad(pod)?;
    }
    ip(&format!("link set {pod} up"))?;
    if addresses.iter().any(IpAddr::is_ipv4) {
        ip(&format!("neighbour replace {GATEWAY_V4} lladdr {HOST_MAC} dev {pod} nud permanent"))?;
        ip(&format!("route add {GATEWAY_V4}/32 dev {pod} scope link"))?;
        default_route(call, "-4", GATEWAY_V4)?;
    }
    if has_v6 {
        default_route(call, "-6", GATEWAY_V6)?;
    }
    for address in addresses {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        ip(&format!("address add {address}/{prefix} dev {pod}"))?;
    }
    mac_address(pod)
}

fn default_route(call: &Call, family: &str, gateway: &str) -> Result<()> {
    let pod = &call.ifname;
    if call.conf.existing_default == ExistingDefault::Keep
        && !run_line(&format!("ip {family} route show default"))?.trim().is_empty()
    {
        return Ok(());
    }
    let added = ip(&format!("{family} route add default via {gateway} dev {pod}"));
    match added {
        Err(error) if error.to_string().contains("File exists") => {
            bail!("failed to add route for default via {gateway}: file exists")
        }
        outcome => outcome,
    }
}

fn host_end_up(host: &str, addresses: &[IpAddr]) -> Result<()> {
    if addresses.iter().any(IpAddr::is_ipv6) {
        enable_v6(&[host])?;
        without_dad(host)?;
    }
    ip(&format!("link set {host} up"))
}

fn host_routes(host: &str, addresses: &[IpAddr]) -> Result<()> {
    for address in addresses {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        let scope = if address.is_ipv4() { " scope link" } else { "" };
        ip(&format!("route add {address}/{prefix} dev {host}{scope}"))?;
    }
    Ok(())
}

/// A container's netns may come with IPv6 switched off.
fn enable_v6(places: &[&str]) -> Result<()> {
    for place in places {
        let path = format!("/proc/sys/net/ipv6/conf/{place}/disable_ipv6");
        fs::write(&path, "0").with_context(|| format!("write {path}"))?;
    }
    Ok(())
}

/// On a link of two, no other host can have the address: it is usable at once.
fn without_dad(interface: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/accept_dad");
    fs::write(&path, "0").with_context(|| format!("write {path}"))
}

fn mac_address(interface: &str) -> Result<String> {
    let shown = run_line(&format!("ip -oneline link show {interface}"))?;
    let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
    let mac = words.nth(1).with_context(|| format!("no MAC address in {shown:?}"))?;
    Ok(mac.to_owned())
}

/// Does something in another netns and comes back. The program has one thread.
fn inside<T>(netns: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let home = File::open("/proc/self/ns/net").context("open the own netns")?;
    let there = File::open(netns).with_context(|| format!("open netns {}", netns.display()))?;
    setns(&there, CloneFlags::CLONE_NEWNET)?;
    let done = work();
    setns(&home, CloneFlags::CLONE_NEWNET).context("return to the own netns")?;
    done
}

fn ip(line: &str) -> Result<()> {
    run_line(&format!("ip {line}")).map(drop)
}
