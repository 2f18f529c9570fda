//! `selftest` with the real judges: systemd-analyze, systemctl and containerd, in a chroot as image builds have it and on a machine
//! that runs.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::boot::furniture::{self, Network};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::{NEEDS, boot_with_pods, migrating, private, until_up};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        selftest_passes_in_the_chroot_of_an_image_build,
        selftest_finds_each_fault_of_an_image,
        selftest_passes_on_a_node_that_runs_and_sees_what_stopped,
        selftest_passes_on_a_node_whose_kubelet_ran_when_the_package_came,
    ]
}

/// A report of `selftest`.
struct SelftestReport {
    document: Value,
}

impl SelftestReport {
    fn read(mut command: Command) -> Result<Self> {
        let output = command.args(["--output", "json"]).output().context("running selftest")?;
        let output_text = String::from_utf8_lossy(&output.stdout);
        let document: Value = serde_json::from_str(&output_text)
            .with_context(|| format!("{output_text}{}", String::from_utf8_lossy(&output.stderr)))?;
        let status = output.status.code();
        let passed = document["passed"] == json!(true);
        ensure!(status == Some(if passed { 0 } else { 3 }), "{status:?}: {document:#}");
        Ok(Self { document })
    }

    /// `id: found` of the checks with this status.
    fn that_are(&self, status: &str) -> Vec<String> {
        let checks = self.document["checks"].as_array().into_iter().flatten();
        let checks = checks.filter(|check| check["status"] == status);
        let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
        checks.map(|check| format!("{}: {}", text(check, "id"), text(check, "found"))).collect()
    }

    fn ensure_passed(&self, ids: &[&str]) -> Result<()> {
        ensure!(self.that_are("failed").is_empty(), "{:#?}", self.that_are("failed"));
        let ok = self.that_are("ok");
        for id in ids {
            ensure!(
                ok.iter().any(|line| line.starts_with(&format!("{id}: "))),
                "{id} is not ok: {:#}",
                self.document
            );
        }
        Ok(())
    }
}

/// What only the real programs can tell.
const BY_JUDGES: [&str; 5] =
    ["program.static", "program.version", "unit.enabled", "unit.verify", "runtime.config"];

