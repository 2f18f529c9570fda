//! A real containerd per node.

mod config;
mod release;

pub use config::Version;
pub use release::Release;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::build::image;
use crate::host::deadline;
use crate::host::node::{Daemon, Node};
use crate::runtime::cri::Cri;

/// Tells a containerd that starts from one that does not.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What a [`Containerd`] reads; the defaults are those of a real node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where it takes its CNI conf from, as the node sees it.
    pub conf_dir: PathBuf,
    /// Where it finds plugins, as the node sees it; containerd 1.x knows one.
    pub bin_dir: PathBuf,
    /// The version of its configuration file; none is the newest that it knows.
    pub version: Option<Version>,
    /// Whether its log tells everything, as what it makes of each change in the conf directory.
    pub debug: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            conf_dir: "/etc/cni/net.d".into(),
            bin_dir: "/opt/cni/bin".into(),
            version: None,
            debug: false,
        }
    }
}

/// A containerd with the sandbox image in it. Its sandboxes outlive it, but not the node.
#[derive(Debug)]
pub struct Containerd {
    node: Node,
    dir: PathBuf,
    release: Release,
    version: Version,
    started_with: PathBuf,
    daemon: Option<Daemon>,
    cri: Cri,
}

impl Containerd {
    /// Starts containerd in a node and returns when its CRI answers and the sandbox image is there.
    ///
    /// Its files are in `dir()/containerd` of the node, so a node has one.
    ///
    /// # Errors
    /// It ends or does not get ready; the message has the end of its log.
    pub fn start(node: &Node, options: &Options) -> Result<Containerd> {
        let mut containerd = Containerd::prepare(node, options)?;
        containerd.begin()?;
        Ok(containerd)
    }

    /// Everything of [`Containerd::start`] but the start: its directories and its configuration.
    ///
    /// # Errors
    /// What the file system says.
    pub fn prepare(node: &Node, options: &Options) -> Result<Containerd> {
        let dir = node.scratch().dir("containerd")?;
        for sub in ["root", "state", "tmp"] {
            node.scratch().dir(Path::new("containerd").join(sub))?;
        }
        for made in [&options.conf_dir, &options.bin_dir] {
            let outside = node.outside(made);
            fs::create_dir_all(&outside).with_context(|| format!("creating {}", outside.display()))?;
        }
        let release = Release::current()?;
        let newest = if release >= Release(2, 0, 0) { Version::Three } else { Version::Two };
        let version = options.version.unwrap_or(newest);
        fs::write(dir.join("config.toml"), config::text(&dir, options, version))
            .context("containerd's config")?;
        let cri = Cri::new(&dir.join("c.sock"))?;
        let started_with = dir.join("config.toml");
        Ok(Containerd { node: node.clone(), dir, release, version, started_with, daemon: None, cri })
    }

    /// Starts what was prepared, and gives it the sandbox image.
    ///
    /// # Errors
    /// As [`Containerd::start`].
    pub fn begin(&mut self) -> Result<()> {
        self.start_again()?;
        let archive = self.dir.join("pause.tar");
        image::pause_tar(&archive)?;
        self.import_images(&archive).context("the sandbox image")
    }

    /// Imports the images of an archive.
    ///
    /// # Errors
    /// It is none.
    pub fn import_images(&self, archive: &Path) -> Result<()> {
        let mut import = self.ctr(&["images", "import", "--snapshotter", config::SNAPSHOTTER]);
        import.arg(archive);
        crate::host::command::run(&mut import)
            .with_context(|| format!("importing {}", archive.display()))
            .map(drop)
    }

