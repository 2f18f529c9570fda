//! A few bare netns on one bridge.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use lab::host::command::run_line;

/// A bridge with netns on it, all named after `label`; removed on drop.
#[derive(Debug)]
pub(crate) struct Lan {
    label: &'static str,
    pods: u8,
}

impl Lan {
    /// `pods` netns, numbered from 1, with an IPv4 and an IPv6 address each. `label` is unique in this process and short
    /// enough for an interface name.
    pub(crate) fn new(label: &'static str, pods: u8) -> Result<Self> {
        let lan = Self { label, pods };
        run_line(&format!("ip link add {label} type bridge"))?;
        run_line(&format!("ip link set {label} up"))?;
        for pod in 1..=pods {
            let netns = lan.name(pod);
            run_line(&format!("ip netns add {netns}"))?;
            run_line(&format!("ip link add {netns} type veth peer name eth0 netns {netns}"))?;
            run_line(&format!("ip link set {netns} master {label} up"))?;
            lan.ip(pod, "link set lo up")?;
            lan.ip(pod, &format!("address add {}/24 dev eth0", lan.v4(pod)))?;
            lan.ip(pod, &format!("address add {}/64 dev eth0 nodad", lan.v6(pod)))?;
            lan.ip(pod, "link set eth0 up")?;
        }
        Ok(lan)
    }

    /// Name of a pod, of its netns and of its port on the bridge.
    pub(crate) fn name(&self, pod: u8) -> String {
        format!("{}-{pod}", self.label)
    }

    /// Path of a pod's netns.
    pub(crate) fn netns(&self, pod: u8) -> PathBuf {
        PathBuf::from("/run/netns").join(self.name(pod))
    }

    /// A pod's IPv4 address.
    pub(crate) fn v4(&self, pod: u8) -> IpAddr {
        IpAddr::from([10, 9, 0, pod])
    }

    /// A pod's IPv6 address.
    pub(crate) fn v6(&self, pod: u8) -> IpAddr {
        IpAddr::from([0xfd00, 9, 0, 0, 0, 0, 0, u16::from(pod)])
    }

    /// Runs `ip` in a pod.
    pub(crate) fn ip(&self, pod: u8, line: &str) -> Result<()> {
        run_line(&format!("ip -n {} {line}", self.name(pod))).map(drop)
    }

    /// Runs `iptables` in a pod.
    pub(crate) fn iptables(&self, pod: u8, line: &str) -> Result<()> {
        run_line(&format!("ip netns exec {} iptables -w {line}", self.name(pod))).map(drop)
    }

    /// Cuts a pod's cable, or mends it: at once, and without a carrier that comes and goes in its own time.
    pub(crate) fn cable(&self, pod: u8, whole: bool) -> Result<()> {
        // States of a bridge's port: 0 is disabled, 3 is forwarding; see bridge(8).
        let state = if whole { 3 } else { 0 };
        let port = self.name(pod);
        run_line(&format!("bridge link set dev {port} state {state}")).map(drop)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for pod in 1..=self.pods {
            let _may_be_half_made = run_line(&format!("ip netns delete {}", self.name(pod)));
        }
        let _may_be_half_made = run_line(&format!("ip link delete {}", self.label));
    }
}
