//! The payload in a pod, read before the node is entered.

use std::fs::File;
use std::path::Path;

use convergence::commands::install::payload::{Item, PayloadKind};
use convergence::failure::Failure;
use convergence::node::digest;
use convergence::node::paths::NODE_FILE;
use convergence::node::policy::{completion, secondary};
use shim::host::file::read_bounded;
use shim::node::layout::{PACKAGED_PLUGIN, POLICY_FILE, SETTINGS_DIRS};
use types::command::exit::Exit;
use types::command::problem::{Problem, Subject};
use types::node::Node;
use types::profile::Profiles;

use crate::cli::Install;

/// Largest file that a pod brings, in bytes: a program.
const MAX_BYTES: usize = 64 << 20;

/// The files of the package that a pod brings, with their modes: the programs, and the units that run `boot` and `watch`.
///
/// The drop-ins of kubelet and of the runtime are not among them, nor is the generator. A node that was not made with Crossfade must not
/// depend on Crossfade at the next start of its kubelet, because no pod could repair that. These files serve nodes that boot in private
/// mode or register with labels and taints, and a running node has done both.
const PACKAGE: [(&str, u32); 7] = [
    ("/usr/bin/crossfade-bootstrap", 0o755),
    (PACKAGED_PLUGIN, 0o755),
    ("/usr/lib/systemd/system/crossfade-boot.service", 0o644),
    ("/usr/lib/systemd/system/crossfade-watch.service", 0o644),
    ("/usr/lib/systemd/system/crossfade-retract.service", 0o644),
    ("/usr/lib/systemd/system-preset/80-crossfade.preset", 0o644),
    ("/usr/lib/tmpfiles.d/crossfade.conf", 0o644),
];

/// Everything that the pod brings to the node.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// The files that the pod brings.
    pub items: Vec<Item>,
    /// Whether units are among the files.
    pub units: bool,
}

impl Load {
    /// Reads what the command line asks for.
    ///
    /// # Errors
    /// Bad settings: policy or node.json are not valid, or there is neither; or a file of the image is missing.
    pub(crate) fn read(args: &Install, profiles: &Profiles) -> Result<Self, Failure> {
        let mut load = Self { items: Vec::new(), units: args.units };
        if let Some(dir) = &args.bring {
            load.items.extend(settings(dir, profiles)?);
        }
        if args.units {
            for (path, mode) in PACKAGE {
                load.items.push(program(Path::new(path), mode)?);
            }
        }
        Ok(load)
    }
}

fn program(path: &Path, mode: u32) -> Result<Item, Failure> {
    let bytes =
        read(path).and_then(|bytes| bytes.ok_or_else(|| "it is not there".into())).map_err(|why| {
            Failure::new(Exit::Failed, format!("{} of this image: {why}", path.display()))
                .with_place(path.display())
        })?;
    Ok(Item { path: path.into(), source: digest::sha256(&bytes), bytes, mode, kind: PayloadKind::Program })
}

/// Owner and mode of the directory do not matter, as they do for the node's own: the caller who names it decides what is in it.
fn settings(dir: &Path, profiles: &Profiles) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    let mut findings: Vec<Problem> = Vec::new();
    let named = |from: &Path, why: String| {
        let place = from.display().to_string();
        let subject = if from.ends_with(POLICY_FILE) { Subject::Policy } else { Subject::Other };
        Problem::new(format!("{place}: {why}")).with_place(place).with_subject(subject)
    };
    for name in [POLICY_FILE, NODE_FILE] {
        let complete = |bytes: &[u8]| if name == POLICY_FILE { policy(bytes, profiles) } else { node(bytes) };
        let from = dir.join(name);
        match read(&from) {
            Ok(None) => {}
            Ok(Some(bytes)) => match complete(&bytes) {
                Ok(written) => items.push(Item {
                    path: Path::new(SETTINGS_DIRS[0]).join(name),
                    source: digest::sha256(&bytes),
                    bytes: written,
                    mode: 0o644,
                    kind: PayloadKind::Setting,
                }),
                Err(why) => findings.push(named(&from, why)),
            },
            Err(why) => findings.push(named(&from, why)),
        }
    }
    if items.is_empty() && findings.is_empty() {
        let what = format!("--bring {}: expected {POLICY_FILE} there, or {NODE_FILE}", dir.display());
        let fix = format!("put {POLICY_FILE} or {NODE_FILE} into the directory, or name another one");
        findings.push(Problem::new(what).with_place(dir.display().to_string()).fix(fix));
    }
    if findings.is_empty() { Ok(items) } else { Err(Failure::all(Exit::BadSettings, findings)) }
}

/// With the profiles' probes in it, as installing would leave it: what is written is then what is found the next time.
fn policy(bytes: &[u8], profiles: &Profiles) -> Result<Vec<u8>, String> {
    secondary::parse(bytes, profiles)?;
    Ok(completion::complete(bytes, profiles)?.map_or_else(|| bytes.to_vec(), |completed| completed.bytes))
}

fn node(bytes: &[u8]) -> Result<Vec<u8>, String> {
    Node::parse(bytes).map(|_| bytes.to_vec())
}

/// A file's bytes; none where it is absent. Links are followed: a ConfigMap's files are some.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match File::open(path) {
        Ok(mut file) => read_bounded(&mut file, MAX_BYTES).map(Some).map_err(|e| e.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_held_to_their_rules_before_the_node_sees_them() {
        let policy = r#"{"version":1,"networks":{"old":{"profile":"calico","conf":["/o"]}},"attach":"old"}"#;
        for (policy, node, expected) in [
            (Some(policy), None, Ok(1)),
            (Some(policy), Some(r#"{"version":1}"#), Ok(2)),
            (None, Some(r#"{"version":1}"#), Ok(1)),
            (None, None, Err("expected policy.json")),
            (Some("{"), Some(r#"{"version":1}"#), Err("policy.json: ")),
            (Some(policy), Some(r#"{"version":1,"confdir":"shared"}"#), Err("node.json: ")),
        ] {
            let dir = tempfile::tempdir().expect("scratch");
            for (name, text) in [("policy.json", policy), ("node.json", node)] {
                if let Some(text) = text {
                    std::fs::write(dir.path().join(name), text).expect("file");
                }
            }
            match (settings(dir.path(), Profiles::built_in()), expected) {
                (Ok(items), Ok(count)) => {
                    assert_eq!(items.len(), count);
                    assert!(items.iter().all(|item| item.path.starts_with("/etc/crossfade")));
                }
                (Err(failure), Err(word)) => {
                    assert!(failure.lines()[0].contains(word), "{failure:?}");
                }
                (settings, expected) => panic!("{settings:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn a_policy_is_brought_with_its_probes_and_remembered_without() {
        let dir = tempfile::tempdir().expect("scratch");
        let text = r#"{"version":1,"networks":{"old":{"profile":"calico","conf":["/o"]}},"attach":"old"}"#;
        std::fs::write(dir.path().join("policy.json"), text).expect("file");
        let items = settings(dir.path(), Profiles::built_in()).expect("valid");
        assert_eq!(items[0].source, digest::sha256(text.as_bytes()));
        assert!(String::from_utf8_lossy(&items[0].bytes).contains("nodename"));
        assert_eq!(
            policy(&items[0].bytes, Profiles::built_in()).expect("valid"),
            items[0].bytes,
            "a second time changes nothing"
        );
    }
}
