//! kubelet's command line under systemd, in the shapes in which distributions write it.

use anyhow::{Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture;
use lab::build::preflight::trial;
use libtest_mimic::Trial;

use crate::{NEEDS, private};

/// What Karpenter needs to find on its nodes.
const UNREGISTERED: &str = "karpenter.sh/unregistered=:NoExecute";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_taint_of_kubelet_s_command_line_is_kept", NEEDS, union),
        trial("a_taint_of_the_config_file_is_kept", NEEDS, config_file),
        trial("a_directory_of_configuration_takes_the_taints", NEEDS, config_dir),
        trial("a_variable_that_is_a_word", NEEDS, || shape("$LAB_ARGS")),
        trial("a_variable_in_braces", NEEDS, || shape("${LAB_ARGS}")),
        trial("no_variable_at_all", NEEDS, || shape("")),
        trial("kubelet_restarts_are_alike", NEEDS, restarts),
        trial("a_late_kubelet_of_nodeadm", NEEDS, late),
        trial("a_runtime_whose_configuration_is_rewritten_at_boot", NEEDS, rewritten),
    ]
}

fn registered(machine: &mut Machine) -> Result<Vec<String>> {
    machine.boot()?;
    machine.until("a registered Node", |machine| Ok(machine.node()?.is_some()))?;
    let node = machine.node()?.map(|(node, _)| node).unwrap_or_default();
    ensure!(node.labels.get(furniture::LABEL.0).map(String::as_str) == Some(furniture::LABEL.1), "{node:?}");
    Ok(node.taints)
}

fn ensure_union(taints: &[String], expected: [&str; 2]) -> Result<()> {
    let mut taints = taints.to_vec();
    taints.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    ensure!(taints == expected, "{taints:?}, expected {expected:?}");
    Ok(())
}

fn union() -> Result<()> {
    let mut machine = private()?;
    machine.write(
        "/etc/default/kubelet",
        "KUBELET_EXTRA_ARGS=\"--node-labels=a=b --register-with-taints=karpenter.sh/unregistered:NoExecute\"\n",
    )?;
    let taints = registered(&mut machine)?;
    ensure_union(&taints, [UNREGISTERED, furniture::TAINT])?;
    let node = machine.node()?.map(|(node, _)| node).unwrap_or_default();
    ensure!(node.labels.get("a").map(String::as_str) == Some("b"), "{node:?}");
    let starts = machine.kubelet_starts()?;
    let last = starts.last().and_then(|words| words.last()).cloned().unwrap_or_default();
    ensure!(last.starts_with("--register-with-taints="), "ours are not the last words: {starts:?}");
    Ok(())
}

fn config_file() -> Result<()> {
    let mut machine = private()?;
    let config = furniture::kubelet_config(&["karpenter.sh/unregistered:NoExecute"]);
    machine.write("/var/lib/kubelet/config.yaml", config.to_string())?;
    let taints = registered(&mut machine)?;
    ensure_union(&taints, [UNREGISTERED, furniture::TAINT])
}

/// From 1.36 on kubelet warns of `--register-with-taints`, so it is not used where the taints can go into a file.
fn config_dir() -> Result<()> {
    let mut machine = private()?;
    let config = furniture::kubelet_config(&["karpenter.sh/unregistered:NoExecute"]);
    machine.write("/etc/kubernetes/kubelet.conf.d/zzz.conf", config.to_string())?;
    machine
        .write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=--config-dir=/etc/kubernetes/kubelet.conf.d\n")?;
    let taints = registered(&mut machine)?;
    ensure_union(&taints, [UNREGISTERED, furniture::TAINT])?;
    let starts = machine.kubelet_starts()?;
    ensure!(!starts.concat().iter().any(|word| word.contains("register-with-taints")), "{starts:?}");
    let drop_ins = machine.list("/etc/kubernetes/kubelet.conf.d")?;
    ensure!(drop_ins == ["zzz.conf"], "something of ours would outlive us: {drop_ins:?}");
    Ok(())
}

