//! What is known of each CNI on a node: its confs, how it tells that it is ready, and what it does to others. Data, one file per CNI.
//!
//! The files are `bootstrap/profiles/*.json`; each fact names its source there. A CNI that is none of them is [`GENERIC`]: nothing
//! is assumed about it. No file says anything about deleting: what an agent leaves on a node (`state`) is refused in an image.

mod named;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

pub use self::named::{refuse_unknown, unknown};
use serde::Deserialize;
pub use types::policy::Secondary;

use types::taint::{Effect, Taint};

/// The name of the profile that assumes nothing; what a network without `profile` has.
pub const GENERIC: &str = "generic";

const FILES: [&str; 12] = [
    include_str!("../../profiles/antrea.json"),
    include_str!("../../profiles/aws-vpc.json"),
    include_str!("../../profiles/azure.json"),
    include_str!("../../profiles/calico.json"),
    include_str!("../../profiles/canal.json"),
    include_str!("../../profiles/cilium.json"),
    include_str!("../../profiles/flannel.json"),
    include_str!("../../profiles/kindnet.json"),
    include_str!("../../profiles/kube-router.json"),
    include_str!("../../profiles/multus.json"),
    include_str!("../../profiles/ovn-kubernetes.json"),
    include_str!("../../profiles/weave.json"),
];

static ALL: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    // A unit test reads them all; they are part of the program.
    let read = |text: &&str| serde_json::from_str(text).expect("the profiles that are built in are valid");
    FILES.iter().map(read).collect()
});

/// One CNI.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Profile {
    /// As a policy names it.
    pub name: String,
    /// File names of its conf, the likeliest first.
    pub conf: Vec<String>,
    /// Types of plugins that nobody else has; empty where the conf's name alone tells whose it is.
    pub types: Vec<String>,
    /// All of them hold when it can attach a pod; none where nothing is certain.
    pub probes: Vec<Probe>,
    /// What an ADD goes by after a reboot, while the agent is down.
    pub evidence: Evidence,
    /// The taint that it lifts itself once it is ready, where it has one.
    #[serde(default, deserialize_with = "taint")]
    pub startup_taint: Option<Taint>,
    /// What nodes of a migration to it are registered with, where its own guide to migrations says so.
    #[serde(default)]
    pub migration: Option<Migration>,
    /// How far its readiness can be proven on the node.
    pub proof: Proof,
    /// What it bears as the second network of a pod, whose address is the other network's.
    pub secondary: Secondary,
    /// How its agent takes the conf directory for itself, if it can.
    #[serde(default)]
    pub exclusive: Option<Exclusive>,
    /// What it does to the Node's condition NetworkUnavailable.
    pub network_unavailable: NetworkUnavailable,
    /// What its agent leaves on a node and knows it by, as far as a file can; nothing that a package brings.
    #[serde(default)]
    pub state: Vec<String>,
    /// Where each of these is from: upstream repository and file.
    pub sources: BTreeMap<String, String>,
}

impl Profile {
    /// Whether a policy waits for the file that `watch` keeps ([`crate::node::paths::PROBED`]) as well.
    #[must_use]
    pub fn needs_watch(&self) -> bool {
        self.evidence == Evidence::Watch || self.probes.iter().any(Probe::is_for_watch)
    }

    /// Whether a file's name says that the agent took a conf of this name away.
    #[must_use]
    pub fn takes(&self, file: &str) -> bool {
        self.exclusive.as_ref().is_some_and(|exclusive| file.ends_with(&exclusive.suffix))
    }
}

/// How to tell that a CNI is ready: those of a policy, and two that only `watch` can ask.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Probe {
    /// A connect to this socket succeeds.
    Unix {
        /// The socket.
        unix: PathBuf,
    },
    /// A regular file exists there.
    File {
        /// The file.
        file: PathBuf,
    },
    /// A GET over HTTP answers 2xx.
    Http {
        /// `HOST:PORT/PATH`; `localhost` is 127.0.0.1 and ::1, of which one suffices.
        http: String,
        /// Extra request headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
    },
    /// A GET over HTTPS answers 2xx; the agent's certificate is its own, so it proves nothing and is not checked.
    Https {
        /// `HOST:PORT/PATH`, as for HTTP.
        https: String,
    },
    /// The standard gRPC health service says SERVING for the whole server.
    Grpc {
        /// Where it may be: absolute paths of unix sockets, or `HOST:PORT`; the first that can be connected to counts.
        grpc: Vec<String>,
    },
}

impl Probe {
    /// Whether only `watch` can ask it; then a policy gets [`crate::node::paths::PROBED`] instead.
    #[must_use]
    pub const fn is_for_watch(&self) -> bool {
        matches!(self, Self::Https { .. } | Self::Grpc { .. })
    }
}

