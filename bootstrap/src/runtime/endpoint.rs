//! The endpoint of the runtime to ask: the one that kubelet talks to, never one that is merely usual.
//!
//! | who names it | counts |
//! |---|---|
//! | `--runtime-endpoint` | first |
//! | node.json, `runtime.endpoint` | where kubelet names no other |
//! | kubelet's command line, then its configuration | next |
//! | the configuration of the runtime that has a unit here | next |
//! | a usual socket that is there, and the only one that is | last |
//!
//! Where none of them does, that is a finding that says what to name.

use convergence::runtime::endpoint::RuntimeChoice;

use std::path::Path;

use types::command::problem::Problem;
use types::node::Node;
use types::node::socket_path;

use crate::cli;
use crate::host::root::Root;
use crate::kubelet::runtime::{self as kubelet, NamedEndpoint};
use crate::systemd::unit::Unit;
use convergence::runtime::config::RuntimeConfig;

/// The key that names a runtime's endpoint.
const ENDPOINT_KEY: &str = "node.json, runtime.endpoint";

/// A runtime that has a usual place.
struct WellKnownRuntime {
    name: &'static str,
    endpoint: &'static str,
    /// Units that start it inside another program, and the configuration file which that program writes; none for a runtime that
    /// has a unit of its own.
    embedded: Option<(&'static [&'static str], &'static str)>,
}

