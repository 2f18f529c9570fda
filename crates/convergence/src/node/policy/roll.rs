//! The facts about a node's policy that a cluster-wide roll needs: the digest that other nodes share, and the phases that it may ask for.

use types::node::{DesiredSource, Node};
use types::policy::{Phase, Policy, Side};
use types::profile::Profiles;

use crate::node::digest;
use crate::node::policy::file::PolicyFile;
use crate::node::policy::join::joining;
use crate::node::policy::{completion, flip};

/// SHA-256 of the policy without its phase and its probes, in hex; see [`Policy::base_bytes`].
///
/// A flip may write what the profiles say of a second network into the policy. That is the same policy, so the base is that of the completed one.
#[must_use]
pub fn base(file: &PolicyFile, profiles: &Profiles) -> String {
    let completed = completion::with_secondary(&file.bytes, profiles).ok().flatten();
    let completed = completed.and_then(|completed| Policy::parse(&completed.bytes).ok());
    digest::sha256(&completed.as_ref().unwrap_or(&file.policy).base_bytes())
}

/// The phases to which the node would flip if `crossfade/desired` asked for them, and the one that it is in: those that node.json allows and that
/// the policy has. None if node.json does not follow the annotation, or reports nothing, so that no roll reads it.
#[must_use]
pub fn followed_phases(settings: &Node, file: Option<&PolicyFile>, profiles: &Profiles) -> Vec<Phase> {
    let is_led = settings.desired == DesiredSource::NodeAnnotation && settings.report.node;
    let Some(file) = file.filter(|_| is_led) else { return Vec::new() };
    let has =
        |phase: Phase| phase == file.policy.phase() || flip::allows(&file.bytes, phase, profiles).is_ok();
    Phase::ALL.into_iter().filter(|phase| settings.allowed.contains(phase) && has(*phase)).collect()
}

