//! The runtime that kubelet talks to, by its command line and its configuration.

use std::path::Path;

use super::config;
use super::flags::values;
use crate::host::root::Root;
use crate::systemd::unit::{Unit, Word};
use convergence::node::paths::KUBELET_ARGUMENTS;

/// An endpoint and who names it, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedEndpoint {
    /// `unix:///path`.
    pub endpoint: String,
    /// The source of the endpoint, for people.
    pub source: String,
}

/// The endpoint that kubelet is told of; none where it has no unit here, or nothing that can be read names one. A flag counts before
/// the configuration.
///
/// *Source*: `cmd/kubelet/app/options`, `--container-runtime-endpoint`; `KubeletConfiguration`, `containerRuntimeEndpoint`.
#[must_use]
pub(crate) fn endpoint(root: &Root, unit: &str) -> Option<NamedEndpoint> {
    let words = words(root, unit)?;
    let flag = values(&words, "container-runtime-endpoint").last().map(|flag| flag.value.to_owned());
    let by_flag = flag.filter(|endpoint| !endpoint.is_empty()).map(|endpoint| NamedEndpoint {
        endpoint,
        source: format!("--container-runtime-endpoint of {unit}"),
    });
    let by_file = |file: &Path| {
        let endpoint = config::read(root, file).ok().flatten()?.endpoint?;
        Some(NamedEndpoint { endpoint, source: format!("containerRuntimeEndpoint in {}", file.display()) })
    };
    by_flag.or_else(|| config::files(root, &words).all().rev().find_map(|file| by_file(file)))
}

/// kubelet's command line without what Crossfade adds; `None` if kubelet has no unit here that can be read.
pub(super) fn words(root: &Root, unit: &str) -> Option<Vec<Word>> {
    // A unit that cannot be read is a finding of those who link it; here it names nothing.
    let unit = Unit::load(root, unit).ok().flatten()?;
    let mut environment = unit.environment().clone();
    environment.remove(KUBELET_ARGUMENTS);
    Some(unit.single_command().ok()?.expand(unit.name(), &environment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().expect("scratch");
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("below")).expect("directory");
            std::fs::write(path, text).expect("file");
        }
        let root = Root::new(dir.path());
        (dir, root)
    }

    #[test]
    fn a_flag_counts_before_the_configuration_and_the_last_of_each() {
        const UNIT: &str = "usr/lib/systemd/system/kubelet.service";
        let config =
            |endpoint: &str| format!("kind: KubeletConfiguration\ncontainerRuntimeEndpoint: {endpoint}\n");
        let (main, drop_in) = (config("unix:///main"), config("unix:///drop-in"));
        for (command, expected) in [
            (
                "/k --container-runtime-endpoint=unix:///a --container-runtime-endpoint unix:///b",
                Some("unix:///b"),
            ),
            ("/k --config /c.yaml --container-runtime-endpoint=unix:///a", Some("unix:///a")),
            ("/k --config /c.yaml", Some("unix:///main")),
            ("/k --config /c.yaml --config-dir /d", Some("unix:///drop-in")),
            ("/k", None),
        ] {
            let service = format!("[Service]\nExecStart={command}\n");
            let (_dir, root) = tree(&[(UNIT, &service), ("c.yaml", &main), ("d/1.conf", &drop_in)]);
            let endpoint = endpoint(&root, "kubelet.service").map(|named| named.endpoint);
            assert_eq!(endpoint.as_deref(), expected, "{command}");
        }
        let (_dir, root) = tree(&[]);
        assert_eq!(endpoint(&root, "kubelet.service"), None);
    }
}
