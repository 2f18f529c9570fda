//! The parts of a machine beside Crossfade: containerd as the distribution ships it, a kubelet as kubeadm sets it up, the agents of two
//! networks; and what a test adds to look at it.
//!
//! Apart from [`crate::scene`], for a machine has a disk, a systemd and boots of its own, and starts its runtime itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Kit;
use super::machine::Machine;
pub use crate::host::fabric::Network;
use crate::runtime::containerd::Release;
use crate::standin::agent::{Answer, Conf, Spec, UnixHealth, Way};
use crate::{
    build::{image, packages},
    host::command,
};

/// Where agents put their confs.
pub const AGENTS_DIR: &str = "/etc/cni/net.d";
/// Where agents have their sockets, and their gates.
pub const AGENTS_RUN: &str = "/run/lab-agents";
/// The pods that the stand-in kubelet is to run, one name a line.
pub const PODS: &str = "/etc/lab/pods";
/// The label of [`node_json`].
pub const LABEL: (&str, &str) = ("lab.example/pool", "blue");
/// The taint of [`node_json`], as kubelet says it.
pub const TAINT: &str = "node.cilium.io/agent-not-ready=true:NoExecute";
/// kubelet's configuration, which joining writes.
pub const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
/// Standard plugins that the networks and containerd use.
pub(crate) const PLUGINS: [&str; 3] = ["bridge", "host-local", "loopback"];

/// Units of the distribution that a node's boot does not need here; without them it is half as long.
const MASKED: [&str; 12] = [
    "dbus.service",
    "dbus.socket",
    "dev-hugepages.mount",
    "getty.target",
    "remote-fs.target",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-logind.service",
    "systemd-network-generator.service",
    "systemd-sysctl.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
];

/// On a machine, each has an agent, real plugins and a subnet of its own.
impl Network {
    /// What every address of it begins with: 10.244.0.0/24 and 10.245.0.0/24.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Old => "10.244.0.",
            Self::New => "10.245.0.",
        }
    }

    /// The network of an address.
    pub fn by_address(address: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|network| address.starts_with(network.prefix()))
    }

    /// The conf that its agent writes.
    pub fn conf(self) -> PathBuf {
        Path::new(AGENTS_DIR).join(format!("10-{}.conflist", self.name()))
    }

    /// The unit of its agent.
    pub fn unit(self) -> String {
        format!("agent-{}.service", self.name())
    }

    /// The file that its agent waits for.
    pub fn gate(self) -> PathBuf {
        Path::new(AGENTS_RUN).join(format!("{}.gate", self.name()))
    }

    fn socket(self) -> PathBuf {
        Path::new(AGENTS_RUN).join(format!("{}.sock", self.name()))
    }

    /// Its conflist: a bridge of its own.
    pub fn conflist(self) -> Value {
        let name = self.name();
        json!({ "cniVersion": "1.0.0", "name": name, "plugins": [{
            "type": "bridge", "bridge": format!("cni-{name}"), "isGateway": true, "isDefaultGateway": true,
            "ipam": { "type": "host-local", "ranges": [[{ "subnet": format!("{}0/24", self.prefix()) }]] },
        }]})
    }

    fn spec(self) -> Spec {
        Spec {
            name: self.name().to_owned(),
            gate: Some(self.gate()),
            unix: Some(UnixHealth { path: self.socket(), answer: Answer::Ready }),
            conf: Some(Conf { path: self.conf(), content: self.conflist().to_string(), way: Way::Rename }),
            ..Spec::default()
        }
    }
}

/// A policy of both networks, in which a network is ready while its agent's socket answers.
pub fn policy(attach: &str, primary: &str) -> Value {
    let network = |network: Network| {
        json!({ "conf": [network.conf()], "cidrs": [format!("{}0/24", network.prefix())],
                "ready": [{ "unix": network.socket() }], "secondary": "works" })
    };
    json!({ "version": 1, "attach": attach, "both": { "primary": primary },
            "networks": { "old": network(Network::Old), "new": network(Network::New) } })
}

/// node.json with a label and a taint, a gate that is quick to say no, and no API server to report to; `more` is laid over it.
pub fn node_json(conf_dir: &str, more: Value) -> Value {
    let mut node = json!({
        "version": 1, "confDir": conf_dir, "labels": { LABEL.0: LABEL.1 }, "gate": { "trySeconds": 1 },
        "taints": [{ "key": "node.cilium.io/agent-not-ready", "value": "true", "effect": "NoExecute" }],
        "report": { "node": false }, "proof": "probe",
    });
    if let (Some(node), Value::Object(more)) = (node.as_object_mut(), more) {
        node.extend(more);
    }
    node
}

/// Writes the two settings files of a machine.
///
/// # Errors
/// What the file system says.
pub fn settings(machine: &Machine, node: &Value, policy: &Value) -> Result<()> {
    machine.write("/etc/crossfade/node.json", node.to_string())?;
    machine.write("/etc/crossfade/policy.json", policy.to_string())
}

