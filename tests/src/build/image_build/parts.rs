//! The parts of a template beside Crossfade: kubelet, the agents' program, the runtime's settings, the plugins.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::boot::furniture;
use crate::build::{dist, image, packages};
use crate::host::scratch::{Scratch, install};

/// Lays out below `parts`, once for all builds of a process: `root/`, which is copied over the machine's root directory, and
/// `pause.tar`, the sandbox image. kubelet is a stand-in.
///
/// # Errors
/// A program is not built, or a part is not fetched.
pub(super) fn lay_out(parts: &Scratch) -> Result<()> {
    lay_out_node(parts, &dist::lab_bin("lab-kubelet")?, &furniture::PLUGINS)?;
    image::pause_tar(&parts.join("pause.tar"))
}

/// The parts of a node of a real cluster, for a build's variable `lab_parts`: these programs in `/usr/bin`, of which one is kubelet, and the images
/// of this archive, of which one is the sandbox's.
///
/// # Errors
/// As for the parts of other builds.
pub fn of_cluster(kubelet: &Path, others: &[&Path], images: &[u8]) -> Result<Scratch> {
    let parts = Scratch::new("parts")?;
    lay_out_node(&parts, kubelet, &[furniture::PLUGINS.as_slice(), &["portmap"]].concat())?;
    for program in others {
        install(program, &parts.join("root/usr/bin").join(program.file_name().context("a program")?))?;
    }
    fs::write(parts.join("pause.tar"), images).context("the images of the pods")?;
    Ok(parts)
}

/// A node without images, with this kubelet and these plugins.
fn lay_out_node(parts: &Scratch, kubelet: &Path, plugins: &[&str]) -> Result<()> {
    let root = parts.dir("root")?;
    install(kubelet, &root.join("usr/bin/kubelet"))?;
    install(&dist::lab_bin("lab-agent")?, &root.join("usr/bin/lab-agent"))?;
    for plugin in plugins {
        install(&packages::plugin(plugin)?, &root.join("opt/cni/bin").join(plugin))?;
    }
    let containerd =
        furniture::containerd_config(Path::new("/var/lib/containerd"), Path::new("/run/containerd"));
    for (path, content) in [
        ("etc/containerd/config.toml", containerd.as_str()),
        ("usr/lib/systemd/system/kubelet.service", furniture::KUBELET_UNIT),
        ("usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", furniture::KUBEADM_DROP_IN),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a directory")?).context("a directory of the parts")?;
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).context("mode of a part")?;
    }
    Ok(())
}
