//! Names that no profile may list among its CNI's leftovers, even one that the operator wrote: names of the kernel, kubelet or kube-proxy, and names in common use.

use std::path::{Component, Path};

use super::leaves::{Leaves, RoutePattern};
use super::pattern::Pattern;

/// Interfaces that belong to no CNI, by their beginnings: hardware (systemd.net-naming-scheme), and those of the kernel and of kube-proxy.
const LINKS: [&str; 14] = [
    "lo",
    "eth",
    "eno",
    "enp",
    "ens",
    "enx",
    "wlp",
    "bond",
    "team",
    "docker",
    "virbr",
    "kube-ipvs",
    "nodelocaldns",
    "veth",
];
/// Chains of kube-proxy and kubelet, of the standard plugins, and of Docker, by their beginnings.
const CHAINS: [&str; 4] = ["KUBE-", "CNI-", "CNI_", "DOCKER"];
/// iptables' own chains.
const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
/// iptables' own tables, which are tables of nftables as well.
const TABLES: [&str; 5] = ["raw", "mangle", "nat", "filter", "security"];
/// Tables of nftables that other programs own.
const NFT_TABLES: [&str; 3] = ["kube-proxy", "cni_hostport", "firewalld"];
/// The plugins of containernetworking/plugins, which every CNI may use.
const STANDARD: [&str; 20] = [
    "bandwidth",
    "bridge",
    "crossfade",
    "dhcp",
    "dummy",
    "firewall",
    "host-device",
    "host-local",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "sbr",
    "static",
    "tap",
    "tuning",
    "vlan",
    "vrf",
    "multus",
];
/// Directories below which a CNI has directories of its own. A path names something in one of them.
const PLACES: [&str; 7] =
    ["/var/lib", "/var/run", "/run", "/var/log", "/var/lib/cni", "/etc/cni/net.d", "/etc/sysctl.d"];
/// Directories in them that are not one CNI's.
const SHARED: [&str; 8] = [
    "/var/lib/cni",
    "/var/lib/cni/networks",
    "/var/lib/cni/results",
    "/var/lib/crossfade",
    "/run/crossfade",
    "/var/run/crossfade",
    "/var/lib/kubelet",
    "/var/lib/containerd",
];
/// Where BPF objects are pinned. *Source*: the kernel's documentation, and man 8 `tc-bpf` for `tc/globals`.
const BPFFS: &str = "/sys/fs/bpf";
/// The kernel's own routing protocols that other programs use as well: redirect, kernel, boot, static. *Source*: man 7 `rtnetlink`.
const LAST_SHARED_PROTOCOL: u8 = 16;

/// Holds what a CNI leaves to names that may be its own.
///
/// # Errors
/// The first that may not, in words that name its list.
pub(super) fn check(leaves: &Leaves) -> Result<(), String> {
    let is_shared = |name: &Pattern| LINKS.iter().any(|shared| name.beginning().starts_with(shared));
    if let Some(link) = leaves.links.iter().find(|link| is_shared(&link.name)) {
        return Err(format!("leaves.links: {} would match interfaces of others", link.name));
    }
    for route in &leaves.routes {
        check_route(route)?;
    }
    for rule in &leaves.rules {
        if rule.priority == 0 || rule.priority >= 32766 || rule.tables.0 > rule.tables.1 {
            return Err(format!(
                "leaves.rules: the rule of priority {} is the kernel's or has no table",
                rule.priority
            ));
        }
    }
    for chain in &leaves.chains {
        let name = &chain.name;
        if CHAINS.iter().any(|shared| name.beginning().starts_with(shared))
            || BUILT_IN.iter().any(|own| name.matches(own))
        {
            return Err(format!("leaves.chains: {name} would match chains of others"));
        }
        require_known("leaves.chains", &chain.tables, &TABLES)?;
        require_known("leaves.chains", &chain.jumps, &BUILT_IN)?;
    }
    for comment in &leaves.comments {
        require_known("leaves.comments", &comment.tables, &TABLES)?;
        require_known("leaves.comments", &comment.chains, &BUILT_IN)?;
    }
    for table in &leaves.nft_tables {
        require_known(
            "leaves.nftTables",
            std::slice::from_ref(&table.family),
            &["ip", "ip6", "inet", "arp", "bridge", "netdev"],
        )?;
        if TABLES.contains(&table.name.as_str()) || NFT_TABLES.contains(&table.name.as_str()) {
            return Err(format!("leaves.nftTables: {} {} belongs to no CNI alone", table.family, table.name));
        }
    }
    for pin in &leaves.pins {
        check_pin(pin)?;
    }
    for path in leaves.mounts.iter().chain(&leaves.files).chain(&leaves.directories) {
        check_path(path)?;
    }
    for program in &leaves.programs {
        if STANDARD.contains(&program.as_str()) || program.contains('/') || program.is_empty() {
            return Err(format!("leaves.programs: {program} is no program of one CNI"));
        }
    }
    for network in &leaves.networks {
        if !crate::text::names::is_name(network) {
            return Err(format!("leaves.networks: {network:?} is no name of a network"));
        }
    }
    Ok(())
}