/// A unit of its own making, with a variable that is expanded in this way or with none.
fn shape(variable: &str) -> Result<()> {
    let mut machine = private()?;
    machine.write(
        "/etc/systemd/system/kubelet.service",
        format!(
            "[Service]\nEnvironment=LAB_ARGS=--register-with-taints=karpenter.sh/unregistered:NoExecute\n\
             ExecStart=/usr/bin/kubelet {variable}\n"
        ),
    )?;
    machine.write("/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "")?;
    let taints = registered(&mut machine)?;
    if variable.is_empty() {
        ensure!(taints == [furniture::TAINT], "{taints:?}");
        return Ok(());
    }
    ensure_union(&taints, [UNREGISTERED, furniture::TAINT])
}

fn restarts() -> Result<()> {
    let mut machine = private()?;
    registered(&mut machine)?;
    for round in 2..=3 {
        machine.run(&["systemctl", "restart", "kubelet"])?;
        machine.until("another start", |machine| Ok(machine.kubelet_starts()?.len() == round))?;
    }
    let starts = machine.kubelet_starts()?;
    ensure!(starts.iter().all(|start| *start == starts[0]), "{starts:?}");
    Ok(())
}

/// EKS: the unit exists, its environment file does not; nodeadm writes the file late in the boot, reloads systemd, starts kubelet and waits for it.
fn late() -> Result<()> {
    let mut machine = private()?;
    std::fs::remove_file(machine.disk("/etc/systemd/system/multi-user.target.wants/kubelet.service"))?;
    machine.write(
        "/etc/systemd/system/kubelet.service",
        "[Unit]\nAfter=containerd.service\nWants=containerd.service\n[Service]\nSlice=runtime.slice\n\
         EnvironmentFile=/etc/eks/kubelet/environment\nExecStart=/usr/bin/kubelet $NODEADM_KUBELET_ARGS\n\
         Restart=on-failure\nRestartForceExitStatus=SIGPIPE\nRestartSec=5\nKillMode=process\n",
    )?;
    machine.write("/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "")?;
    machine.script(
        "/usr/lib/lab/nodeadm",
        "#!/bin/sh -e\nmkdir -p /etc/eks/kubelet\n\
         echo 'NODEADM_KUBELET_ARGS=\"--node-labels=a=b --register-with-taints=karpenter.sh/unregistered:NoExecute\"' \
         >/etc/eks/kubelet/environment\n\
         systemctl daemon-reload\nsystemctl start kubelet\nsystemctl is-active kubelet\n",
    )?;
    machine.unit(
        "nodeadm-run.service",
        "[Unit]\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart=/usr/lib/lab/nodeadm\nTimeoutStartSec=20\n",
    )?;
    let taints = registered(&mut machine)?;
    ensure_union(&taints, [UNREGISTERED, furniture::TAINT])?;
    machine.until("the end of nodeadm", |machine| {
        Ok(machine.show("nodeadm-run.service", "ExecMainExitTimestampMonotonic") != "0")
    })?;
    ensure!(machine.show("nodeadm-run.service", "Result") == "success", "{}", machine.journal()?.tail());
    Ok(())
}

/// EKS again: the runtime's configuration of this boot is written by nodeadm; ours is a copy of that one.
fn rewritten() -> Result<()> {
    let mut machine = private()?;
    machine.script(
        "/usr/lib/lab/nodeadm-config",
        "#!/bin/sh -e\nsed -i 's/restrict_oom_score_adj = true/&\\n  max_concurrent_downloads = 17/' /etc/containerd/config.toml\n",
    )?;
    machine.unit(
        "nodeadm-config.service",
        "[Unit]\nBefore=containerd.service\n[Service]\nType=oneshot\nExecStart=/usr/lib/lab/nodeadm-config\n",
    )?;
    machine.boot()?;
    machine.until("the runtime", |machine| Ok(machine.network_ready()?.is_some()))?;
    let words = machine.command_line("containerd.service")?;
    ensure!(words.len() == 3 && words[1] == "--config", "{words:?}");
    let config = machine.look(&words[2])?.unwrap_or_default();
    ensure!(config.contains("max_concurrent_downloads = 17"), "{config}");
    ensure!(config.contains("/run/crossfade/net.d"), "{config}");
    Ok(())
}