/// The agent of a network as a unit, with this many seconds before it does anything; it then waits for its gate, unless `open`.
///
/// # Errors
/// What the file system says.
pub fn agent(machine: &Machine, network: Network, delay: f32, open: bool) -> Result<()> {
    let mut spec = network.spec();
    if open {
        spec.gate = None;
    }
    let file = format!("/etc/lab/agents/{}.json", network.name());
    machine.write(&file, format!("{}\n", serde_json::to_string(&spec).context("a spec")?))?;
    // Its stdin stays open: an agent ends with its stdin.
    let unit = format!(
        "[Unit]\nDescription=Agent of the {name} network (stand-in)\n[Service]\n\
         ExecStartPre=mkdir -p {AGENTS_RUN} {AGENTS_DIR}\nExecStartPre=sleep {delay}\n\
         ExecStart=sh -c '(cat {file}; exec sleep infinity) | exec lab-agent'\n",
        name = network.name()
    );
    machine.unit(&network.unit(), &unit)
}

/// A machine whose systemd takes up its system extensions, reads their units, and starts runtime and kubelet anew with them.
///
/// # Errors
/// What the file system says.
pub fn take_up_extensions(machine: &Machine) -> Result<()> {
    machine.enable("systemd-sysext.service")?;
    machine.unit(
        "ensure-extension.service",
        "[Unit]\nAfter=systemd-sysext.service\nBefore=kubelet.service containerd.service\n[Service]\nType=oneshot\n\
         ExecStart=systemctl daemon-reload\nExecStart=systemctl restart --no-block containerd kubelet\n",
    )
}

/// Holds when runtime and kubelet were started as their own units say, without a word of ours.
///
/// # Errors
/// They were started otherwise.
pub fn ensure_own_commands(machine: &Machine) -> Result<()> {
    ensure!(machine.command_line("containerd.service")? == ["/usr/bin/containerd"]);
    let starts = machine.kubelet_starts()?;
    let expected = [
        "/usr/bin/kubelet",
        "--kubeconfig=/etc/kubernetes/kubelet.conf",
        "--config=/var/lib/kubelet/config.yaml",
    ];
    ensure!(starts.last().is_some_and(|words| words == &expected), "{starts:?}");
    Ok(())
}

/// The first systemd that takes the mounts over files of `/proc` along into the `/proc` of a unit, and fails over one more of ours there.
/// *Source*: systemd issue 28059, whose fix is in 255.
const CARRIES_MOUNTS: u32 = 255;

/// The version of the systemd that machines boot, as its `systemctl` tells: `systemd 252 (252.38-1~deb12u1)`.
///
/// # Errors
/// There is none, or it does not say.
pub fn systemd() -> Result<u32> {
    static VERSION: OnceLock<u32> = OnceLock::new();
    if let Some(version) = VERSION.get() {
        return Ok(*version);
    }
    let output = packages::command(&packages::part("systemctl")?).arg("--version").output();
    let text = String::from_utf8_lossy(&output.context("running systemctl")?.stdout).into_owned();
    let version = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let version = version.with_context(|| format!("systemctl --version: {text:?}"))?;
    Ok(*VERSION.get_or_init(|| version))
}

/// How a test looks at a machine and its boots, whatever it boots from: nothing in it decides where a pod goes.
pub(super) fn observe(machine: &Machine) -> Result<()> {
    fs::create_dir_all(machine.disk("/var/log/journal")).context("the journal's directory")?;
    let journald = "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nReadKMsg=no\nAudit=no\n";
    machine.write("/etc/systemd/journald.conf.d/lab.conf", journald)?;
    machine.write("/etc/systemd/system.conf.d/lab.conf", "[Manager]\nDefaultTimeoutStopSec=10s\n")?;
    // What waits for seconds on a node waits for less here.
    for unit in ["crossfade-boot", "crossfade-watch", "kubelet", "containerd"] {
        machine.write(
            format!("/etc/systemd/system/{unit}.service.d/90-lab.conf"),
            "[Service]\nRestartSec=100ms\n",
        )?;
    }
    // The boot's id and the kernel's command line are mounts over the real ones, which a /proc of a unit's own lacks.
    if systemd()? < CARRIES_MOUNTS {
        for unit in ["crossfade-boot", "crossfade-watch", "crossfade-retract"] {
            machine.write(
                format!("/etc/systemd/system/{unit}.service.d/91-lab.conf"),
                "[Service]\nBindReadOnlyPaths=/run/lab-boot-id:/proc/sys/kernel/random/boot_id\n\
                 BindReadOnlyPaths=-/etc/lab/cmdline:/proc/cmdline\n",
            )?;
        }
    }
    // The right to a better OOM score is one that machines in machines often lack.
    machine.write("/etc/systemd/system/containerd.service.d/80-lab.conf", "[Service]\nOOMScoreAdjust=0\n")
}

