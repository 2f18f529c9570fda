//! Leftovers of CNIs, as the CNIs make them, and objects that are nearly theirs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use serde_json::json;

use crate::node::{Node, put};

/// Rules of kube-proxy, Docker and people, in every table, with names and comments that are nearly a CNI's. Each back end gets them.
const OTHERS: &str = "
-t raw -N MINE
-t raw -A PREROUTING -s 198.51.100.0/24 -m comment --comment 'cali: keep this' -j MINE
-t mangle -A POSTROUTING -o eth0 -m comment --comment 'AWS, primary ENI ' -j MARK --set-mark 0x1
-t mangle -A OUTPUT -m comment --comment 'see cali:S93hcgKJrXEqnTfs' -j RETURN
-t nat -N KUBE-SERVICES
-t nat -N KUBE-POSTROUTING
-t nat -N FLANNEL-POSTRTG-OLD
-t nat -N CNI-HOSTPORT-DNAT
-t nat -N CNI-DN-0123456789abcdef01234
-t nat -A PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES
-t nat -A POSTROUTING -m comment --comment 'kubernetes postrouting rules' -j KUBE-POSTROUTING
-t nat -A POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG-OLD
-t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-t nat -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment 'dnat name: \"cbr0\" id: \"lives\"' -m multiport --dports 8080 -j CNI-DN-0123456789abcdef01234
-t nat -A CNI-DN-0123456789abcdef01234 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.244.1.9:80
-t filter -N KUBE-FORWARD
-t filter -N caliente-FORWARD
-t filter -N my-cali-FORWARD
-t filter -N CALICO-FORWARD
-t filter -N XCILIUM_FORWARD
-t filter -A FORWARD -m comment --comment 'kubernetes forwarding rules' -j KUBE-FORWARD
-t filter -A FORWARD -s 203.0.113.7/32 -m comment --comment 'cali-FORWARD is not this' -j caliente-FORWARD
-t filter -A INPUT -p tcp -m tcp --dport 22 -m comment --comment 'flannel.1' -j ACCEPT
-t filter -A my-cali-FORWARD -m comment --comment 'cali:wUHhoiAYhphO9Mso' -j RETURN
";

/// The programs of both back ends for IPv4.
const BACK_ENDS: [&str; 2] = ["iptables-nft", "iptables-legacy"];

fn in_each(node: &Node, programs: &[&str], rules: &str) -> Result<()> {
    for program in programs {
        for rule in rules.lines().filter(|rule| !rule.trim().is_empty()) {
            node.run(&format!("{program} -w {rule}"))?;
        }
    }
    Ok(())
}

/// A node with everything that is others'.
pub(crate) fn others() -> Result<Node> {
    let node = Node::new()?;
    in_each(&node, &BACK_ENDS, OTHERS)?;
    for program in ["ip6tables-nft", "ip6tables-legacy"] {
        for table in ["raw", "mangle", "nat", "filter"] {
            node.run(&format!("{program} -w -t {table} -A OUTPUT -m comment --comment 'of mine' -j RETURN"))?;
        }
    }
    node.script(
        "
        nft add table ip calico-mine
        nft add table inet flannel-ipv4
        nft add chain ip calico-mine c
        nft add rule ip calico-mine c ip saddr 203.0.113.0/24 drop
        ipset create mine hash:net
        ipset create cali50 hash:net
        ipset create cilium_node_set_v5 hash:ip
        ip link add flannel-mine type bridge
        ip link add caliente0 type veth peer name caliente1
        ip link add lxc-mine type bridge
        ip link add cali type bridge
        ip link set caliente0 up
        ip route add 203.0.113.0/24 via 192.0.2.1 proto 12
        ip route add 198.51.100.0/24 dev eth0 proto boot
        ip rule add fwmark 0x200/0xff lookup 2004 pref 9
        ",
    )?;
    Ok(node)
}

