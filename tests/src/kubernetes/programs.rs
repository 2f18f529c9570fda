//! The programs of a Kubernetes release.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// Names their directory; `tests/kubernetes-programs` prints one.
const VARIABLE: &str = "CROSSFADE_KUBERNETES";

/// The machine has memory enough, and two cores for all components of four clusters: their garbage is collected less often than by default (100).
pub(crate) const GARBAGE: (&str, &str) = ("GOGC", "400");

/// A directory with kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubelet, kubectl and etcd.
#[derive(Debug, Clone)]
pub struct Programs {
    directory: PathBuf,
    minor: u32,
}

impl Programs {
    /// Those that the environment names.
    ///
    /// # Errors
    /// It names none, or what is there does not tell its version.
    pub fn find() -> Result<Programs> {
        let directory = std::env::var_os(VARIABLE).map(PathBuf::from).with_context(|| {
            format!(
                "{VARIABLE} is not set: run `make test-kubernetes`, or set it to what `tests/kubernetes-programs` prints"
            )
        })?;
        let minor = minor(&directory.join("kube-apiserver"))?;
        Ok(Programs { directory, minor })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// To start a component.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command.env(GARBAGE.0, GARBAGE.1);
        command
    }

    /// The release, as 20 for 1.20.
    pub fn minor(&self) -> u32 {
        self.minor
    }
}

fn minor(apiserver: &Path) -> Result<u32> {
    let output = crate::host::command::run(Command::new(apiserver).arg("--version"))?;
    parse_minor(&output).with_context(|| format!("{} says {output:?} of its version", apiserver.display()))
}

/// The second number of `Kubernetes v1.20.2`.
fn parse_minor(output: &str) -> Option<u32> {
    let version = output.trim().strip_prefix("Kubernetes v1.")?;
    version.split(['.', '+', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_minor;

    #[test]
    fn a_release_is_known_by_its_minor_version() {
        for (output, minor) in [
            ("Kubernetes v1.20.2\n", Some(20)),
            ("Kubernetes v1.34.0-rc.1", Some(34)),
            ("Kubernetes v1.36.1+k3s1", Some(36)),
            ("Kubernetes v2.0.0", None),
            ("", None),
        ] {
            assert_eq!(parse_minor(output), minor, "{output:?}");
        }
    }
}
