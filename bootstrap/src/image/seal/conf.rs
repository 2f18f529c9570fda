//! Confs in the directories of runtimes and agents: of a network that is not there yet, a conf says that it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use convergence::image::seal::finding::SealFinding;
use convergence::node::conf::confdir::{ConfDir, ConfFile, Content};
use convergence::node::facts::NodeFacts;
use convergence::node::paths::{NODE_FILE, PRIVATE_CONF_DIR};
use shim::node::layout::{CONF_DIR, CONF_FILE, SETTINGS_DIRS};
use types::policy::Policy;
use types::profile::Profiles;

use super::secret;
use super::settings::PolicyState;
use super::tree::Item;
use crate::host::root::Root;
use crate::image::seal::finding;
use crate::node::conf::root_path;

const REMOVE: &str = "remove it; where it belongs to the image, name it in the policy as a network without profile, or allow it";

/// Looks through the directories that a runtime or an agent of this tree uses.
#[must_use]
pub(crate) fn findings(
    NodeFacts { root, runtime, profiles, .. }: &NodeFacts,
    policy: &PolicyState,
    conf_dir: &Path,
) -> Vec<SealFinding> {
    let root = &Root::new(root);
    let mut findings = Vec::new();
    let mut dirs = BTreeSet::from([PathBuf::from(CONF_DIR), conf_dir.to_path_buf()]);
    match runtime.problem() {
        None => dirs.extend(runtime.config().map(|config| config.agents_dir().to_path_buf())),
        // Where Crossfade is not installed, the usual directory has to do.
        Some(_) if *policy == PolicyState::Needless => {}
        Some(why) => findings.push(SealFinding::new_refusal(
            Path::new(SETTINGS_DIRS[2]).join(NODE_FILE),
            format!("where the runtime reads confs cannot be told: {why}"),
            "mend the runtime's configuration, or name it in node.json (runtime)",
        )),
    }
    for (_, network) in policy.get().into_iter().flat_map(Policy::networks) {
        dirs.extend(network.conf.iter().filter_map(|conf| conf.parent()).map(Path::to_path_buf));
    }
    // On tmpfs; what is there in a tree goes with the rest of /run/crossfade.
    dirs.remove(Path::new(PRIVATE_CONF_DIR));
    for dir in &dirs {
        match root.chase(dir).map(|real| root_path::conf_dir(root, &root.join(real), profiles)) {
            None => {}
            Some(Ok(confs)) => {
                findings.extend(judge(dir, &confs, (policy, profiles), &|path| Item::open(root, path)));
                // In the usual directory a rule finds it, in files that are no confs, too.
                if dir != Path::new(CONF_DIR) {
                    findings.extend(confs.confs.iter().filter_map(|conf| secret_of(dir, conf)));
                }
            }
            Some(Err(error)) => findings.push(SealFinding::new_refusal(
                dir,
                format!("a conf directory that cannot be listed: {error}"),
                "mend it, so that what is in it can be told",
            )),
        }
    }
    findings
}

/// A conf with a credential written into it.
fn secret_of(dir: &Path, conf: &ConfFile) -> Option<SealFinding> {
    let raw = conf.content.as_ref().ok()?.object.to_raw();
    let keys = secret::find(raw.get().as_bytes());
    let why = format!(
        "a conf with a credential written into it ({}): every node of this image, and everyone who can read the image, would have it",
        keys.join(", ")
    );
    let fix = "remove it: agents write theirs on every node; what the image brings has to do without";
    (!keys.is_empty()).then(|| SealFinding::new_refusal(dir.join(&conf.file), why, fix))
}

fn judge(
    dir: &Path,
    confs: &ConfDir,
    (policy, profiles): (&PolicyState, &Profiles),
    item: &dyn Fn(&Path) -> Option<Item>,
) -> Vec<SealFinding> {
    let mut findings = Vec::new();
    for conf in &confs.confs {
        let path = dir.join(&conf.file);
        let ours = conf.content.as_ref().is_ok_and(Content::is_ours);
        if ours && conf.file == CONF_FILE {
            let removed = item(&path).map(|item| {
                finding::removed(&item, "Crossfade's conf, which boot or watch writes when it is time")
            });
            findings.extend(removed);
        } else {
            findings.extend(
                foreign_conf_fault(&path, conf, policy, profiles)
                    .map(|(why, fix)| SealFinding::new_refusal(&path, why, fix)),
            );
        }
    }
    for file in &confs.taken_away {
        let path = dir.join(file);
        if file.starts_with(CONF_FILE) {
            let item = item(&path);
            findings.extend(item.map(|item| {
                finding::removed(&item, "Crossfade's conf, which an agent renamed on this machine")
            }));
        } else {
            findings.push(SealFinding::new_refusal(
                &path,
                "a conf that an agent on this machine renamed",
                "give it its name back if it belongs to the image, else remove it",
            ));
        }
    }
    findings
}