/// What tells an ADD, after a reboot and with the agent down, that the network is not ready yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// A socket of the CNI's own, or a file of its own on tmpfs.
    Own,
    /// Nothing of its own that an ADD asks: the file that `watch` keeps while all of its probes hold.
    Watch,
    /// Nothing: no probe of it is known.
    None,
}

/// How far readiness can be proven on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// By an attachment of a scratch namespace, which no Pod belongs to.
    Attach,
    /// By its probes alone: an attachment needs a real Pod, or costs something.
    Probe,
}

/// What nodes of a migration to a CNI are registered with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// By this label its agents, or what configures them, tell the nodes whose pods are its own: key and value.
    pub label: (String, String),
    /// Keeps pods away until its agent is ready; lifted as [`Profile::startup_taint`] is.
    #[serde(default, deserialize_with = "taint")]
    pub taint: Option<Taint>,
}

/// How an agent takes the conf directory for itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusive {
    /// What it appends to the names of all other confs.
    pub suffix: String,
    /// What a person does so that it does not: `set .. and restart ..`.
    pub setting: String,
}

/// What a CNI does to the Node's condition NetworkUnavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkUnavailable {
    /// It, or its operator, writes the condition; then nobody else has to.
    pub written: bool,
    /// It leaves the condition True when it goes.
    pub left_true: bool,
}

/// All of them, by name.
#[must_use]
pub fn all() -> &'static [Profile] {
    &ALL
}

/// Whether a file's name says that the agent of any of them took a conf of this name away.
#[must_use]
pub fn taken_away(file: &str) -> bool {
    ALL.iter().any(|profile| profile.takes(file))
}

/// The profile of this name; none for [`GENERIC`] and for names that are not known.
#[must_use]
pub fn find(name: &str) -> Option<&'static Profile> {
    ALL.iter().find(|profile| profile.name == name)
}

/// The profile of a conf whose plugins have these types, in order.
#[must_use]
pub fn detect<S: AsRef<str>>(types: &[S]) -> Option<&'static Profile> {
    let has =
        |profile: &Profile| types.iter().any(|one| profile.types.iter().any(|other| other == one.as_ref()));
    ALL.iter().find(|profile| has(profile))
}

/// The profile that a conf of this file name belongs to, whatever it says.
#[must_use]
pub fn by_conf(file: &str) -> Option<&'static Profile> {
    ALL.iter().find(|profile| profile.conf.iter().any(|conf| conf == file))
}