/// The networks that join and leave pods that run when the node follows `crossfade/desired`. None if node.json does not allow it, does not follow the
/// annotation, or reports nothing.
#[must_use]
pub fn joined_networks(settings: &Node, file: Option<&PolicyFile>, profiles: &Profiles) -> Vec<Side> {
    let is_led =
        settings.desired == DesiredSource::NodeAnnotation && settings.report.node && settings.join_pods;
    file.filter(|_| is_led).map(|file| joining(&file.policy, profiles)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn file(policy: &Value) -> PolicyFile {
        let bytes = policy.to_string().into_bytes();
        let policy = Policy::parse(&bytes).expect("valid");
        PolicyFile { path: "/p".into(), policy, sha256: digest::sha256(&bytes), bytes }
    }

    fn base_of(policy: &Value) -> String {
        base(&file(policy), Profiles::built_in())
    }

    fn both(old: &str, new: &str) -> Value {
        json!({"version": 1, "attach": "old", "networks": {
            "old": {"conf": ["/o"], "profile": old}, "new": {"conf": ["/n"], "profile": new}}})
    }

    #[test]
    fn a_flip_and_a_completed_policy_have_the_same_base_and_another_policy_has_not() {
        let written = both("calico", "cilium");
        let expected = base_of(&written);
        assert_eq!(expected.len(), 64);
        let completed = completion::complete(written.to_string().as_bytes(), Profiles::built_in())
            .expect("valid")
            .expect("lacks");
        for phase in Phase::ALL {
            let flipped =
                flip::flip(written.to_string().as_bytes(), phase, Profiles::built_in()).expect("flip");
            let flipped: Value = serde_json::from_slice(&flipped).expect("JSON");
            assert_eq!(base_of(&flipped), expected, "{phase}");
        }
        let completed: Value = serde_json::from_slice(&completed.bytes).expect("JSON");
        assert!(completed["networks"]["old"]["secondary"] == "hostRoute", "{completed}");
        assert_eq!(base_of(&completed), expected, "with probes");
        for (key, value) in [
            ("/networks/old/conf", json!(["/o2"])),
            ("/networks/old/profile", json!("flannel")),
            ("/networks/new/profile", json!("antrea")),
        ] {
            let mut other = written.clone();
            *other.pointer_mut(key).expect("there") = value;
            assert_ne!(base_of(&other), expected, "{key}");
        }
        let mut other = written;
        other["networks"]["old"]["secondary"] = json!("works");
        assert_ne!(base_of(&other), expected, "what the policy says against the profile");
    }

    #[test]
    fn a_node_follows_to_what_node_json_allows_and_the_policy_has() {
        use Phase::{BothNew, BothOld, New, Old};
        let all = Phase::ALL.to_vec();
        let led = |allowed: &[Phase]| Node {
            desired: DesiredSource::NodeAnnotation,
            allowed: allowed.into(),
            ..Node::default()
        };
        let mut unreported = led(&all);
        unreported.report.node = false;
        let single = json!({"version": 1, "attach": "new", "networks": {"new": {"conf": ["/n"]}}});
        let tolerant = json!({"version": 1, "attach": "both", "both": {"primary": "old", "defaultRoute": "old", "secondaryFailure": "tolerate"},
            "networks": {"old": {"conf": ["/o"], "profile": "flannel"}, "new": {"conf": ["/n"], "profile": "cilium"}}});
        let mut stuck = both("azure", "cilium");
        stuck["attach"] = json!("both");
        stuck["both"] = json!({"primary": "new"});
        for (what, settings, policy, expected) in [
            ("everything", led(&all), Some(both("flannel", "cilium")), all.clone()),
            (
                "in the order of a migration",
                led(&[New, Old]),
                Some(both("flannel", "cilium")),
                vec![Old, New],
            ),
            ("what is not allowed", led(&[BothOld]), Some(both("flannel", "cilium")), vec![BothOld]),
            (
                "an old network that cannot be second",
                led(&all),
                Some(both("azure", "cilium")),
                vec![Old, BothOld, New],
            ),
            ("the same, in that phase already", led(&all), Some(stuck), all.clone()),
            ("no old network", led(&all), Some(single), vec![New]),
            ("a route that the rest forbids", led(&all), Some(tolerant), vec![Old, BothOld, New]),
            ("no policy", led(&all), None, vec![]),
            (
                "not led",
                Node { allowed: all.clone(), ..Node::default() },
                Some(both("flannel", "cilium")),
                vec![],
            ),
            ("not reported", unreported, Some(both("flannel", "cilium")), vec![]),
        ] {
            let file = policy.as_ref().map(file);
            assert_eq!(followed_phases(&settings, file.as_ref(), Profiles::built_in()), expected, "{what}");
        }
        assert!(!all.is_empty() && BothNew > BothOld);
    }

    #[test]
    fn networks_join_where_node_json_and_their_profiles_allow_it() {
        let led = Node {
            desired: DesiredSource::NodeAnnotation,
            allowed: Phase::ALL.into(),
            join_pods: true,
            ..Node::default()
        };
        let mut unreported = led.clone();
        unreported.report.node = false;
        let file_of = |old: &str| Some(file(&both(old, "cilium")));
        for (what, settings, file, expected) in [
            ("both", led.clone(), file_of("flannel"), Side::BOTH.to_vec()),
            ("an old network that cannot", led.clone(), file_of("calico"), vec![Side::New]),
            ("no policy", led.clone(), None, vec![]),
            ("not allowed", Node { join_pods: false, ..led.clone() }, file_of("flannel"), vec![]),
            ("not led", Node { desired: DesiredSource::Off, ..led }, file_of("flannel"), vec![]),
            ("not reported", unreported, file_of("flannel"), vec![]),
        ] {
            assert_eq!(joined_networks(&settings, file.as_ref(), Profiles::built_in()), expected, "{what}");
        }
    }
}