/// The fault of another program's conf, and its remedy; none where it may stay.
fn foreign_conf_fault(
    path: &Path,
    conf: &ConfFile,
    policy: &PolicyState,
    profiles: &Profiles,
) -> Option<(String, String)> {
    let refusal = |why: String| Some((why, REMOVE.to_owned()));
    let owner = conf.profile(profiles);
    let owner_name = owner.map_or_else(String::new, |profile| format!(" of {}", profile.name));
    if conf.content.as_ref().is_ok_and(Content::is_ours) {
        return refusal(format!("a conf with Crossfade's plugin whose name is not {CONF_FILE}"));
    }
    let named = policy.get().and_then(|policy| {
        policy
            .networks()
            .map(|(_, network)| network)
            .find(|network| network.conf.iter().any(|conf| conf == path))
    });
    match named {
        // A network without a profile is one that the image brings.
        Some(network) if profiles.find(&network.profile).is_some() => Some((
            format!(
                "a conf of {}, which its agent writes on every node: baked, the network counts as there before the agent is",
                network.profile
            ),
            "remove it".to_owned(),
        )),
        Some(_) => match &conf.content {
            Ok(_) => None,
            Err(why) => {
                Some((format!("the policy names it, and it cannot be used: {why}"), "mend it".to_owned()))
            }
        },
        None => match policy {
            PolicyState::Policy(_) => refusal(format!(
                "a conf{owner_name} that the policy does not name: a runtime without Crossfade takes it for the node's network"
            )),
            PolicyState::Needless => refusal(format!(
                "a conf{owner_name}: a runtime takes it for the node's network before any agent is there"
            )),
            // Once it can be read, it may name what no agent writes.
            PolicyState::Broken => {
                owner.and_then(|_| refusal(format!("a conf{owner_name}, and no policy names it")))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tree::ItemKind;
    use super::*;
    use convergence::image::seal::finding::Remedy;

    fn policy() -> PolicyState {
        let text = json!({"version":1,"attach":"new","networks":{
            "old":{"conf":["/etc/cni/net.d/20-static.conflist"]},
            "new":{"profile":"cilium","conf":["/etc/cni/net.d/05-cilium.conflist"]}}});
        PolicyState::Policy(Box::new(Policy::parse(text.to_string().as_bytes()).expect("valid")))
    }

    /// What is said of a directory with these confs (file, plugin; none cannot be read) and renamed ones.
    fn findings_of(
        confs: &[(&str, Option<&str>)],
        taken: &[&str],
        policy: &PolicyState,
    ) -> Vec<(String, String)> {
        let content = |plugin: &str| Content {
            name: "n".into(),
            types: vec![plugin.into()],
            object: types::json::raw::RawObject::parse(b"{}").expect("json"),
        };
        let dir = ConfDir {
            confs: confs
                .iter()
                .map(|(file, plugin)| ConfFile {
                    file: (*file).into(),
                    content: plugin.map(content).ok_or_else(|| "torn".into()),
                })
                .collect(),
            taken_away: taken.iter().map(|file| (*file).into()).collect(),
            ..ConfDir::default()
        };
        let item = |path: &Path| Some(Item { path: path.into(), real: path.into(), kind: ItemKind::File });
        let findings = judge(Path::new("/etc/cni/net.d"), &dir, (policy, Profiles::built_in()), &item);
        let line = |finding: SealFinding| {
            let word = if matches!(finding.fate, Remedy::Refuse(_)) { "refuse" } else { "remove" };
            let file = finding.what.file_name().expect("file").to_string_lossy().into_owned();
            (format!("{word} {file}"), finding.why)
        };
        findings.into_iter().map(line).collect()
    }

    #[test]
    fn only_a_static_network_that_the_policy_names_may_have_its_conf() {
        let policy = policy();
        for (file, plugin, with, without, broken) in [
            ("20-static.conflist", Some("bridge"), "", "refuse ", ""),
            ("05-cilium.conflist", Some("cilium-cni"), "refuse ", "refuse ", "refuse "),
            ("10-calico.conflist", Some("calico"), "refuse ", "refuse ", "refuse "),
            ("99-loopback.conf", Some("loopback"), "refuse ", "refuse ", ""),
            ("20-static.conflist", None, "refuse ", "refuse ", ""),
            ("01-crossfade.conflist", Some("crossfade"), "remove ", "remove ", "remove "),
            ("01-crossfade.conflist", Some("bridge"), "refuse ", "refuse ", ""),
            ("02-crossfade.conflist", Some("crossfade"), "refuse ", "refuse ", "refuse "),
        ] {
            for (policy, word) in
                [(&policy, with), (&PolicyState::Needless, without), (&PolicyState::Broken, broken)]
            {
                let expected = if word.is_empty() { vec![] } else { vec![format!("{word}{file}")] };
                let reasons: Vec<_> = findings_of(&[(file, plugin)], &[], policy)
                    .into_iter()
                    .map(|(reason, _)| reason)
                    .collect();
                assert_eq!(reasons, expected, "{file} {plugin:?} {policy:?}");
            }
        }
    }

    #[test]
    fn the_reason_names_whose_it_is() {
        let policy = policy();
        for (file, plugin, words) in [
            ("05-cilium.conflist", "cilium-cni", "a conf of cilium, which its agent writes on every node"),
            ("10-calico.conflist", "x", "a conf of calico that the policy does not name"),
            ("77-x.conflist", "calico", "a conf of calico that the policy does not name"),
            ("77-x.conflist", "bridge", "a conf that the policy does not name"),
        ] {
            let findings = findings_of(&[(file, Some(plugin))], &[], &policy);
            assert!(findings[0].1.starts_with(words), "{file}: {findings:?}");
        }
    }

    #[test]
    fn what_an_agent_renamed_is_crossfade_s_or_another_program_s() {
        let findings = findings_of(
            &[],
            &["01-crossfade.conflist.cilium_bak", "10-calico.conflist.cilium_bak"],
            &PolicyState::Needless,
        );
        let words: Vec<_> = findings.iter().map(|(reason, _)| reason.as_str()).collect();
        assert_eq!(
            words,
            ["remove 01-crossfade.conflist.cilium_bak", "refuse 10-calico.conflist.cilium_bak"]
        );
    }
}
