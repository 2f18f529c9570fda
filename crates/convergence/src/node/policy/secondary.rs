//! The rule for the second network of pods on both: not every CNI can be one.
//!
//! A pod on both networks has the primary's address in its status. A CNI that knows a pod by what it attached does not mind. One whose
//! agent follows the Pod's status takes the other network's address for its own; then the node routes the pod's real one
//! (`shim::attachment::hostroute`), and what a route cannot mend is said here. What the policy says of a network counts before its profile; a CNI
//! of which neither says anything was never tried.

use types::policy::{Network, Policy, Second, Secondary, Side};
use types::profile::{GENERIC, Profiles};

/// What a network bears as the second one of a pod.
#[must_use]
pub fn bears(network: &Network, profiles: &Profiles) -> Secondary {
    let secondary =
        || profiles.find(&network.profile).map_or(Secondary::Refused, |profile| profile.secondary);
    network.secondary.unwrap_or_else(secondary)
}

/// Refuses a policy that gives pods a second network which does not bear it.
///
/// # Errors
/// One line that names the key, the network and the ways on.
pub fn refuse(policy: &Policy, profiles: &Profiles) -> Result<(), String> {
    policy.refuse_second(|network| Some(bears(network, profiles)))
}

/// Parses a policy from bytes and holds it to the rules of [`require_usable`].
///
/// # Errors
/// Why it is not valid, or as [`require_usable`].
pub fn parse(bytes: &[u8], profiles: &Profiles) -> Result<Policy, String> {
    let policy = Policy::parse(bytes)?;
    require_usable(&policy, profiles)?;
    Ok(policy)
}

/// Refuses a valid policy that must not be in force on a node: it names a CNI without a profile, or gives pods a second network that does
/// not bear it.
///
/// # Errors
/// One line that names the key.
pub fn require_usable(policy: &Policy, profiles: &Profiles) -> Result<(), String> {
    profiles.refuse_unknown(policy)?;
    refuse(policy, profiles)
}

/// What a person should know before pods get this policy: what a route cannot mend for its second network, and that it is refused where
/// it is in use all the same.
#[must_use]
pub fn warnings(policy: &Policy, profiles: &Profiles) -> Vec<String> {
    let Some(Second { side, network, .. }) = policy.second_network() else { return Vec::new() };
    let name = if network.profile == GENERIC { "generic" } else { &network.profile };
    match bears(network, profiles) {
        Secondary::Works => Vec::new(),
        Secondary::Refused => refuse(policy, profiles).err().into_iter().collect(),
        Secondary::HostRoute => unwritten_reason(side, network).into_iter().chain([
            format!(
                "network {side} ({name}) is the second one of pods on both, and what collects its leaked addresses goes by the Pods' status, \
                 which names the other network's: it would give the address of a living pod away. Switch that off until no pod is on both \
                 (Calico: leakGracePeriod 0s in the KubeControllersConfiguration default), and look that it stays off"
            ),
            format!(
                "network {side} ({name}) knows pods by the addresses in their status: its network policies do not know the pods' addresses of \
                 its own network while it is the second one, so what they allow between these is denied"
            ),
        ])
        .collect(),
    }
}

/// Warns of a policy without `secondary`: the shim reads only the policy, and no profile.
fn unwritten_reason(side: Side, network: &Network) -> Option<String> {
    let why = format!(
        "networks.{side} does not say \"secondary\": \"hostRoute\", so its pods get no host routes: policy set, install and boot write it"
    );
    network.secondary.is_none().then_some(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(attach: &str, primary: &str, old: &str, more: &str) -> Policy {
        let text = format!(
            r#"{{"version": 1, "attach": "{attach}", "both": {{"primary": "{primary}"}}, "networks": {{
            "old": {{"conf": ["/o"], {old}}}, "new": {{"profile": "cilium", "conf": ["/n"]}}}}{more}}}"#
        );
        Policy::parse(text.as_bytes()).expect(&text)
    }

    #[test]
    fn what_the_policy_says_counts_before_the_profile_and_an_untried_network_is_refused() {
        for (old, refused) in [
            (r#""profile": "azure""#, true),
            (r#""profile": "azure", "secondary": "works""#, false),
            (r#""profile": "azure", "secondary": "hostRoute""#, false),
            (r#""profile": "flannel""#, false),
            (r#""profile": "calico""#, false),
            (r#""profile": "generic""#, true),
            (r#""profile": "my-own""#, true),
            (r#""profile": "my-own", "secondary": "works""#, false),
            (r#""profile": "generic", "secondary": "works""#, false),
        ] {
            let why = refuse(&policy("both", "new", old, ""), Profiles::built_in()).err();
            assert_eq!(why.is_some(), refused, "{old}: {why:?}");
            assert!(why.is_none_or(|why| why.contains("\"secondary\": \"works\"")), "the way on is named");
            for (attach, primary) in [("both", "old"), ("old", "new"), ("new", "new")] {
                assert!(
                    refuse(&policy(attach, primary, old, ""), Profiles::built_in()).is_ok(),
                    "{attach} {primary}: {old}"
                );
            }
        }
        let annotation = r#", "podAnnotation": {"key": "k", "allow": ["both"]}"#;
        let policy = policy("old", "new", r#""profile": "azure""#, annotation);
        let why = refuse(&policy, Profiles::built_in()).expect_err("refused");
        assert!(why.starts_with("podAnnotation.allow"), "{why}");
    }

    #[test]
    fn what_a_route_cannot_mend_is_said_where_pods_may_get_both() {
        for (attach, primary, old, output) in [
            ("both", "new", "calico", Some("leakGracePeriod")),
            ("both", "old", "calico", None),
            ("old", "new", "calico", None),
            ("both", "new", "flannel", None),
            ("both", "new", "azure", Some("must not be")),
        ] {
            let policy = policy(attach, primary, &format!(r#""profile": "{old}""#), "");
            let all = warnings(&policy, Profiles::built_in()).join("\n");
            assert_eq!(output.is_some(), !all.is_empty(), "{attach} {primary} {old}: {all}");
            assert!(output.is_none_or(|words| all.contains(words)), "{all}");
        }
    }
}