/// `crossfade-bootstrap image selftest --image` in the root of a machine that has not been booted.
fn in_chroot(machine: &Machine, with_proc: bool) -> Result<SelftestReport> {
    let mount = if with_proc { r#"mount -t proc proc "$1/proc""# } else { ":" };
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-ec"]);
    unshare
        .arg(format!(r#"{mount}; root=$1; shift; exec chroot "$root" "$@""#))
        .arg("sh")
        .arg(machine.disk("/"));
    unshare.args(["/usr/bin/crossfade-bootstrap", "image", "selftest", "--image"]);
    unshare.env_clear().env("PATH", "/usr/sbin:/usr/bin");
    SelftestReport::read(unshare)
}

fn selftest_passes_in_the_chroot_of_an_image_build() -> Result<()> {
    let machine = private()?;
    let report = in_chroot(&machine, true)?;
    report.ensure_passed(&BY_JUDGES)?;
    report.ensure_passed(&["runtime.told"])?;
    let bare = in_chroot(&machine, false)?;
    bare.ensure_passed(&["unit.enabled"])?;
    let skipped = bare.that_are("skipped");
    ensure!(
        skipped.iter().any(|line| line.starts_with("runtime.told: /proc is not mounted")),
        "{skipped:#?}"
    );
    // systemd-analyze notes there when it read units.
    let mut left = lab::host::scratch::files(&machine.disk("/run"))?;
    left.retain(|file| !file.starts_with(machine.disk("/run/systemd")));
    ensure!(left.is_empty(), "it left something below /run: {left:?}");
    Ok(())
}

/// What is done to a machine, the check that fails, and what it says; then it is undone.
type Fault = (&'static str, &'static str, &'static str, &'static str);

const FAULTS: [Fault; 8] = [
    (
        "chmod u+s /usr/libexec/crossfade/crossfade",
        "chmod u-s /usr/libexec/crossfade/crossfade",
        "program.owner",
        "mode 4755",
    ),
    (
        "setcap cap_net_admin+ep /usr/libexec/crossfade/crossfade",
        "setcap -r /usr/libexec/crossfade/crossfade",
        "program.owner",
        "file capabilities",
    ),
    (
        "mv /usr/bin/crossfade-bootstrap /usr/bin/kept; cp /usr/bin/kept /usr/bin/crossfade-bootstrap; \
         cp /bin/true /usr/libexec/crossfade/other; mv /usr/libexec/crossfade/crossfade /usr/libexec/crossfade/kept; \
         mv /usr/libexec/crossfade/other /usr/libexec/crossfade/crossfade",
        "mv /usr/bin/kept /usr/bin/crossfade-bootstrap; mv /usr/libexec/crossfade/kept /usr/libexec/crossfade/crossfade",
        "program.static",
        "is not static: it needs /lib",
    ),
    (
        "systemctl disable crossfade-watch",
        "systemctl enable crossfade-watch",
        "unit.enabled",
        "crossfade-watch.service is disabled",
    ),
    (
        "mkdir -p /etc/systemd/system/crossfade-watch.service.d; \
         printf '[Service]\\nWatchdogSecs=30\\n' >/etc/systemd/system/crossfade-watch.service.d/99.conf",
        "rm /etc/systemd/system/crossfade-watch.service.d/99.conf",
        "unit.verify",
        "'WatchdogSecs'",
    ),
    (
        "printf '[Unit]\\nAfter=multi-user.target\\n' >/etc/systemd/system/crossfade-boot.service.d/99.conf",
        "rm /etc/systemd/system/crossfade-boot.service.d/99.conf",
        "unit.verify",
        "Found ordering cycle",
    ),
    (
        "cp -p /etc/containerd/config.toml /etc/kept; echo 'version = ' >/etc/containerd/config.toml",
        "mv /etc/kept /etc/containerd/config.toml",
        "runtime.config",
        "config dump: it failed",
    ),
    (
        "cp -p /etc/containerd/config.toml /etc/kept; \
         printf 'version = 2\\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\\n' >/etc/containerd/config.toml",
        "mv /etc/kept /etc/containerd/config.toml",
        "runtime.told",
        "its CRI plugin is switched off",
    ),
];

/// A machine as Packer has it: systemd runs, the package was installed after the boot, and systemd was not reloaded.
fn selftest_finds_each_fault_of_an_image() -> Result<()> {
    let mut machine = private()?;
    machine.boot_whole()?;
    machine.run(&["systemctl", "stop", "kubelet", "crossfade-watch"])?;
    machine.run(&["rm", "-r", "/run/crossfade", "/run/systemd/generator"])?;
    let look = || {
        SelftestReport::read(machine.command(&[
            "/usr/bin/crossfade-bootstrap",
            "image",
            "selftest",
            "--image",
        ])?)
    };
    look()?.ensure_passed(&BY_JUDGES)?;
    for (change, undo, id, words) in FAULTS {
        machine.run(&["sh", "-ec", change])?;
        let failed = look()?.that_are("failed");
        ensure!(
            failed.iter().any(|line| line.starts_with(&format!("{id}: ")) && line.contains(words)),
            "{id}, {words}: {failed:#?}"
        );
        machine.run(&["sh", "-ec", undo])?;
    }
    look()?.ensure_passed(&BY_JUDGES)
}

/// `packages/node/steps` masks our drop-ins until the next boot before it installs the files on a node whose kubelet runs. At first our units are
/// stopped; then they are started, as docs/packages.md says.
fn selftest_passes_on_a_node_whose_kubelet_ran_when_the_package_came() -> Result<()> {
    let mut machine = migrating("shared", json!({}))?;
    boot_with_pods(&mut machine)?;
    for unit in ["kubelet", "containerd", "crio"] {
        let dir = format!("/run/systemd/system/{unit}.service.d");
        machine.run(&["mkdir", "-p", &dir])?;
        machine.run(&["ln", "-s", "/dev/null", &format!("{dir}/50-crossfade.conf")])?;
    }
    machine.run(&["systemctl", "stop", "crossfade-watch", "crossfade-boot"])?;
    machine.run(&["rm", "/run/crossfade/boot.json"])?;
    machine.run(&["systemctl", "daemon-reload"])?;
    let look =
        || SelftestReport::read(machine.command(&["/usr/bin/crossfade-bootstrap", "image", "selftest"])?);
    let report = look()?;
    report.ensure_passed(&[
        "unit.drop-in",
        "order.before",
        "order.wants",
        "order.commands",
        "unit.verify",
    ])?;
    let skipped = report.that_are("skipped");
    for id in ["node.boot", "node.watch", "node.loaded", "node.gate"] {
        let later = |line: &String| line.starts_with(&format!("{id}: ")) && line.contains("the next boot");
        ensure!(skipped.iter().any(later), "{id}: {skipped:#?}");
    }
    machine.run(&["systemctl", "restart", "crossfade-boot", "crossfade-watch"])?;
    let report = look()?;
    report.ensure_passed(&["node.boot", "node.watch", "node.gate"])?;
    ensure!(
        report.that_are("ok").iter().any(|line| line.contains("from the next boot on")),
        "{:#}",
        report.document
    );
    // Something that would hold kubelet in the next boot is reported all the same.
    machine.write("/etc/crossfade/policy.json", "{")?;
    let failed = look()?.that_are("failed");
    ensure!(failed.iter().any(|line| line.starts_with("settings.policy: ")), "{failed:#?}");
    Ok(())
}

fn selftest_passes_on_a_node_that_runs_and_sees_what_stopped() -> Result<()> {
    let mut machine = private()?;
    machine.boot()?;
    until_up(&mut machine)?;
    machine.open_gate(Network::New)?;
    machine.until_pods(2)?;
    let look =
        || SelftestReport::read(machine.command(&["/usr/bin/crossfade-bootstrap", "image", "selftest"])?);
    look()?.ensure_passed(&[
        "node.boot",
        "node.watch",
        "node.loaded",
        "node.gate",
        "unit.verify",
        "runtime.told",
    ])?;
    machine.run(&["systemctl", "stop", "crossfade-watch"])?;
    let change = "[Service]\nEnvironment=A=b\nExecStart=\nExecStart=/usr/bin/kubelet --v=2\n";
    machine.write("/etc/systemd/system/kubelet.service.d/95-own.conf", change)?;
    machine.run(&["rm", "/opt/cni/bin/crossfade"])?;
    let failed = look()?.that_are("failed");
    for (id, words) in [
        ("node.watch", "is inactive"),
        ("node.loaded", "continues another command"),
        ("node.gate", "no such binary"),
    ] {
        ensure!(
            failed.iter().any(|line| line.starts_with(&format!("{id}: ")) && line.contains(words)),
            "{id}, {words}: {failed:#?}"
        );
    }
    let confs = machine.list(furniture::AGENTS_DIR)?;
    ensure!(confs == ["10-new.conflist", "10-old.conflist"], "it only looks: {confs:?}");
    Ok(())
}