    /// Ends containerd with SIGTERM; its sandboxes run on.
    ///
    /// # Errors
    /// It is stopped already, or does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.take()?.terminate().context("stopping containerd").map(drop)
    }

    /// Ends containerd with SIGKILL; its sandboxes run on.
    ///
    /// # Errors
    /// It is stopped already.
    pub fn kill(&mut self) -> Result<()> {
        self.take()?.kill().context("killing containerd").map(drop)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It is stopped already, or does not end.
    pub fn wait(&mut self) -> Result<()> {
        self.take()?.wait(READY_WITHIN).context("containerd that is to end by itself").map(drop)
    }

    /// Starts containerd again after [`Containerd::stop`] or [`Containerd::kill`], with the sandboxes it left.
    ///
    /// # Errors
    /// As [`Containerd::start`].
    pub fn start_again(&mut self) -> Result<()> {
        let mut command = self.node.command("containerd");
        command.arg("--config").arg(&self.started_with);
        let mut daemon = self.node.background("containerd", &command)?;
        let log = daemon.log().to_path_buf();
        let cri = &self.cri;
        let ready = deadline::until("containerd's CRI", READY_WITHIN, || {
            if let Some(status) = daemon.ended()? {
                bail!("it ended with {status}");
            }
            Ok(cri.network_ready().ok())
        });
        ready.with_context(|| format!("containerd on node {}: {}", self.node.name(), tail(&log)))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Stops and starts containerd; its sandboxes run on.
    ///
    /// # Errors
    /// As [`Containerd::stop`] and [`Containerd::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Starts it with another configuration from the next start on; its root, state and socket must stay.
    pub fn start_with(&mut self, config: &Path) {
        self.started_with = config.to_path_buf();
    }

    /// Lets it make a conf of its own, `10-containerd-net.conflist` of the network `containerd-net`, in the directory that it reads, as
    /// soon as it has the node's pod CIDR: `conf_template`, as on GKE and on AKS with kubenet. From its next start on.
    ///
    /// # Errors
    /// What the file system says.
    pub fn make_confs(&self) -> Result<()> {
        const TEMPLATE: &str = r#"{"cniVersion": "1.0.0", "name": "containerd-net", "plugins": [{"type": "ptp",
            "ipam": {"type": "host-local", "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}]}}]}"#;
        let template = self.dir.join("cni.template");
        fs::write(&template, TEMPLATE).context("the template of confs")?;
        let text = fs::read_to_string(self.config())?;
        let named = format!("    max_conf_num = 1\n    conf_template = \"{}\"\n", template.display());
        let changed = text.replacen("    max_conf_num = 1\n", &named, 1);
        fs::write(self.config(), changed).context("containerd's config")
    }

    /// The client of its CRI.
    pub fn cri(&self) -> &Cri {
        &self.cri
    }

    /// Waits until it uses a conf with this plugin in it.
    ///
    /// # Errors
    /// It does not.
    pub fn until_uses(&self, plugin: &str) -> Result<()> {
        deadline::until(&format!("a conf with {plugin}"), READY_WITHIN, || {
            let used = self.cri.conf_plugins()?.iter().any(|used| used == plugin);
            Ok((used && self.cri.network_ready()?.0).then_some(()))
        })
    }

    /// `ctr` where its CRI has the sandboxes.
    pub fn ctr(&self, arguments: &[&str]) -> Command {
        let mut command = self.node.command("ctr");
        command.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]).args(arguments);
        command
    }

    pub fn release(&self) -> Release {
        self.release
    }

    /// The version of its configuration file.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Has it import what this pattern names, from its next start on.
    ///
    /// # Errors
    /// What the file system says.
    pub fn import(&self, pattern: &str) -> Result<()> {
        let text = fs::read_to_string(self.config())?;
        fs::write(self.config(), format!("imports = [\"{pattern}\"]\n{text}")).context("containerd's config")
    }

    /// Takes a sandbox away behind the back of its CRI; it must be restarted to notice. containerd 2 also keeps sandboxes in a store of
    /// their own, and lists what is there although it has neither task nor container.
    ///
    /// # Errors
    /// Its task, its container or its entry in the store stays.
    pub fn forget(&self, id: &str) -> Result<()> {
        let parts: &[&[&str]] = &[
            &["tasks", "delete", "--force"],
            &["containers", "delete"],
            &["sandboxes", "remove", "--force"],
        ];
        let count = if self.release >= Release(2, 0, 0) { 3 } else { 2 };
        for line in &parts[..count] {
            deadline::until(&format!("the end of {}", line[0]), READY_WITHIN, || {
                let output = self.ctr(line).arg(id).output()?;
                // The runtime sees the task end, too, and may be the one that deletes it.
                let gone = String::from_utf8_lossy(&output.stderr).contains("not found");
                Ok((output.status.success() || gone).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Its socket, at the same path in the node and outside.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("c.sock")
    }

    /// Its configuration file, at the same path in the node and outside.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Where it keeps what a machine forgets when it is switched off, at the same path in the node and outside.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Takes away everything that it keeps, images too; it must not run.
    ///
    /// # Errors
    /// What the file system says.
    pub fn wipe(&self) -> Result<()> {
        for directory in [self.dir.join("root"), self.state()] {
            fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
            fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
        }
        Ok(())
    }

    /// Pid as the lab sees it; none while it is stopped.
    pub fn pid(&self) -> Option<nix::unistd::Pid> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// Does something while its process is stopped, so that it does not answer.
    ///
    /// # Errors
    /// It is not running.
    pub fn frozen<T>(&self, act: impl FnOnce() -> T) -> Result<T> {
        let daemon = self.daemon.as_ref().context("containerd is not running")?;
        daemon.signal(Signal::SIGSTOP)?;
        let done = act();
        daemon.resume()?;
        Ok(done)
    }

    /// What it has logged since the node was made.
    ///
    /// # Errors
    /// There is no log.
    pub fn log(&self) -> Result<String> {
        let path = self.dir.with_file_name("containerd.log");
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    fn take(&mut self) -> Result<Daemon> {
        self.daemon.take().context("containerd is not running")
    }
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
