//! The rule for networks that join and leave pods that run: not every CNI can. What the policy says of a network counts before its profile; a CNI of
//! which neither says anything was never tried.

use types::policy::{Join, Policy, Side};
use types::profile::Profiles;

/// The networks of the policy that can join a pod that runs, and leave one.
#[must_use]
pub fn joining(policy: &Policy, profiles: &Profiles) -> Vec<Side> {
    let can = |network: &types::policy::Network| {
        let profile_join = || profiles.find(&network.profile).map_or(Join::Refused, |profile| profile.join);
        network.join.unwrap_or_else(profile_join) == Join::Works
    };
    policy.networks().filter(|(_, network)| can(network)).map(|(side, _)| side).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_policy_says_counts_before_the_profile_and_an_untried_network_cannot_join() {
        for (keys, can) in [
            (r#""profile": "flannel""#, true),
            (r#""profile": "flannel", "join": "refused""#, false),
            (r#""profile": "calico""#, false),
            (r#""profile": "calico", "join": "works""#, true),
            (r#""profile": "my-own""#, false),
            (r#""join": "works""#, true),
            (r#""cidrs": []"#, false),
        ] {
            let text = format!(
                r#"{{"version": 1, "attach": "old", "networks": {{"old": {{"conf": ["/o"], {keys}}}}}}}"#
            );
            let policy = Policy::parse(text.as_bytes()).expect(&text);
            let expected = if can { vec![Side::Old] } else { Vec::new() };
            assert_eq!(joining(&policy, Profiles::built_in()), expected, "{keys}");
        }
    }
}
