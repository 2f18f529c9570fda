//! containerd's configuration file for a node of the lab.

use std::path::Path;

use super::Options;
use crate::build::image;

pub(super) const SNAPSHOTTER: &str = "overlayfs";

/// Version of a configuration file: each has sections of other names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Of containerd 1.x; containerd 2 reads it as well.
    Two,
    /// Of containerd 2.
    Three,
}

impl Version {
    /// What follows `version = ` in the file.
    pub fn number(self) -> u8 {
        match self {
            Version::Two => 2,
            Version::Three => 3,
        }
    }

    /// The section of registries, as a table's name without its end.
    pub fn registry(self) -> &'static str {
        match self {
            Version::Two => r#"plugins."io.containerd.grpc.v1.cri".registry"#,
            Version::Three => "plugins.'io.containerd.cri.v1.images'.registry",
        }
    }
}

/// Everything of one instance in `dir`, no feature that needs the machine's help.
pub(super) fn text(dir: &Path, options: &Options, version: Version) -> String {
    let level = if options.debug { "debug" } else { "info" };
    let dir = dir.display();
    let common = format!(
        r#"version = {version}
root = "{dir}/root"
state = "{dir}/state"
temp = "{dir}/tmp"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[debug]
  level = "{level}"
[grpc]
  address = "{dir}/c.sock"
"#,
        version = version.number(),
    );
    common
        + &match version {
            Version::Two => version_2(options),
            Version::Three => version_3(options),
        }
}

fn version_2(options: &Options) -> String {
    format!(
        r#"[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_apparmor = true
  disable_tcp_service = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{SNAPSHOTTER}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "{conf_dir}"
    bin_dir = "{bin_dir}"
    max_conf_num = 1
"#,
        image = image::PAUSE,
        conf_dir = options.conf_dir.display(),
        bin_dir = options.bin_dir.display(),
    )
}

/// *Source*: containerd's `docs/cri/config.md` and the dump of 2.1.
fn version_3(options: &Options) -> String {
    format!(
        r#"[plugins.'io.containerd.cri.v1.images']
  snapshotter = "{SNAPSHOTTER}"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{image}"
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    conf_dir = "{conf_dir}"
    bin_dirs = ["{bin_dir}"]
    max_conf_num = 1
"#,
        image = image::PAUSE,
        conf_dir = options.conf_dir.display(),
        bin_dir = options.bin_dir.display(),
    )
}