fn taint<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Taint>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        key: String,
        #[serde(default)]
        value: String,
        effect: String,
    }
    let written = Written::deserialize(deserializer)?;
    let effect = Effect::parse(&written.effect)
        .ok_or_else(|| serde::de::Error::custom(format!("effect {:?}", written.effect)))?;
    Ok(Some(Taint { key: written.key, value: written.value, effect }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_is_a_profile_and_every_fact_has_a_source() {
        let dir = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/profiles")).expect("profiles");
        let files: BTreeSet<_> =
            dir.map(|file| file.expect("file").file_name().to_string_lossy().into_owned()).collect();
        let named: BTreeSet<_> = all().iter().map(|profile| format!("{}.json", profile.name)).collect();
        assert_eq!(files, named);
        for profile in all() {
            let name = &profile.name;
            let mut facts =
                vec!["conf", "types", "probes", "evidence", "proof", "secondary", "networkUnavailable"];
            facts.extend(profile.startup_taint.as_ref().map(|_| "startupTaint"));
            facts.extend(profile.migration.as_ref().map(|_| "migration"));
            facts.extend(profile.exclusive.as_ref().map(|_| "exclusive"));
            facts.extend(profile.state.first().map(|_| "state"));
            let sources: BTreeSet<_> = profile.sources.keys().map(String::as_str).collect();
            assert_eq!(sources, facts.into_iter().collect(), "{name}");
            assert!(profile.sources.values().all(|source| !source.trim().is_empty()), "{name}");
            assert!(!profile.conf.is_empty(), "{name}");
            assert!(!profile.network_unavailable.left_true || profile.network_unavailable.written, "{name}");
        }
        assert!(find(GENERIC).is_none());
    }

    #[test]
    fn the_evidence_of_a_profile_is_what_its_probes_can_give() {
        let is_volatile = |path: &PathBuf| ["/run", "/var/run"].iter().any(|dir| path.starts_with(dir));
        for profile in all() {
            let own = profile.probes.iter().any(|probe| match probe {
                Probe::Unix { .. } => true,
                Probe::File { file } => is_volatile(file),
                _ => false,
            });
            let told = match (own, profile.probes.is_empty()) {
                (true, _) => Evidence::Own,
                (false, false) => Evidence::Watch,
                (false, true) => Evidence::None,
            };
            assert_eq!(profile.evidence, told, "{}", profile.name);
        }
        let of = |wanted: Evidence| -> Vec<&str> {
            all().iter().filter(|one| one.evidence == wanted).map(|one| one.name.as_str()).collect()
        };
        assert_eq!(of(Evidence::Own), ["antrea", "cilium", "flannel", "ovn-kubernetes"]);
        assert_eq!(of(Evidence::Watch), ["aws-vpc", "calico", "canal", "kube-router", "weave"]);
        assert_eq!(of(Evidence::None), ["azure", "kindnet", "multus"]);
    }

    /// An agent listens on ::1 alone where its node has IPv6 alone.
    #[test]
    fn every_probe_over_the_loopback_interface_is_asked_in_both_families() {
        for profile in all() {
            let places: Vec<String> = profile
                .probes
                .iter()
                .flat_map(|probe| match probe {
                    Probe::Http { http: target, .. } | Probe::Https { https: target } => vec![target.clone()],
                    Probe::Grpc { grpc } => {
                        grpc.iter().filter(|place| !place.starts_with('/')).cloned().collect()
                    }
                    Probe::Unix { .. } | Probe::File { .. } => Vec::new(),
                })
                .collect();
            let addresses: Vec<_> = places
                .iter()
                .flat_map(|place| types::policy::split_target(place).expect("a valid target").0)
                .collect();
            let in_family =
                |v6: bool| addresses.iter().filter(move |address| address.is_ipv6() == v6).count();
            assert_eq!(in_family(false), in_family(true), "{}: {addresses:?}", profile.name);
            assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{}", profile.name);
        }
    }

    #[test]
    fn a_conf_and_a_plugin_belong_to_one_cni_only() {
        for told in [|profile: &'static Profile| &profile.conf, |profile: &'static Profile| &profile.types] {
            let mut seen = BTreeSet::new();
            for profile in all() {
                assert!(
                    told(profile).iter().all(|one| seen.insert(one)),
                    "{} claims another's",
                    profile.name
                );
            }
        }
        for (types, name) in [
            (&["calico", "portmap"][..], Some("calico")),
            (&["flannel", "portmap"], Some("flannel")),
            (&["bridge", "portmap"], None),
            (&["ptp"], None),
            (&["multus-shim"], Some("multus")),
            (&[], None),
        ] {
            assert_eq!(detect(types).map(|profile| profile.name.as_str()), name, "{types:?}");
        }
        assert_eq!(by_conf("10-canal.conflist").map(|profile| profile.name.as_str()), Some("canal"));
        assert!(by_conf("10-x.conflist").is_none());
    }

    #[test]
    fn what_the_issue_needs_is_in_them() {
        for (name, proof) in [
            ("calico", Proof::Probe),
            ("ovn-kubernetes", Proof::Probe),
            ("aws-vpc", Proof::Probe),
            ("cilium", Proof::Attach),
            ("flannel", Proof::Attach),
            ("antrea", Proof::Attach),
        ] {
            assert_eq!(find(name).map(|profile| profile.proof), Some(proof), "{name}");
        }
        let bearing = |wanted: Secondary| -> Vec<&str> {
            all().iter().filter(|one| one.secondary == wanted).map(|one| one.name.as_str()).collect()
        };
        assert_eq!(bearing(Secondary::Works), ["cilium", "flannel"]);
        assert_eq!(bearing(Secondary::HostRoute), ["calico"]);
        let exclusive: Vec<_> =
            all().iter().filter(|profile| profile.exclusive.is_some()).map(|one| one.name.as_str()).collect();
        assert_eq!(exclusive, ["cilium"]);
        let startup = find("cilium").and_then(|profile| profile.startup_taint.clone()).expect("taint");
        assert_eq!(startup.to_string(), "node.cilium.io/agent-not-ready:NoExecute");
        let migrations: Vec<_> =
            all().iter().filter_map(|one| Some((one.name.as_str(), one.migration.as_ref()?))).collect();
        let [("cilium", migration)] = migrations.as_slice() else {
            panic!("{migrations:?}");
        };
        let (key, value) = &migration.label;
        assert_eq!(format!("{key}={value}"), "io.cilium.migration/cilium-default=true");
        let taint = migration.taint.as_ref().expect("taint");
        assert_eq!(taint.to_string(), "node.cilium.io/agent-not-ready:NoSchedule");
        let for_watch: Vec<_> = all()
            .iter()
            .filter(|profile| profile.probes.iter().any(Probe::is_for_watch))
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(for_watch, ["antrea", "aws-vpc"]);
    }
}
