//! The interfaces and addresses that a network's ADD left in the pod. CHECK compares them with the pod later.
//!
//! The record holds only what both the delegate's result and the kernel named at ADD: the interfaces in the sandbox, and those of the
//! result's addresses that the interfaces had. If a result names something that the kernel does not have (a user-space device), CHECK does
//! not look for it. So CHECK reports what has gone since, and never what was not there to begin with.

use std::io;
use std::net::IpAddr;

use types::attachment::PodInterface;

use crate::netns::Netns;
use crate::route::{Budget, interfaces};
use crate::version::AddResult;

/// Reads the interfaces that a delegate's `result` names, and the interface `ifname` of its ADD, from the pod's netns.
///
/// # Errors
/// An error of the kernel, or that there is more than `budget` allows to read.
pub fn read(
    netns: &Netns,
    ifname: &str,
    result: &AddResult,
    budget: Budget<'_>,
) -> io::Result<Vec<PodInterface>> {
    let mut names = result.sandbox_interfaces();
    names.push(ifname.to_owned());
    Ok(named(interfaces(netns, budget)?, &names, &result.ips()))
}

/// The interfaces of `all` with these names, each with those of its addresses that are in `addresses`. Pure.
fn named(all: Vec<PodInterface>, names: &[String], addresses: &[IpAddr]) -> Vec<PodInterface> {
    let kept = all.into_iter().filter(|interface| names.contains(&interface.name));
    kept.map(|mut interface| {
        interface.addresses.retain(|address| addresses.contains(address));
        interface
    })
    .collect()
}

/// The recorded interfaces and addresses that are missing `now`, as text for a person. Pure.
#[must_use]
pub fn missing(recorded: &[PodInterface], now: &[PodInterface]) -> Vec<String> {
    let mut gone = Vec::new();
    for one in recorded {
        match now.iter().find(|other| other.name == one.name) {
            None => gone.push(format!("interface {}", one.name)),
            Some(other) => {
                let lost = one.addresses.iter().filter(|address| !other.addresses.contains(address));
                gone.extend(lost.map(|address| format!("address {address} of {}", one.name)));
            }
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[&str]) -> PodInterface {
        let addresses = addresses.iter().map(|text| text.parse().expect(text)).collect();
        PodInterface { name: name.to_owned(), addresses }
    }

    #[test]
    fn only_what_the_result_names_and_the_kernel_has_is_recorded() {
        let have = vec![
            interface("lo", &["127.0.0.1", "::1"]),
            interface("eth0", &["10.1.0.2", "fd00::2", "2001:db8::77"]),
            interface("other", &["10.9.0.2"]),
        ];
        let addresses: Vec<IpAddr> =
            ["10.1.0.2", "fd00::2", "10.1.0.3"].map(|text| text.parse().expect(text)).into();
        let names = ["eth0".to_owned(), "dpdk0".to_owned()];
        assert_eq!(named(have, &names, &addresses), [interface("eth0", &["10.1.0.2", "fd00::2"])]);
    }

    #[test]
    fn what_went_away_is_named_and_what_came_is_not() {
        let recorded = [interface("eth0", &["10.1.0.2", "fd00::2"]), interface("net1", &["10.2.0.2"])];
        assert!(missing(&recorded, &recorded).is_empty());
        let more = [interface("eth0", &["10.1.0.2", "fd00::2", "10.1.0.9"]), recorded[1].clone()];
        assert!(missing(&recorded, &more).is_empty());
        let less = [interface("eth0", &["fd00::2"])];
        assert_eq!(missing(&recorded, &less), ["address 10.1.0.2 of eth0", "interface net1"]);
        assert!(missing(&[], &[]).is_empty());
    }
}