fn check_route(route: &RoutePattern) -> Result<(), String> {
    let own = route.protocol.is_some_and(|protocol| protocol > LAST_SHARED_PROTOCOL);
    let more = [
        route.table.is_some_and(|table| table > 0 && !(253..=255).contains(&table)),
        route.link.is_some(),
        route.within,
    ];
    let conditions =
        more.into_iter().filter(|is_named| *is_named).count() + usize::from(route.protocol.is_some());
    if own || conditions >= 2 {
        Ok(())
    } else {
        Err("leaves.routes: a route needs a protocol of its CNI's own, or two things that it is told by"
            .into())
    }
}

fn check_pin(pin: &Pattern) -> Result<(), String> {
    let (dir, name) = pin.as_str().rsplit_once('/').unwrap_or_default();
    let is_plain = !dir.contains('{') && !dir.contains("/.") && !dir.contains("//");
    let is_below = dir == BPFFS || dir.strip_prefix(BPFFS).is_some_and(|rest| rest.starts_with('/'));
    let begins = name.split('{').next().unwrap_or_default();
    if is_plain && is_below && begins.len() >= 3 && !["tc", "globals", "tcx"].contains(&name) {
        Ok(())
    } else {
        Err(format!("leaves.pins: {pin} is no name of one CNI below {BPFFS}"))
    }
}

fn check_path(path: &Path) -> Result<(), String> {
    let is_plain = path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && path
            .to_str()
            .is_some_and(|text| !text.contains("//") && !text.ends_with('/') && !text.contains("/./"));
    let is_placed = PLACES.iter().any(|place| path.starts_with(place) && path != Path::new(place));
    let is_shared = SHARED.iter().any(|shared| Path::new(shared).starts_with(path))
        || path.starts_with("/var/lib/crossfade")
        || path.starts_with("/run/crossfade")
        || path.starts_with("/var/run/crossfade")
        || path.starts_with("/var/lib/kubelet");
    if is_plain && is_placed && !is_shared {
        Ok(())
    } else {
        Err(format!(
            "leaves: {} is no place of one CNI; expected something below {}",
            path.display(),
            PLACES.join(", ")
        ))
    }
}