/// What a machine without an image has before a test adds to it.
pub(super) fn furnish(machine: &Machine) -> Result<()> {
    machine.write("/etc/machine-id", "11111111111111111111111111111111\n")?;
    machine.write("/etc/hostname", "node-1\n")?;
    machine.write("/etc/hosts", "127.0.0.1 localhost\n")?;
    machine.write("/etc/resolv.conf", "")?;
    for unit in MASKED {
        let link = machine.disk("/etc/systemd/system").join(unit);
        symlink("/dev/null", &link).with_context(|| format!("masking {unit}"))?;
    }
    containerd(machine)?;
    kubelet(machine)
}

/// A runc that passes over a pod's share of the processor, where containerd insists on giving it one: see [`containerd_config`].
const RUNC_WITHOUT_LIMITS: &str = r#"#!/bin/sh
if [ -f config.json ]; then sed -i 's/"cpu":{[^}]*}/"cpu":{}/' config.json; fi
exec runc "$@"
"#;
const RUNC_OPTIONS: &str = r#"  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
"#;

/// containerd with the distribution's own unit.
fn containerd(machine: &Machine) -> Result<()> {
    let (state, run) = (Path::new("/var/lib/containerd"), Path::new("/run/containerd"));
    let mut config = containerd_config(state, run);
    if !Release::current()?.can_do_without_cgroups() {
        let runc = "/opt/lab/runc-without-limits";
        machine.write(runc, RUNC_WITHOUT_LIMITS)?;
        fs::set_permissions(machine.disk(runc), Permissions::from_mode(0o755)).context(runc)?;
        config += &format!("{RUNC_OPTIONS}    BinaryName = \"{runc}\"\n");
    }
    machine.write("/etc/containerd/config.toml", config)?;
    machine.enable("containerd.service")?;
    let library = machine.disk("/var/lib");
    fs::create_dir_all(&library).context("/var/lib")?;
    let mut copy = Command::new("cp");
    copy.arg("--archive").arg(Kit::shared()?.containerd()).arg(&library);
    command::run(&mut copy)?;
    let plugins = machine.disk("/opt/cni/bin");
    fs::create_dir_all(&plugins).context("/opt/cni/bin")?;
    let mut copy = Command::new("cp");
    for plugin in PLUGINS {
        copy.arg(packages::plugin(plugin)?);
    }
    command::run(copy.arg(&plugins)).map(drop)
}

/// A containerd's configuration: no feature that needs the machine's help, everything else as the distribution has it.
///
/// Without limits for pods: their controllers are not where a machine could use them when the one underneath is of cgroup version 1.
pub(crate) fn containerd_config(root: &Path, state: &Path) -> String {
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_apparmor = true
  disable_tcp_service = true
  restrict_oom_score_adj = true
  disable_cgroup = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
"#,
        root = root.display(),
        state = state.display(),
        image = image::PAUSE
    )
}

/// kubelet's unit in the shape that kubeadm's packages give it.
pub(crate) const KUBELET_UNIT: &str = "[Unit]\nDescription=kubelet (stand-in)\nWants=network-online.target\n\
    After=network-online.target\n[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\nStartLimitInterval=0\n\
    RestartSec=10\n[Install]\nWantedBy=multi-user.target\n";

/// Its drop-in, likewise.
pub(crate) const KUBEADM_DROP_IN: &str = "[Service]\n\
    Environment=\"KUBELET_KUBECONFIG_ARGS=--kubeconfig=/etc/kubernetes/kubelet.conf\"\n\
    Environment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\n\
    EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/kubelet\nExecStart=\n\
    ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n";

/// kubelet as a node has it that kubeadm has joined.
fn kubelet(machine: &Machine) -> Result<()> {
    let packaged = Path::new("/usr/lib/systemd/system");
    let units = if machine.has_layer() { packaged } else { Path::new("/etc/systemd/system") };
    machine.write(units.join("kubelet.service"), KUBELET_UNIT)?;
    machine.write(units.join("kubelet.service.d/10-kubeadm.conf"), KUBEADM_DROP_IN)?;
    machine.write(KUBELET_CONFIG, kubelet_config(&[]).to_string())?;
    machine.enable("kubelet.service")
}

/// A KubeletConfiguration with registration taints, as `key=value:Effect`; JSON, which YAML's readers read.
pub fn kubelet_config(taints: &[&str]) -> Value {
    let taints: Vec<Value> = taints
        .iter()
        .map(|taint| {
            let (key, effect) = taint.split_once(':').unwrap_or((taint, ""));
            let (key, value) = key.split_once('=').unwrap_or((key, ""));
            json!({ "key": key, "value": value, "effect": effect })
        })
        .collect();
    let mut config = json!({ "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration" });
    if !taints.is_empty() {
        config["registerWithTaints"] = Value::from(taints);
    }
    config
}
