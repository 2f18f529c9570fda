//! Things the kernel must be able to do, each tried for real in namespaces of its own.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::build::packages;
use crate::host::command::run;

/// Something a lab asks of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// Mount, net and pid namespaces.
    Namespaces,
    /// Overlayfs with a tmpfs as its upper layer.
    Overlayfs,
    /// Virtual ethernet pairs.
    Veth,
    Bridge,
    /// VXLAN devices.
    Vxlan,
    /// What portmap and the lab ask of iptables: filter, nat, comments, marks.
    Firewall,
    /// A cgroup hierarchy, of version 1 or 2, that may be written.
    Cgroups,
}

impl Ability {
    /// What the kernel's configuration calls it.
    pub fn option(self) -> &'static str {
        match self {
            Ability::Namespaces => "NAMESPACES, NET_NS, PID_NS",
            Ability::Overlayfs => "OVERLAY_FS, TMPFS, TMPFS_XATTR",
            Ability::Veth => "VETH",
            Ability::Bridge => "BRIDGE",
            Ability::Vxlan => "VXLAN",
            Ability::Firewall => "NF_TABLES, NFT_COMPAT, NF_NAT, NETFILTER_XT_MATCH_COMMENT",
            Ability::Cgroups => "CGROUPS",
        }
    }

    /// Tries it: what was seen to work, or none when only root could tell.
    pub(super) fn check(self) -> Result<Option<String>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        match self {
            Ability::Namespaces => apart(&["true"]),
            Ability::Overlayfs => apart(&["sh", "-c", OVERLAY]),
            Ability::Veth => link(&["type", "veth", "peer", "name", "lab1"]),
            Ability::Bridge => link(&["type", "bridge"]),
            Ability::Vxlan => link(&["type", "vxlan", "id", "1", "dstport", "8472"]),
            Ability::Firewall => firewall(),
            Ability::Cgroups => cgroups(),
        }?;
        Ok(Some("tried".to_owned()))
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Ability::Namespaces => "mount, net and pid namespaces",
            Ability::Overlayfs => "overlayfs on tmpfs",
            Ability::Veth => "veth",
            Ability::Bridge => "bridge",
            Ability::Vxlan => "vxlan",
            Ability::Firewall => "iptables through nftables",
            Ability::Cgroups => "writable cgroups",
        })
    }
}

const OVERLAY: &str = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/a /mnt/b /mnt/c && \
                       mount -t overlay -o metacopy=on,lowerdir=/usr,upperdir=/mnt/a,workdir=/mnt/b overlay /mnt/c";

/// Runs a command in namespaces that end with it.
fn apart(line: &[&str]) -> Result<()> {
    run(unshare().args(line)).map(drop)
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--"]);
    command
}

fn link(description: &[&str]) -> Result<()> {
    let ip = packages::part("ip")?;
    let mut command = unshare();
    with_environment_of(&ip, &mut command);
    run(command.arg(&ip).args(["link", "add", "lab0"]).args(description)).map(drop)
}

fn firewall() -> Result<()> {
    let iptables = packages::part("iptables")?;
    for rule in [
        ["-t", "filter", "-A", "FORWARD", "-m", "comment", "--comment", "lab", "-j", "DROP"].as_slice(),
        &["-t", "nat", "-A", "POSTROUTING", "-m", "mark", "--mark", "0x2000/0x2000", "-j", "MASQUERADE"],
        &[
            "-t",
            "nat",
            "-A",
            "PREROUTING",
            "-p",
            "tcp",
            "--dport",
            "80",
            "-j",
            "DNAT",
            "--to-destination",
            "192.0.2.1:8",
        ],
    ] {
        let mut command = unshare();
        with_environment_of(&iptables, &mut command);
        run(command.arg(&iptables).arg("-w").args(rule))?;
    }
    Ok(())
}

fn cgroups() -> Result<()> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    let is_writable = |line: &&str| {
        let Some((mount, rest)) = line.split_once(" - ") else {
            return false;
        };
        let options = mount.split(' ').nth(5).unwrap_or_default();
        rest.starts_with("cgroup") && options.split(',').any(|option| option == "rw")
    };
    ensure!(table.lines().any(|line| is_writable(&line)), "no cgroup file system is mounted for writing");
    Ok(())
}

fn with_environment_of(part: &std::path::Path, command: &mut Command) {
    for (name, value) in packages::command(part).get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
}
