//! One boot: systemd-nspawn, and the PID 1 that it started.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{
    build::packages,
    host::{deadline, isolate},
};

/// Tells a machine that boots, or goes down, from one that hangs; either takes half a second.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// The status with which nspawn ends when the machine wants to boot again.
///
/// *Source*: man 1 `systemd-nspawn`, `--keep-unit`; sysexits do not define it.
const REBOOT: i32 = 133;

const NSPAWN: &str = "systemd-nspawn";

/// A cgroup of its own for the machine, of version 2 whatever the machine underneath has, a `/tmp` of its own, and then nspawn.
///
/// nspawn keeps an empty directory there, which is not removed when the plug is pulled.
const ENTER: &str = r#"
cgroup=$1
shift
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    umount --recursive /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mkdir -p "/sys/fs/cgroup$cgroup"
echo $$ >"/sys/fs/cgroup$cgroup/cgroup.procs"
mount -t tmpfs tmpfs /tmp
exec "$@"
"#;

/// PID 1 of a machine with a kernel command line of its own.
///
/// `/proc/cmdline` shows the one of the machine underneath; systemd itself takes, in a container, its own arguments for it.
/// Where `/etc/lab/sysctl` is, it shows its files in the place of those of `/proc/sys`, and an empty log of the kernel: kubelet wants both.
/// Where `/etc/lab/kernel-boot-id` is, the boot's id is the kernel's and not one that nspawn makes up: containers of pods see the kernel's.
const INIT: &str = r#"
[ ! -e /etc/lab/kernel-boot-id ] || umount /proc/sys/kernel/random/boot_id
cat /proc/sys/kernel/random/boot_id >/run/lab-boot-id
[ ! -e /etc/lab/cmdline ] || mount --bind /etc/lab/cmdline /proc/cmdline
if [ -d /etc/lab/sysctl ]; then
    [ -e /dev/kmsg ] || ln -s null /dev/kmsg
    (cd /etc/lab/sysctl && find . -type f -exec mount --bind {} /proc/sys/{} ';')
fi
if [ -e /etc/lab/read-only-etc ]; then
    mount -t tmpfs tmpfs /etc/cni
    mount --rbind /etc /etc
    mount -o remount,bind,ro /etc
fi
exec /usr/lib/systemd/systemd "$@"
"#;

/// How a boot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootExit {
    /// Powered off.
    Off,
    /// Wants to boot again.
    Reboot,
    /// Otherwise, with this status.
    Status(i32),
}

/// A machine that runs. Dropping it pulls the plug.
#[derive(Debug)]
pub(super) struct Nspawn {
    child: Child,
    /// PID 1 of the machine, as the lab sees it.
    leader: Pid,
    log: PathBuf,
}

impl Nspawn {
    /// Boots the tree at `root` with `arguments` for PID 1, in this network namespace or one of its own.
    pub(super) fn start(name: &str, root: &Path, netns: Option<&Path>, arguments: &[String]) -> Result<Self> {
        let log = root.with_file_name("nspawn.log");
        let file = File::options().create(true).append(true).open(&log).context("nspawn's log")?;
        let cgroup = format!("{}/{name}", isolate::cgroup_parent()?);
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", ENTER, "enter", &cgroup]);
        // By its name, below the lab's `/usr`: the unpacked part may be in a checkout below `/tmp`, which is covered by then.
        packages::part(NSPAWN)?;
        command.args([NSPAWN, "--quiet", "--directory"]).arg(root);
        command.args(["--machine", name, "--register=no", "--keep-unit"]);
        match netns {
            None => command.arg("--private-network"),
            Some(netns) => {
                let mut option = OsString::from("--network-namespace-path=");
                option.push(netns);
                command.arg("--capability=CAP_NET_ADMIN").arg(option)
            }
        };
        command.args(["--link-journal=no", "--console=pipe", "--resolv-conf=off", "--timezone=off"]);
        // containerd's: a keyring for each sandbox, and cgroups that are its own.
        command.args(["--system-call-filter=@keyring bpf", "--kill-signal=SIGRTMIN+3"]);
        command.args(["sh", "-ec", INIT, "init"]).args(arguments);
        // Not a word of the lab's: a generator must not see CROSSFADE_ROLE and its like.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().context("starting systemd-nspawn")?;
        let mut machine = Self { child, leader: Pid::from_raw(0), log };
        machine.leader = deadline::until(&format!("the boot of {name}"), LIMIT, || {
            if let Some(status) = machine.child.try_wait()? {
                bail!("{}: {}", machine.ended(status), machine.log_tail());
            }
            Ok(leader(machine.child.id()))
        })?;
        Ok(machine)
    }

    /// PID 1 of the machine, as the lab sees it.
    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// Tells PID 1 something; man 1 `systemd`, "Signals".
    pub(super) fn tell(&self, realtime: i32) -> Result<()> {
        // nix has no realtime signals.
        let signal = format!("-RTMIN+{realtime}");
        crate::host::command::run(Command::new("kill").arg(signal).arg(self.leader.to_string())).map(drop)
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> Result<BootExit> {
        let status = deadline::until("the machine's end", LIMIT, || Ok(self.child.try_wait()?))?;
        Ok(self.ended(status))
    }

    /// Whether it has ended by itself.
    pub(super) fn is_over(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// The end of what nspawn and PID 1 said.
    pub(super) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn ended(&self, status: ExitStatus) -> BootExit {
        match status.code() {
            Some(0) => BootExit::Off,
            Some(REBOOT) => BootExit::Reboot,
            code => BootExit::Status(code.unwrap_or(-1)),
        }
    }
}

impl std::fmt::Display for BootExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BootExit::Off => write!(f, "powered off"),
            BootExit::Reboot => write!(f, "wants to reboot"),
            BootExit::Status(status) => write!(f, "nspawn ended with {status}"),
        }
    }
}

impl Drop for Nspawn {
    fn drop(&mut self) {
        if self.leader.as_raw() > 0 {
            // PID 1 first: with it everything of its pid namespace is gone before the tree is unmounted.
            let _already_gone = kill(self.leader, Signal::SIGKILL);
        }
        let _already_ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The descendant of nspawn that is PID 1 of a pid namespace, once it has become systemd.
fn leader(nspawn: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_ascii_whitespace().find_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let is_init = inner.split_ascii_whitespace().last() == Some("1");
        let is_systemd = status.starts_with("Name:\tsystemd\n");
        (is_init && is_systemd).then(|| pid.parse().ok().map(Pid::from_raw)).flatten()
    })
}
