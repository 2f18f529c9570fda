//! The parts of a template beside Crossfade: kubelet, the agents' program, the runtime's settings, the plugins.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::boot::furniture;
use crate::build::{dist, image, packages};
use crate::host::scratch::{Scratch, install};

/// Lays out below `parts`, once for all builds of a process: `root/`, which is copied over the machine's root directory, and
/// `pause.tar`, the sandbox image.
///
/// # Errors
/// A program is not built, or a part is not fetched.
pub(super) fn lay_out(parts: &Scratch) -> Result<()> {
    let root = parts.dir("root")?;
    install(&dist::lab_bin("lab-kubelet")?, &root.join("usr/bin/kubelet"))?;
    install(&dist::lab_bin("lab-agent")?, &root.join("usr/bin/lab-agent"))?;
    for plugin in furniture::PLUGINS {
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
    image::pause_tar(&parts.join("pause.tar"))
}
