//! The second network of a pod on both, and what it bears.
//!
//! The address in a Pod's status is the primary's. A CNI that knows a pod by what it attached does not mind; one whose agent follows
//! the Pod's status takes the other network's address for its own.

use serde::{Deserialize, Serialize};

use super::{Attach, Network, Policy, Side};

/// What a CNI bears as the second network of a pod.
///
/// *Shape*: `works`, `hostRoute` or `refused`, in a policy's networks and in profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Secondary {
    /// It knows a pod by what it attached.
    Works,
    /// Its agent follows the Pod's status; the node routes the pod's address of this network to its interface instead.
    HostRoute,
    /// It must not be the second network: it does not bear it, or that was never tried.
    Refused,
}

impl Secondary {
    /// As in the policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::HostRoute => "hostRoute",
            Self::Refused => "refused",
        }
    }
}

/// What a CNI bears of pods that run.
///
/// *Shape*: `works` or `refused`, in a policy's networks and in profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Join {
    /// It can join a pod that runs, and leave one.
    Works,
    /// It must not: it does not bear it, or that was never tried. Its pods are restarted.
    #[default]
    Refused,
}

/// The network that is second in pods on both, where a pod may get both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Second<'a> {
    /// Whether it is the old network or the new one.
    pub side: Side,
    /// The same, as the policy describes it.
    pub network: &'a Network,
    /// The key by which a pod may get both: `attach`, `rules[2].attach` or `podAnnotation.allow`.
    pub key: String,
}

impl Policy {
    /// The second network of pods on both; none where no pod gets both. Pure.
    #[must_use]
    pub fn second_network(&self) -> Option<Second<'_>> {
        let key = self.attaches_both()?;
        let side = self.both.primary().other();
        self.network(side).map(|network| Second { side, network, key })
    }

    /// The key by which a pod may get both networks, the one that most pods get it by first.
    fn attaches_both(&self) -> Option<String> {
        if self.attach == Attach::Both {
            return Some("attach".into());
        }
        if let Some(index) = self.rules.iter().position(|rule| rule.attach == Attach::Both) {
            return Some(format!("rules[{index}].attach"));
        }
        let allows = self.pod_annotation.as_ref().is_some_and(|ours| ours.allow.contains(&Attach::Both));
        allows.then(|| "podAnnotation.allow".into())
    }

    /// Refuses a policy under which pods get a second network that must not be one, by what `bears` knows of it.
    ///
    /// # Errors
    /// One line that names the key, the network and the ways on.
    pub fn refuse_second(&self, bears: impl Fn(&Network) -> Option<Secondary>) -> Result<(), String> {
        let Some(second) = self.second_network() else { return Ok(()) };
        if bears(second.network) != Some(Secondary::Refused) {
            return Ok(());
        }
        let Second { side, network, key } = second;
        let (profile, primary) = (&network.profile, side.other());
        Err(format!(
            "{key}: pods on both networks have {primary} as primary and {side} ({profile}) as the second, which {side} must not be: it does \
             not bear that, or it was not tried. Go from one network to the other without pods on both, make {side} the primary, or, \
             after trying it on one node for longer than the agents' passes take, write \"secondary\": \"works\" into networks.{side}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(attach: &str, primary: &str, secondary: &str, more: &str) -> Result<Policy, String> {
        let text = format!(
            r#"{{"version": 1, "attach": "{attach}", "both": {{"primary": "{primary}"}}, "networks": {{
            "old": {{"conf": ["/o"], "secondary": "{secondary}"}}, "new": {{"conf": ["/n"]}}}}{more}}}"#
        );
        Policy::parse(text.as_bytes())
    }

    #[test]
    fn a_network_that_must_not_be_second_is_refused_wherever_a_pod_may_get_both() {
        let rule =
            r#", "rules": [{"namespace": "a", "attach": "new"}, {"namespace": "b", "attach": "both"}]"#;
        let annotation = r#", "podAnnotation": {"key": "k", "allow": ["old", "both"]}"#;
        for (attach, primary, more, expected) in [
            ("both", "new", "", Some("attach: ")),
            ("both", "old", "", None),
            ("old", "new", "", None),
            ("old", "new", rule, Some("rules[1].attach: ")),
            ("old", "new", annotation, Some("podAnnotation.allow: ")),
            ("old", "old", annotation, None),
        ] {
            match (policy(attach, primary, "refused", more), expected) {
                (Ok(_), None) => {}
                (Err(why), Some(expected)) => {
                    assert!(why.starts_with(expected) && why.contains("networks.old"), "{why}");
                }
                (parsed, expected) => {
                    panic!("{attach} {primary} {more}: expected {expected:?}, found {parsed:?}")
                }
            }
            for bears in ["works", "hostRoute"] {
                let second = policy(attach, primary, bears, more).expect("valid");
                assert_eq!(second.second_network().is_some(), attach == "both" || !more.is_empty());
            }
        }
    }

    #[test]
    fn a_flip_to_a_phase_in_which_it_would_be_second_is_refused() {
        let text = br#"{"version": 1, "attach": "old", "networks": {
            "old": {"conf": ["/o"], "secondary": "refused"}, "new": {"conf": ["/n"]}}}"#;
        assert!(Policy::flip(text, super::super::Phase::BothOld).is_ok());
        let why = Policy::flip(text, super::super::Phase::BothNew).expect_err("refused");
        assert!(why.contains("networks.old"), "{why}");
    }

    #[test]
    fn what_it_bears_is_one_of_three_words() {
        let why = policy("old", "old", "maybe", "").expect_err("no such word");
        assert!(
            why.contains("networks.old.secondary") && why.contains("works, hostRoute or refused"),
            "{why}"
        );
    }
}
