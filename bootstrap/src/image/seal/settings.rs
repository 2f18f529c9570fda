//! The image's policy and node.json, checked for a boot with them.

use std::path::{Path, PathBuf};

use convergence::image::seal::finding::SealFinding;
use convergence::node::facts::NodeFacts;
use convergence::node::paths::NODE_FILE;
use convergence::node::policy::file::PolicyFile;
use convergence::node::settings::Settings;
use shim::node::layout::{POLICY_FILE, SETTINGS_DIRS};
use types::node::Mode;
use types::policy::{Policy, Probe};

use super::tree::Item;
use crate::cli::Global;
use crate::host::root::Root;
use crate::node::facts::{ConfDirChoice, NodeQuery};
use crate::node::settings;

/// An administrator's, then the image's: those that a node finds when it boots. /run is empty then.
const KEPT: [&str; 2] = [SETTINGS_DIRS[0], SETTINGS_DIRS[2]];
const RUN: &str = SETTINGS_DIRS[1];
/// What tells that Crossfade is installed.
const BOOT_UNIT: &str = "/usr/lib/systemd/system/crossfade-boot.service";
/// What a header with a secret is called, or what its name holds.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "token", "api-key"];
const BAKE: &str = "write it to /usr/lib/crossfade (crossfade-bootstrap image bake)";

/// The policy, as far as it counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum PolicyState {
    Policy(Box<Policy>),
    /// It is missing or invalid, and a node would want it.
    Broken,
    /// No node of this image wants one.
    #[default]
    Needless,
}

impl PolicyState {
    /// The policy, where it is valid.
    #[must_use]
    pub(crate) const fn get(&self) -> Option<&Policy> {
        match self {
            Self::Policy(policy) => Some(policy),
            Self::Broken | Self::Needless => None,
        }
    }
}

/// What the settings of an image say, as far as they can be read.
#[derive(Debug)]
pub(crate) struct ImageSettings {
    /// A node of the image, as its first boot finds it.
    pub node: NodeFacts,
    pub policy: PolicyState,
    pub findings: Vec<SealFinding>,
    /// What a person may want to know.
    pub notes: Vec<String>,
}

impl ImageSettings {
    /// Looks at a tree, whose path is `global`'s root without a link on the way to it.
    #[must_use]
    pub(crate) fn gather(global: &Global) -> Self {
        let root = Root::new(&global.root);
        let mut findings = SettingsFindings::default();
        let settings = findings.node(&root);
        let wants_policy = settings.node.conf_dir != Mode::Without;
        let file = if wants_policy { findings.policy_file(&root, global.policy.as_deref()) } else { None };
        let runtime = crate::runtime::facts::gather_configured(&root, &settings.node);
        let global = &Global { policy: file.clone(), ..global.clone() };
        let node = crate::node::facts::gather(NodeQuery {
            global,
            settings,
            runtime,
            conf_dir: ConfDirChoice::OfAgents,
        })
        .with_usable_policy();
        let policy = match file {
            _ if !wants_policy => PolicyState::Needless,
            None => findings.without_policy(&root),
            Some(file) => findings.policy(&node, &file),
        };
        Self { node, policy, findings: findings.findings, notes: findings.notes }
    }
}

/// What is said of the settings.
#[derive(Debug, Default)]
struct SettingsFindings {
    findings: Vec<SealFinding>,
    notes: Vec<String>,
}

impl SettingsFindings {
    /// How the image's nodes take part. A file that cannot be used is a finding, and the rest is looked at by the usual settings.
    fn node(&mut self, root: &Root) -> Settings {
        self.places(root, NODE_FILE);
        match kept_path(root, NODE_FILE) {
            None if is_in_run(root, NODE_FILE) => self.findings.push(only_in_run(NODE_FILE)),
            None => self
                .notes
                .push(format!("no {NODE_FILE}: nodes take part in shared mode, without labels and taints")),
            Some(path) => match settings::read(&root.join(&path)) {
                Ok(node) => return Settings { node, file: Some(root.join(path)), unusable: None },
                Err(why) => self.findings.push(SealFinding::new_refusal(
                    &path,
                    why,
                    "mend it; every node of this image would be held back",
                )),
            },
        }
        Settings::default()
    }

    /// The policy that a node of the image finds; `named` is one that is named and not looked for.
    fn policy_file(&mut self, root: &Root, named: Option<&Path>) -> Option<PathBuf> {
        named.map(Path::to_path_buf).or_else(|| {
            self.places(root, POLICY_FILE);
            kept_path(root, POLICY_FILE)
        })
    }

    fn without_policy(&mut self, root: &Root) -> PolicyState {
        if is_in_run(root, POLICY_FILE) {
            self.findings.push(only_in_run(POLICY_FILE));
            return PolicyState::Broken;
        }
        if !is_installed(root) {
            self.notes.push("Crossfade is not installed, and there is no policy".into());
            return PolicyState::Needless;
        }
        self.findings.push(SealFinding::new_refusal(
            Path::new(KEPT[1]).join(POLICY_FILE),
            "Crossfade is installed, and there is no policy: every node of this image would be held back",
            format!("{BAKE}; allow this where user data brings the policy"),
        ));
        PolicyState::Broken
    }

