//! The parts that machines share: our package as it would be installed, the stand-ins, and a containerd that has its image.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};

use crate::host::scratch::{Scratch, install};
use crate::{
    build::{dist, image, packages},
    host::command,
};

/// Layers that machines share; made once in a process.
#[derive(Debug)]
pub struct Kit {
    scratch: Scratch,
}

impl Kit {
    /// The kit of this process.
    ///
    /// # Errors
    /// A program is not built, or a part is not fetched; the message says what to do.
    pub fn shared() -> Result<&'static Kit> {
        static KIT: OnceLock<Result<Kit, String>> = OnceLock::new();
        let kit = KIT.get_or_init(|| Kit::make().map_err(|error| format!("{error:#}")));
        kit.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Our package: what it puts below `/usr`.
    pub(super) fn package(&self) -> PathBuf {
        self.scratch.join("package/usr")
    }

    /// A directory with nothing in it.
    pub(super) fn nothing(&self) -> Result<PathBuf> {
        self.scratch.dir("nothing")
    }

    /// containerd's `/var/lib/containerd` with the sandbox image in it.
    pub(super) fn containerd(&self) -> PathBuf {
        self.scratch.join("containerd")
    }

    /// Lays our package out below another directory, with the `usr` that it has.
    ///
    /// # Errors
    /// A program is not built.
    pub fn lay_out(root: &Path) -> Result<()> {
        install_package(root)
    }

    fn make() -> Result<Kit> {
        let kit = Kit { scratch: Scratch::new("kit")? };
        install_package(&kit.scratch.join("package"))?;
        // Into the lab's own /usr, of which machines have the programs of their distribution.
        install(&dist::lab_bin("lab-kubelet")?, Path::new("/usr/bin/kubelet"))?;
        install(&dist::lab_bin("lab-agent")?, Path::new("/usr/bin/lab-agent"))?;
        kit.make_containerd().context("a containerd with the sandbox image")?;
        Ok(kit)
    }

    /// Imports once what each machine would have to import.
    fn make_containerd(&self) -> Result<()> {
        let (root, run) = (self.containerd(), Scratch::new("import")?);
        let archive = run.join("pause.tar");
        image::pause_tar(&archive)?;
        let config = run.join("config.toml");
        fs::write(&config, super::furniture::containerd_config(&root, run.path())).context("a config")?;
        let socket = run.join("c.sock");
        let log = fs::File::create(run.join("log")).context("a log")?;
        let mut daemon = std::process::Command::new(packages::part("containerd")?);
        daemon.arg("--config").arg(&config).arg("--address").arg(&socket);
        daemon.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut daemon = daemon.spawn().context("starting containerd")?;
        let imported = import(&socket, &archive);
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(daemon.id())?),
            nix::sys::signal::Signal::SIGTERM,
        )?;
        daemon.wait().context("the end of containerd")?;
        imported.with_context(|| fs::read_to_string(run.join("log")).unwrap_or_default())
    }
}

fn import(socket: &Path, archive: &Path) -> Result<()> {
    let cri = crate::runtime::cri::Cri::new(socket)?;
    let limit = std::time::Duration::from_secs(60);
    crate::host::deadline::until("containerd's CRI", limit, || Ok(cri.network_ready().ok()))?;
    let mut import = std::process::Command::new(packages::part("ctr")?);
    import.arg("--address").arg(socket).args(["--namespace", "k8s.io", "images", "import"]).arg(archive);
    command::run(&mut import).map(drop)
}

/// Our package below `root`, as its build would lay it out: the programs, and the tree of `systemd/`.
fn install_package(root: &Path) -> Result<()> {
    install(&dist::bootstrap()?, &root.join("usr/bin/crossfade-bootstrap"))?;
    install(&dist::crossfade()?, &root.join("usr/libexec/crossfade/crossfade"))?;
    let mut copy = std::process::Command::new("cp");
    copy.args(["--recursive", "--no-dereference", "--preserve=mode"]);
    copy.arg(dist::workspace().join("systemd/usr")).arg(root);
    command::run(&mut copy).map(drop)
}