fn require_known(list: &str, words: &[String], allowed: &[&str]) -> Result<(), String> {
    match words.iter().find(|word| !allowed.contains(&word.as_str())) {
        Some(word) => Err(format!("{list}: {word} is none of {}", allowed.join(", "))),
        None if words.is_empty() => Err(format!("{list}: expected one of {}", allowed.join(", "))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        let leaves: Leaves = serde_json::from_str(json).expect(json);
        check(&leaves).expect_err(json)
    }

    #[test]
    fn what_is_everybody_s_is_refused_in_every_list() {
        for (json, word) in [
            (r#"{"links":[{"name":"eth{digits}","kind":"veth"}]}"#, "leaves.links"),
            (r#"{"links":[{"name":"veth{hex:8}","kind":"veth"}]}"#, "leaves.links"),
            (r#"{"links":[{"name":"kube-ipvs0","kind":"dummy"}]}"#, "leaves.links"),
            (r#"{"routes":[{"protocol":3}]}"#, "leaves.routes"),
            (r#"{"routes":[{"table":254}]}"#, "leaves.routes"),
            (r#"{"routes":[{"protocol":2,"table":254}]}"#, "leaves.routes"),
            (r#"{"routes":[{"table":100}]}"#, "leaves.routes"),
            (r#"{"rules":[{"priority":0,"tables":[255,255]}]}"#, "leaves.rules"),
            (r#"{"rules":[{"priority":32766,"tables":[254,254]}]}"#, "leaves.rules"),
            (r#"{"chains":[{"name":"KUBE-{any}","tables":["nat"],"jumps":["OUTPUT"]}]}"#, "leaves.chains"),
            (r#"{"chains":[{"name":"CNI-{any}","tables":["nat"],"jumps":["OUTPUT"]}]}"#, "leaves.chains"),
            (r#"{"chains":[{"name":"FOR{any}","tables":["nat"],"jumps":["OUTPUT"]}]}"#, "leaves.chains"),
            (r#"{"chains":[{"name":"cali-{any}","tables":["net"],"jumps":["OUTPUT"]}]}"#, "leaves.chains"),
            (r#"{"chains":[{"name":"cali-{any}","tables":["nat"],"jumps":["MINE"]}]}"#, "leaves.chains"),
            (
                r#"{"comments":[{"comment":"cali:{any}","tables":["nat"],"chains":["KUBE-SERVICES"]}]}"#,
                "leaves.comments",
            ),
            (r#"{"nftTables":[{"family":"ip","name":"nat"}]}"#, "leaves.nftTables"),
            (r#"{"nftTables":[{"family":"ip","name":"kube-proxy"}]}"#, "leaves.nftTables"),
            (r#"{"nftTables":[{"family":"ipx","name":"calico"}]}"#, "leaves.nftTables"),
            (r#"{"pins":["/sys/fs/bpf/tc"]}"#, "leaves.pins"),
            (r#"{"pins":["/sys/fs/bpf/{any}"]}"#, "leaves.pins"),
            (r#"{"pins":["/sys/fs/bpf/../cilium"]}"#, "leaves.pins"),
            (r#"{"pins":["/sys/fs/cgroup/cilium"]}"#, "leaves.pins"),
            (r#"{"directories":["/var/lib"]}"#, "/var/lib is no place"),
            (r#"{"directories":["/var/lib/cni"]}"#, "no place"),
            (r#"{"directories":["/var/lib/cni/networks"]}"#, "no place"),
            (r#"{"directories":["/var/lib/crossfade/attachments"]}"#, "no place"),
            (r#"{"directories":["/etc/kubernetes"]}"#, "no place"),
            (r#"{"directories":["/var/lib/x/../cni"]}"#, "no place"),
            (r#"{"directories":["/var/lib/calico/"]}"#, "no place"),
            (r#"{"files":["var/lib/calico"]}"#, "no place"),
            (r#"{"programs":["portmap"]}"#, "leaves.programs"),
            (r#"{"programs":["../sbin/init"]}"#, "leaves.programs"),
            (r#"{"networks":["../kubelet"]}"#, "leaves.networks"),
        ] {
            let why = refused(json);
            assert!(why.contains(word), "{json}: {why}");
        }
    }

    #[test]
    fn what_is_one_cni_s_is_allowed() {
        for json in [
            "{}",
            r#"{"links":[{"name":"cali{hex:11}","kind":"veth","role":"pod"}]}"#,
            r#"{"routes":[{"protocol":80},{"protocol":12,"within":true},{"protocol":2,"table":2004}]}"#,
            r#"{"directories":["/var/lib/calico","/var/lib/cni/flannel","/var/run/calico"],"mounts":["/run/calico/cgroup"]}"#,
            r#"{"pins":["/sys/fs/bpf/tc/globals/cali_{any}","/sys/fs/bpf/cilium"]}"#,
        ] {
            let leaves: Leaves = serde_json::from_str(json).expect(json);
            check(&leaves).expect(json);
        }
    }
}