/// *Source*: man pages `containerd(8)` and `crio(8)`; k3s `pkg/agent/config`, RKE2's data directory; MicroK8s' `containerd-template.toml`;
/// k0s' documentation "Runtime"; cri-dockerd's unit.
const USUAL: [WellKnownRuntime; 7] = [
    WellKnownRuntime {
        name: "containerd",
        endpoint: "unix:///run/containerd/containerd.sock",
        embedded: None,
    },
    WellKnownRuntime { name: "CRI-O", endpoint: "unix:///run/crio/crio.sock", embedded: None },
    WellKnownRuntime {
        name: "k3s",
        endpoint: "unix:///run/k3s/containerd/containerd.sock",
        embedded: Some((
            &["k3s.service", "k3s-agent.service"],
            "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        )),
    },
    WellKnownRuntime {
        name: "RKE2",
        endpoint: "unix:///run/k3s/containerd/containerd.sock",
        embedded: Some((
            &["rke2-server.service", "rke2-agent.service"],
            "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
        )),
    },
    WellKnownRuntime {
        name: "MicroK8s",
        endpoint: "unix:///var/snap/microk8s/common/run/containerd.sock",
        embedded: Some((
            &["snap.microk8s.daemon-containerd.service"],
            "/var/snap/microk8s/current/args/containerd.toml",
        )),
    },
    WellKnownRuntime {
        name: "k0s",
        endpoint: "unix:///run/k0s/containerd.sock",
        embedded: Some((&["k0sworker.service", "k0scontroller.service"], "/etc/k0s/containerd.toml")),
    },
    WellKnownRuntime { name: "cri-dockerd", endpoint: "unix:///run/cri-dockerd.sock", embedded: None },
];

/// Finds the endpoint; `config` is the runtime that has a unit here, or that node.json names.
///
/// # Errors
/// No source names one, or two sources name different ones; with the setting to write.
pub(crate) fn find(
    root: &Root,
    node: &Node,
    config: Option<&RuntimeConfig>,
) -> Result<NamedEndpoint, Problem> {
    let by_kubelet = kubelet::endpoint(root, &node.kubelet.unit);
    let by_node = node.runtime.endpoint.clone();
    match (by_node, by_kubelet) {
        (Some(endpoint), Some(other)) if !is_same(root, &endpoint, &other.endpoint) => {
            let NamedEndpoint { endpoint: of_kubelet, source } = other;
            let what = format!(
                "node.json, runtime.endpoint, names {endpoint}, but kubelet talks to {of_kubelet} ({source})"
            );
            Err(Problem::new(what)
                .with_place(ENDPOINT_KEY)
                .fix(format!("name {of_kubelet} in node.json, runtime.endpoint")))
        }
        (Some(endpoint), _) => Ok(NamedEndpoint { endpoint, source: "runtime.endpoint in node.json".into() }),
        (None, Some(named)) => Ok(named),
        (None, None) => match config.and_then(config_endpoint) {
            Some(named) => Ok(named),
            None => find_lone_runtime(root),
        },
    }
}

/// What a runtime's own configuration says, or where it lies: every program that has a runtime inside writes its own file.
fn config_endpoint(config: &RuntimeConfig) -> Option<NamedEndpoint> {
    let file =
        |usual: &&WellKnownRuntime| usual.embedded.is_some_and(|(_, file)| Path::new(file) == config.file);
    let usual = || USUAL.iter().find(file).map(|usual| usual.endpoint.to_owned());
    let endpoint = config.endpoint.clone().or_else(usual)?;
    Some(NamedEndpoint {
        endpoint,
        source: format!("the configuration of {}, {}", config.kind.as_str(), config.file.display()),
    })
}

/// The one usual socket that is there, where no other runtime can be meant.
fn find_lone_runtime(root: &Root) -> Result<NamedEndpoint, Problem> {
    let is_there = |usual: &&WellKnownRuntime| root.join(socket_path(usual.endpoint)).exists();
    let mut present: Vec<&WellKnownRuntime> = USUAL.iter().filter(is_there).collect();
    present.dedup_by_key(|usual| usual.endpoint);
    match present.as_slice() {
        [WellKnownRuntime { endpoint, embedded: None, .. }] if embedded_runtimes(root).next().is_none() => {
            Ok(NamedEndpoint {
                endpoint: (*endpoint).into(),
                source: "the only runtime's socket that is here".into(),
            })
        }
        _ => Err(unnamed_problem(root)),
    }
}

/// Runtimes inside another program that this node seems to have.
fn embedded_runtimes(root: &Root) -> impl Iterator<Item = (&'static WellKnownRuntime, &'static str)> {
    USUAL.iter().filter_map(|usual| {
        let (units, config) = usual.embedded?;
        let has_unit = units.iter().any(|unit| matches!(Unit::outline(root, unit), Ok(Some(_))));
        (has_unit || root.join(config).exists()).then_some((usual, config))
    })
}

/// What to name where no runtime is known, with the places of those that seem to be here.
#[must_use]
pub(crate) fn unnamed_problem(root: &Root) -> Problem {
    let text = "nothing says which runtime kubelet talks to: neither kubelet's command line and configuration, nor node.json, nor a \
                    unit of containerd or CRI-O";
    let mut proposals: Vec<String> = embedded_runtimes(root)
        .map(|(usual, config)| {
            format!("for {} say {:?} and \"config\": {config:?}", usual.name, usual.endpoint)
        })
        .collect();
    let present = USUAL
        .iter()
        .filter(|usual| usual.embedded.is_none() && root.join(socket_path(usual.endpoint)).exists());
    proposals.extend(present.map(|usual| format!("for {} say {:?}", usual.name, usual.endpoint)));
    if proposals.is_empty() {
        proposals.push("say unix:///PATH of its socket".into());
    }
    let proposals = proposals.join("; ");
    Problem::new(text)
        .with_place(ENDPOINT_KEY)
        .fix(format!("name it in node.json, runtime.endpoint, or with --runtime-endpoint: {proposals}"))
}

/// What to name where the runtime's configuration is not known, and so neither are its directories.
#[must_use]
pub(crate) fn unconfigured_problem(root: &Root) -> Problem {
    let text = "no runtime is known: there is neither containerd.service nor crio.service, so it is not known where pods' confs and \
                plugins are looked for";
    let fix = "name in node.json its unit, runtime.unit, or, where another program starts it, its configuration file, runtime.config";
    let proposals: Vec<String> = embedded_runtimes(root)
        .map(|(usual, config)| {
            format!("for {} \"config\": {config:?}, \"endpoint\": {:?}", usual.name, usual.endpoint)
        })
        .collect();
    let proposals = proposals.join("; ");
    let fix = if proposals.is_empty() { fix.to_owned() } else { format!("{fix}: {proposals}") };
    Problem::new(text).with_place("node.json, runtime.unit").fix(fix)
}

/// Whether two endpoints are one socket.
fn is_same(root: &Root, a: &str, b: &str) -> bool {
    let real = |endpoint: &str| {
        let path = Path::new("/").join(socket_path(endpoint));
        let rooted = root.join(&path);
        // /var/run is a link to /run everywhere, and on a node that is not up there is nothing to follow.
        let plain = path.strip_prefix("/var/run").map_or(path.clone(), |rest| Path::new("/run").join(rest));
        rooted.canonicalize().unwrap_or_else(|_| root.join(plain))
    };
    real(a) == real(b)
}

/// The runtime that the command line names; none where it names none.
#[must_use]
pub(crate) fn from_option(option: &cli::Endpoint) -> Option<RuntimeChoice> {
    option.runtime_endpoint.as_deref().map(|endpoint| match endpoint {
        "none" => RuntimeChoice::None,
        endpoint => RuntimeChoice::At(endpoint.to_owned()),
    })
}

/// The runtime that [`find`] finds on a node. A tree that is no node has a runtime only where a socket is in it.
#[must_use]
pub(crate) fn choose(root: &Root, node: &Node, config: Option<&RuntimeConfig>) -> RuntimeChoice {
    match self::find(root, node, config) {
        Ok(named) if root.is_node() => RuntimeChoice::At(named.endpoint),
        Ok(named) => {
            let rooted = root.join(socket_path(&named.endpoint));
            if rooted.exists() {
                RuntimeChoice::At(format!("unix://{}", rooted.display()))
            } else {
                RuntimeChoice::None
            }
        }
        Err(why) if root.is_node() => RuntimeChoice::Unknown(why),
        Err(_) => RuntimeChoice::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::config;
    use std::os::unix::net::UnixListener;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let tree = Self(tempfile::tempdir().expect("scratch"));
            for (path, text) in files {
                let path = tree.0.path().join(path);
                std::fs::create_dir_all(path.parent().expect("below")).expect("directory");
                std::fs::write(path, text).expect("file");
            }
            tree
        }

        fn listens(self, path: &str) -> Self {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().expect("below")).expect("directory");
            // The file stays when the listener goes.
            drop(UnixListener::bind(path).expect("socket"));
            self
        }

        fn find(&self, runtime: &str) -> Result<String, Problem> {
            let root = Root::new(self.0.path());
            let node = format!(r#"{{"version":1,"runtime":{{{runtime}}}}}"#);
            let node = Node::parse(node.as_bytes()).expect("node.json");
            let config = config::gather(&root, &node).expect("readable");
            find(&root, &node, config.as_ref()).map(|named| named.endpoint)
        }
    }

    const KUBELET: (&str, &str) = (
        "usr/lib/systemd/system/kubelet.service",
        "[Service]\nExecStart=/usr/bin/kubelet --container-runtime-endpoint=unix:///var/run/crio/crio.sock\n",
    );
    const CONTAINERD: (&str, &str) =
        ("usr/lib/systemd/system/containerd.service", "[Service]\nExecStart=/usr/bin/containerd\n");
    const K3S: (&str, &str) =
        ("etc/systemd/system/k3s.service", "[Service]\nExecStart=/usr/local/bin/k3s server\n");

    #[test]
    fn the_first_source_that_names_the_endpoint_counts() {
        let address = ("etc/containerd/config.toml", "version = 2\n[grpc]\naddress = '/run/other.sock'\n");
        for (files, runtime, endpoint) in [
            (&[KUBELET, CONTAINERD][..], "", "unix:///var/run/crio/crio.sock"),
            (&[KUBELET], r#""endpoint":"unix:///run/crio/crio.sock""#, "unix:///run/crio/crio.sock"),
            (&[CONTAINERD], r#""endpoint":"/run/x.sock""#, "/run/x.sock"),
            (&[CONTAINERD], "", "unix:///run/containerd/containerd.sock"),
            (&[CONTAINERD, address], "", "unix:///run/other.sock"),
        ] {
            assert_eq!(Tree::new(files).find(runtime).as_deref(), Ok(endpoint), "{files:?} {runtime}");
        }
    }

    #[test]
    fn a_lone_usual_socket_is_taken_and_nothing_else_is_guessed() {
        let usual = "run/containerd/containerd.sock";
        let alone = Tree::new(&[]).listens(usual).find("");
        assert_eq!(alone.as_deref(), Ok("unix:///run/containerd/containerd.sock"));
        // Docker's containerd beside k3s, whose own one kubelet talks to.
        for tree in [
            Tree::new(&[K3S]).listens(usual),
            Tree::new(&[]).listens(usual).listens("run/k3s/containerd/containerd.sock"),
            Tree::new(&[]).listens(usual).listens("run/crio/crio.sock"),
            Tree::new(&[]),
        ] {
            let why = tree.find("").expect_err("a guess");
            assert!(why.what.starts_with("nothing says which runtime"), "{why}");
            let fix = why.fix;
            assert!(fix.contains("runtime.endpoint") && fix.contains("--runtime-endpoint"), "{fix}");
        }
    }

    #[test]
    fn runtimes_inside_another_program_are_proposed_with_their_places() {
        for (file, places) in [
            (
                K3S,
                [
                    "unix:///run/k3s/containerd/containerd.sock",
                    "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
                ],
            ),
            (
                ("var/lib/rancher/rke2/agent/etc/containerd/config.toml", ""),
                [
                    "unix:///run/k3s/containerd/containerd.sock",
                    "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
                ],
            ),
            (
                ("var/snap/microk8s/current/args/containerd.toml", ""),
                [
                    "unix:///var/snap/microk8s/common/run/containerd.sock",
                    "/var/snap/microk8s/current/args/containerd.toml",
                ],
            ),
        ] {
            let why = Tree::new(&[file]).find("").expect_err("a guess");
            assert!(places.iter().all(|place| why.fix.contains(place)), "{why}");
        }
    }

    #[test]
    fn another_runtime_than_kubelet_s_is_refused() {
        let why = Tree::new(&[KUBELET]).find(r#""endpoint":"unix:///run/x.sock""#).expect_err("two");
        assert!(
            why.what.contains("unix:///run/x.sock") && why.fix.contains("unix:///var/run/crio/crio.sock"),
            "{why}"
        );
    }
}
