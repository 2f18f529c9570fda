//! What is to be said of the second network of pods: not every CNI bears being one.
//!
//! A pod on both networks has the primary's address in its status. A CNI that knows a pod by what it attached does not mind. One whose
//! agent follows the Pod's status treats the other network's address as its own.

use shim::policy::{Attach, Policy};

use crate::profile::{self, Profile, Secondary};

/// What a person should know before pods get this policy; one line for each second network that may not bear it. Pure.
#[must_use]
pub(super) fn warnings(policy: &Policy) -> Vec<String> {
    let rules = policy.rules.iter().map(|rule| rule.attach);
    let annotated = policy.pod_annotation.iter().flat_map(|annotation| annotation.allow.iter().copied());
    let attaches_both =
        std::iter::once(policy.attach).chain(rules).chain(annotated).any(|one| one == Attach::Both);
    let second = policy.both.primary.other();
    let network = policy.network(second).filter(|_| attaches_both);
    let profile = network.and_then(|network| profile::find(&network.profile));
    profile.and_then(|profile| warning(second.as_str(), profile)).into_iter().collect()
}

fn warning(network: &str, profile: &Profile) -> Option<String> {
    let name = &profile.name;
    match profile.secondary {
        Secondary::Works => None,
        Secondary::HostRoute => Some(format!(
            "network {network} ({name}) is the second one of pods on both, and its agent follows the Pod's status, which names the other \
             network's address: within minutes it drops the route to the pod's own address, and later gives that address away. Use phases \
             in which {name} is the primary, or go from one network to the other without pods on both (the strategy bridge)"
        )),
        Secondary::Refused => Some(format!(
            "network {network} ({name}) is the second one of pods on both, which nobody has tried with it: try it on one node, for longer than \
             its agents' passes take, before others get this policy"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_network_that_may_not_bear_it_is_named_wherever_pods_may_get_both() {
        for (attach, primary, more, old, told) in [
            ("both", "new", "", "calico", Some("follows the Pod's status")),
            ("both", "old", "", "calico", None),
            ("old", "new", "", "calico", None),
            ("old", "new", r#", "rules": [{"namespace": "a", "attach": "both"}]"#, "calico", Some("calico")),
            ("old", "new", r#", "podAnnotation": {"key": "k", "allow": ["both"]}"#, "calico", Some("calico")),
            ("both", "new", "", "flannel", None),
            ("both", "new", "", "azure", Some("nobody has tried")),
            ("both", "new", "", "generic", None),
            ("both", "new", "", "my-own", None),
        ] {
            let text = format!(
                r#"{{"version": 1, "attach": "{attach}", "both": {{"primary": "{primary}"}}, "networks": {{
                "old": {{"profile": "{old}", "conf": ["/o"]}}, "new": {{"profile": "cilium", "conf": ["/n"]}}}}{more}}}"#
            );
            let all = warnings(&Policy::parse(text.as_bytes()).expect(&text));
            assert_eq!(all.len(), usize::from(told.is_some()), "{text}: {all:?}");
            assert!(told.is_none_or(|words| all[0].contains(words)), "{text}: {all:?}");
        }
    }
}
