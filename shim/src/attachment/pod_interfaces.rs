//! The interfaces and addresses that a network's ADD left in the pod. CHECK compares them with the pod later.
//!
//! The record holds only what both the delegate's result and the kernel named at ADD: the interfaces in the sandbox, and those of the
//! result's addresses that the interfaces had. If a result names something that the kernel does not have (a user-space device), CHECK does
//! not look for it. So CHECK reports what has gone since, and never what was not there to begin with.

use std::io;
use std::net::IpAddr;

use types::attachment::PodInterface;

use crate::attachment::route::{Budget, PodView, interfaces};
use crate::call::version::AddResult;
use crate::host::netns::Netns;

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
    let reported = result.sandbox_interfaces();
    Ok(reported_of(interfaces(netns, &names(&reported, ifname), budget)?, &result.ips()))
}

/// [`read`] from what was seen of the pod already.
#[must_use]
pub fn from_seen(pod: &PodView<'_>, ifname: &str, result: &AddResult) -> Vec<PodInterface> {
    let reported = result.sandbox_interfaces();
    reported_of(pod.interfaces_named(&names(&reported, ifname)), &result.ips())
}

fn names<'a>(reported: &'a [String], ifname: &'a str) -> Vec<&'a str> {
    let mut names: Vec<&str> = reported.iter().map(String::as_str).chain([ifname]).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The interfaces, each with those of its addresses that are in `addresses`.
fn reported_of(mut interfaces: Vec<PodInterface>, addresses: &[IpAddr]) -> Vec<PodInterface> {
    for interface in &mut interfaces {
        interface.addresses.retain(|address| addresses.contains(address));
    }
    interfaces
}

/// The recorded interfaces and addresses that are missing `now`, as text for a person.
#[must_use]
pub fn missing_interfaces(recorded: &[PodInterface], now: &[PodInterface]) -> Vec<String> {
    let mut gone = Vec::new();
    for interface in recorded {
        match now.iter().find(|other| other.name == interface.name) {
            None => gone.push(format!("interface {}", interface.name)),
            Some(other) => {
                let lost = interface.addresses.iter().filter(|address| !other.addresses.contains(address));
                gone.extend(lost.map(|address| format!("address {address} of {}", interface.name)));
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
    fn only_addresses_that_the_result_names_and_the_kernel_has_are_recorded() {
        let have = vec![interface("eth0", &["10.1.0.2", "fd00::2", "2001:db8::77"]), interface("net1", &[])];
        let addresses: Vec<IpAddr> =
            ["10.1.0.2", "fd00::2", "10.1.0.3"].map(|text| text.parse().expect(text)).into();
        let kept = [interface("eth0", &["10.1.0.2", "fd00::2"]), interface("net1", &[])];
        assert_eq!(reported_of(have, &addresses), kept);
    }

    #[test]
    fn what_went_away_is_named_and_what_came_is_not() {
        let recorded = [interface("eth0", &["10.1.0.2", "fd00::2"]), interface("net1", &["10.2.0.2"])];
        assert!(missing_interfaces(&recorded, &recorded).is_empty());
        let more = [interface("eth0", &["10.1.0.2", "fd00::2", "10.1.0.9"]), recorded[1].clone()];
        assert!(missing_interfaces(&recorded, &more).is_empty());
        let less = [interface("eth0", &["fd00::2"])];
        assert_eq!(missing_interfaces(&recorded, &less), ["address 10.1.0.2 of eth0", "interface net1"]);
        assert!(missing_interfaces(&[], &[]).is_empty());
    }
}