    fn policy(&mut self, node: &NodeFacts, path: &Path) -> PolicyState {
        match &node.policy {
            Err(why) => {
                self.findings.push(SealFinding::new_refusal(
                    path,
                    why.what.as_str(),
                    "mend it (crossfade-bootstrap policy check FILE); every node of this image would be held back",
                ));
                PolicyState::Broken
            }
            Ok(PolicyFile { policy, .. }) => {
                self.findings.extend(secrets(path, policy));
                self.findings.extend(ready_already(policy, &|file| {
                    Item::open(&Root::new(&node.root), file).is_some()
                }));
                PolicyState::Policy(Box::new(policy.clone()))
            }
        }
    }

    /// What is wrong with the places of a file.
    fn places(&mut self, root: &Root, file: &str) {
        let path = |dir: &str| Path::new(dir).join(file);
        let [etc, usr] = KEPT.map(path);
        let item = |path: &Path| root.chase(path).and_then(|real| Item::open(root, &real));
        let bytes = |path: &Path| item(path).and_then(|item| item.read().ok());
        match (bytes(&etc), bytes(&usr)) {
            (Some(etc), Some(usr)) if etc == usr => {
                self.notes.push(format!("{}/{file} says what the image's says, and wins over it", KEPT[0]));
            }
            (Some(_), Some(_)) => self.findings.push(SealFinding::new_refusal(
                &etc,
                format!("it hides the image's {}, which says something else", usr.display()),
                "remove one of the two",
            )),
            _ => {}
        }
    }
}

fn is_in_run(root: &Root, file: &str) -> bool {
    Item::open(root, &Path::new(RUN).join(file)).is_some()
}

fn only_in_run(file: &str) -> SealFinding {
    let why = format!("{file} is in {RUN} alone, which is empty when a node boots");
    SealFinding::new_refusal(Path::new(KEPT[1]).join(file), why, BAKE)
}

/// The file that a node of the image finds; a dangling link counts, as it does there.
fn kept_path(root: &Root, file: &str) -> Option<PathBuf> {
    let mut places = KEPT.iter().map(|dir| Path::new(dir).join(file));
    places.find(|place| Item::open(root, place).is_some())
}

fn is_installed(root: &Root) -> bool {
    [shim::node::layout::PACKAGED_PLUGIN, BOOT_UNIT]
        .iter()
        .any(|path| Item::open(root, Path::new(path)).is_some())
}

/// Headers of probes that hold a secret.
fn secrets(path: &Path, policy: &Policy) -> Vec<SealFinding> {
    let headers =
        policy.networks().flat_map(|(_, network)| network.probes()).filter_map(|probe| match probe {
            Probe::Http { headers, .. } => Some(headers),
            Probe::Unix(_) | Probe::File(_) => None,
        });
    let names = headers.flatten().map(|(name, _)| name);
    let secret = names.filter(|name| {
        let name = name.to_ascii_lowercase();
        SECRET_HEADERS.iter().any(|word| name.contains(word))
    });
    secret
        .map(|name| {
            SealFinding::new_refusal(
                path,
                format!(
                    "the header {name} of a probe holds a secret: everyone who can read the image would have it"
                ),
                "ask the agent something that needs none",
            )
        })
        .collect()
}

/// Files that say that a network is ready, in an image, where none is.
fn ready_already(policy: &Policy, exists: &dyn Fn(&Path) -> bool) -> Vec<SealFinding> {
    let probes =
        policy.networks().flat_map(|(side, network)| network.probes().iter().map(move |probe| (side, probe)));
    let files = probes.filter_map(|(side, probe)| match probe {
        Probe::File(file) => Some((side, file)),
        Probe::Unix(_) | Probe::Http { .. } => None,
    });
    files
        .filter(|(_, file)| !file.starts_with("/run") && !file.starts_with("/var/run") && exists(file))
        .map(|(side, file)| {
            SealFinding::new_refusal(
                file,
                format!("the policy takes it for the sign that the network {side} is ready: pods would start before it is"),
                "remove it",
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(ready: &str) -> Policy {
        let text = format!(
            r#"{{"version":1,"attach":"new","networks":{{"new":{{"conf":["/n"],"ready":[{ready}]}}}}}}"#
        );
        Policy::parse(text.as_bytes()).expect("valid")
    }

    #[test]
    fn a_header_with_a_secret_is_told_by_its_name() {
        for (name, expected) in [
            ("Authorization", true),
            ("X-Auth-Token", true),
            ("Cookie", true),
            ("brief", false),
            ("Accept", false),
        ] {
            let policy = policy(&format!(r#"{{"http":"127.0.0.1:1/x","headers":{{"{name}":"canary"}}}}"#));
            let findings = secrets(Path::new("/p"), &policy);
            assert_eq!(findings.len(), usize::from(expected), "{name}");
            assert!(
                findings.iter().all(|finding| finding.why.contains(name) && !finding.why.contains("canary"))
            );
        }
    }

    #[test]
    fn a_file_that_says_ready_is_told_unless_the_next_boot_empties_its_place() {
        let exists = |_: &Path| true;
        for (file, expected) in
            [("/var/lib/calico/nodename", 1), ("/run/flannel/subnet.env", 0), ("/var/run/x", 0)]
        {
            let policy = policy(&format!(r#"{{"file":"{file}"}}"#));
            assert_eq!(ready_already(&policy, &exists).len(), expected, "{file}");
        }
    }
}