/// What flanneld and the flannel plugin make. *Source*: flannel-io/flannel: pkg/trafficmngr, pkg/backend/vxlan; flannel-io/cni-plugin.
pub(crate) fn flannel(node: &Node) -> Result<()> {
    in_each(
        node,
        &BACK_ENDS,
        "
-t nat -N FLANNEL-POSTRTG
-t nat -A POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG
-t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment 'flanneld masq' -j RETURN
-t nat -A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16 -m comment --comment 'flanneld masq' -j RETURN
-t nat -A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment 'flanneld masq' -j MASQUERADE --random-fully
-t filter -N FLANNEL-FWD
-t filter -A FORWARD -m comment --comment 'flanneld forward' -j FLANNEL-FWD
-t filter -A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment 'flanneld forward' -j ACCEPT
-t filter -A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment 'flanneld forward' -j ACCEPT",
    )?;
    in_each(
        node,
        &["ip6tables-nft"],
        "
-t nat -N FLANNEL-POSTRTG
-t nat -A POSTROUTING -m comment --comment 'flanneld masq' -j FLANNEL-POSTRTG",
    )?;
    node.script(
        "
        nft add table ip flannel-ipv4
        nft add chain ip flannel-ipv4 postrtg '{ type nat hook postrouting priority 100 ; }'
        nft add rule ip flannel-ipv4 postrtg ip saddr 10.244.0.0/16 masquerade
        ip link add flannel.1 type vxlan id 1 dstport 8472 local 192.0.2.10 nolearning
        ip address add 10.244.1.0/32 dev flannel.1
        ip link set flannel.1 up
        ip route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
        ip link add cni0 type bridge
        ip address add 10.244.1.1/24 dev cni0
        ip link set cni0 up
        ",
    )?;
    put("/run/flannel/subnet.env", "FLANNEL_NETWORK=10.244.0.0/16\n")?;
    put("/var/lib/cni/flannel/c1", "{}")?;
    put("/var/lib/cni/networks/cbr0/10.244.1.9", "c1\r\neth0")?;
    put("/var/lib/cni/networks/mine/10.9.0.1", "c2\r\neth0")?;
    let conf = json!({"cniVersion": "0.3.1", "name": "cbr0", "plugins": [
        {"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}},
        {"type": "portmap", "capabilities": {"portMappings": true}}]});
    put(node.dir.join("net.d/10-flannel.conflist"), &conf.to_string())?;
    new_cni(node)?;
    put(node.dir.join("bin/flannel"), "#!/bin/sh\n")?;
    put(node.dir.join("bin/portmap"), "#!/bin/sh\n")
}

/// What felix and the calico plugin make. *Source*: projectcalico/calico: felix/rules, felix/ipsets, felix/dataplane/linux.
pub(crate) fn calico(node: &Node) -> Result<()> {
    node.script(
        "
        ipset create cali40all-ipam-pools hash:net
        ipset add cali40all-ipam-pools 192.168.0.0/16
        ipset create cali40masq-ipam-pools hash:net
        ipset create cali60all-ipam-pools hash:net family inet6
        ",
    )?;
    in_each(
        node,
        &BACK_ENDS,
        "
-t raw -N cali-PREROUTING
-t raw -I PREROUTING -m comment --comment 'cali:6gwbT8clXdHdC1b1' -j cali-PREROUTING
-t raw -A cali-PREROUTING -m comment --comment 'cali:XFX5xbM8B9qR10JG' -j MARK --set-xmark 0x0/0xf0000
-t mangle -N cali-POSTROUTING
-t mangle -I POSTROUTING -m comment --comment 'cali:O3lYWMrLQYEMJtB5' -j cali-POSTROUTING
-t nat -N cali-nat-outgoing
-t nat -N cali-POSTROUTING
-t nat -I POSTROUTING -m comment --comment 'cali:O3lYWMrLQYEMJtB5' -j cali-POSTROUTING
-t nat -A cali-POSTROUTING -m comment --comment 'cali:Z-c7XtVd2Bq7s_hA' -j cali-nat-outgoing
-t nat -A cali-nat-outgoing -m comment --comment 'cali:flqWnvo8yq4ULQLa' -m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE --random-fully
-t filter -N cali-FORWARD
-t filter -N cali-from-wl-dispatch
-t filter -N cali-fw-cali0123456789a
-t filter -I FORWARD -m comment --comment 'cali:wUHhoiAYhphO9Mso' -j cali-FORWARD
-t filter -A FORWARD -m comment --comment 'cali:S93hcgKJrXEqnTfs' -m comment --comment 'Policy explicitly accepted packet.' -m mark --mark 0x10000/0x10000 -j ACCEPT
-t filter -A FORWARD -m comment --comment 'cali:mp77cMpurHhyjLrM' -j MARK --set-xmark 0x10000/0x10000
-t filter -A cali-FORWARD -i cali+ -m comment --comment 'cali:8ZoYfO5HKXWbB3pk' -j cali-from-wl-dispatch
-t filter -A cali-from-wl-dispatch -i cali0123456789a -m comment --comment 'cali:G4D1kmZ3pZhmkNLU' -g cali-fw-cali0123456789a
-t filter -A cali-from-wl-dispatch -m comment --comment 'cali:zTj6P0TIgYvgz-md' -m comment --comment 'Unknown interface' -j DROP",
    )?;
    node.script(
        "
        nft add table ip calico
        nft add table arp calico-arp
        ip link add vxlan.calico type vxlan id 4096 dstport 4789 local 192.0.2.10 nolearning
        ip link set vxlan.calico up
        ip link add cali0123456789a type veth peer name cali-left0
        ip link add tunl0 type bridge
        ip address add 192.168.7.0/32 dev tunl0
        ip link set tunl0 up
        ip route add 192.168.9.0/26 via 192.0.2.2 proto 80
        ip route add blackhole 192.168.7.0/26 proto 80
        ip route add blackhole 192.168.8.0/26 proto 12
        ",
    )?;
    put("/var/lib/calico/nodename", "n1")?;
    put("/run/calico/bird.ctl.old", "")?;
    put("/etc/cni/net.d/calico-kubeconfig", "secret")?;
    let conf = json!({"cniVersion": "0.3.1", "name": "k8s-pod-network", "plugins": [{"type": "calico"}, {"type": "portmap"}]});
    put(node.dir.join("net.d/10-calico.conflist"), &conf.to_string())?;
    new_cni(node)?;
    put(node.dir.join("bin/calico"), "#!/bin/sh\n")?;
    put(node.dir.join("bin/host-local"), "#!/bin/sh\n")
}

/// What the Cilium agent makes. *Source*: cilium/cilium: pkg/datapath/iptables, pkg/datapath/loader, pkg/proxy/routes.go.
pub(crate) fn cilium(node: &Node) -> Result<()> {
    in_each(
        node,
        &["iptables-nft"],
        "
-t filter -N CILIUM_FORWARD
-t filter -I FORWARD -m comment --comment 'cilium-feeder: CILIUM_FORWARD' -j CILIUM_FORWARD
-t filter -A CILIUM_FORWARD -o cilium_host -m comment --comment 'cilium: any->cluster on cilium_host forward accept' -j ACCEPT",
    )?;
    node.script(
        "
        ipset create cilium_node_set_v4 hash:ip
        ip link add cilium_host type veth peer name cilium_net
        ip address add 10.0.1.1/32 dev cilium_host
        ip link set cilium_host up
        ip link set cilium_net up
        ip route add 10.0.0.0/16 dev cilium_host proto kernel
        ip route add local default dev lo table 2004 proto kernel
        ip rule add fwmark 0x200/0xf00 lookup 2004 pref 9 proto kernel
        ip rule add from all lookup local pref 100 proto kernel
        ip rule delete from all lookup local pref 0
        ip -6 rule add from all lookup local pref 100 proto kernel
        ip -6 rule delete from all lookup local pref 0
        ",
    )?;
    fs::create_dir_all("/run/cilium/cgroupv2")?;
    let none: Option<&str> = None;
    mount(Some("cgroup"), "/run/cilium/cgroupv2", Some("tmpfs"), MsFlags::empty(), none)?;
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), none).context("/sys/fs/bpf")?;
    for dir in ["cilium/socketlb", "tc/globals", "mine", "cilium2"] {
        fs::create_dir_all(Path::new("/sys/fs/bpf").join(dir))?;
    }
    put("/run/cilium/state/1/ep_config.h", "")?;
    put("/var/lib/cilium/bpf/x.h", "")
}

/// The conf of the CNI that has come, which sorts first.
fn new_cni(node: &Node) -> Result<()> {
    let conf = json!({"cniVersion": "0.3.1", "name": "mine", "plugins": [{"type": "ptp"}]});
    put(node.dir.join("net.d/05-mine.conflist"), &conf.to_string())
}
