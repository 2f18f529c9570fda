//! The choice of the networks that one pod gets.

use super::{Attach, Policy};
use crate::pod::Pod;
use crate::text::glob;

/// The part of the policy, or of the pod, that decided which networks the pod gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The policy's `attach`, because nothing more special applies.
    Default,
    /// The rule at this index of `rules`, counted from 0.
    Rule(usize),
    /// The pod's annotation.
    Annotation,
}

/// The decision for one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The networks that the pod gets.
    pub attach: Attach,
    /// What decided so.
    pub reason: Reason,
    /// The value of an annotation that the policy does not allow, for a warning.
    pub ignored_annotation: Option<String>,
}

/// The namespace of the agents that `kubectl crossfade probe` brings.
pub const PROBE_NAMESPACE: &str = "crossfade-probe";

/// The annotation of a pod that is restarted where a network could join or leave it while it runs. Its value is `true`.
pub const RESTART: &str = "crossfade/restart";

impl Policy {
    /// Whether the policy or the pod's annotation [`RESTART`] says that the pod is to be restarted where a network could join or leave it.
    #[must_use]
    pub fn restarts(&self, pod: &Pod, annotation: impl FnOnce(&str) -> Option<String>) -> bool {
        let is_named = self.pods.restart.iter().any(|pattern| names(&pattern.namespace, &pattern.pod, pod));
        is_named || annotation(RESTART).is_some_and(|value| value == "true")
    }

    /// Chooses for `pod`; `annotation` looks a key up among the annotations that the runtime passed.
    ///
    /// | annotation | first matching rule | the pod gets |
    /// |---|---|---|
    /// | an allowed value | any | the annotation's |
    /// | another value | a rule | the rule's, with a warning |
    /// | another value | none | `attach`, with a warning |
    /// | none | a rule | the rule's |
    /// | none | none | `attach` |
    #[must_use]
    pub fn choose(&self, pod: &Pod, annotation: impl FnOnce(&str) -> Option<String>) -> Choice {
        let matching = self.rules.iter().position(|rule| names(&rule.namespace, &rule.pod, pod));
        let (attach, reason) = matching
            .map_or((self.attach, Reason::Default), |index| (self.rules[index].attach, Reason::Rule(index)));
        let Some(ours) = &self.pod_annotation else {
            return Choice { attach, reason, ignored_annotation: None };
        };
        match annotation(&ours.key) {
            None => Choice { attach, reason, ignored_annotation: None },
            Some(value) => match Attach::parse(&value).filter(|parsed| ours.allow.contains(parsed)) {
                Some(attach) => Choice { attach, reason: Reason::Annotation, ignored_annotation: None },
                None => Choice { attach, reason, ignored_annotation: Some(value) },
            },
        }
    }
}

/// Whether globs on namespace and name match a pod.
fn names(namespace: &Option<String>, name: &Option<String>, pod: &Pod) -> bool {
    matches(namespace.as_deref(), pod.namespace.as_deref()) && matches(name.as_deref(), pod.name.as_deref())
}

/// Whether an optional glob matches; one that is written does not match what the call does not tell.
fn matches(glob: Option<&str>, text: Option<&str>) -> bool {
    match (glob, text) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(glob), Some(text)) => glob::matches(glob, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Side;
    use serde_json::json;

    fn policy() -> Policy {
        let text = json!({"version":1,"attach":"old",
            "networks":{"old":{"conf":["/o"]},"new":{"conf":["/n"]}},
            "rules":[{"namespace":"kube-system","pod":"coredns-*","attach":"new"},
                     {"namespace":"kube-*","attach":"both"},{"pod":"lonely","attach":"new"}],
            "podAnnotation":{"key":"crossfade/attach","allow":["both"]}});
        Policy::parse(text.to_string().as_bytes()).expect("valid")
    }

    fn choose(namespace: Option<&str>, name: Option<&str>, annotation: Option<&str>) -> Choice {
        let pod = Pod { namespace: namespace.map(Into::into), name: name.map(Into::into) };
        policy().choose(&pod, |key| {
            assert_eq!(key, "crossfade/attach");
            annotation.map(Into::into)
        })
    }

    #[test]
    fn the_first_matching_rule_wins_and_absent_arguments_match_no_written_field() {
        let new = Attach::One(Side::New);
        let old = Attach::One(Side::Old);
        for (namespace, name, attach, reason) in [
            (Some("kube-system"), Some("coredns-x"), new, Reason::Rule(0)),
            (Some("kube-system"), Some("xcoredns-x"), Attach::Both, Reason::Rule(1)),
            (Some("kube-public"), None, Attach::Both, Reason::Rule(1)),
            (Some("default"), Some("lonely"), new, Reason::Rule(2)),
            (None, Some("lonely"), new, Reason::Rule(2)),
            (None, Some("coredns-x"), old, Reason::Default),
            (None, None, old, Reason::Default),
        ] {
            let choice = choose(namespace, name, None);
            assert_eq!((choice.attach, choice.reason), (attach, reason), "{namespace:?}/{name:?}");
        }
    }

    #[test]
    fn a_pod_is_restarted_if_the_policy_or_its_annotation_names_it() {
        let mut policy = policy();
        let restarts = |policy: &Policy, name: &str, annotation: Option<&str>| {
            let pod = Pod { namespace: Some("db".into()), name: Some(name.into()) };
            policy.restarts(&pod, |key| annotation.filter(|_| key == RESTART).map(Into::into))
        };
        assert!(!restarts(&policy, "kafka-0", None) && !restarts(&policy, "kafka-0", Some("yes")));
        assert!(restarts(&policy, "kafka-0", Some("true")));
        let pattern =
            |pod: &str| super::super::PodPattern { namespace: Some("db".into()), pod: Some(pod.into()) };
        policy.pods.restart = vec![pattern("zk-*"), pattern("kafka-*")];
        assert!(restarts(&policy, "kafka-0", None) && !restarts(&policy, "web-0", None));
    }

    #[test]
    fn an_allowed_annotation_wins_and_any_other_is_ignored_aloud() {
        let heeded = choose(Some("kube-system"), Some("coredns-x"), Some("both"));
        assert_eq!((heeded.attach, heeded.reason), (Attach::Both, Reason::Annotation));
        for value in ["new", "", "BOTH"] {
            let ignored = choose(None, None, Some(value));
            assert_eq!(ignored.attach, Attach::One(Side::Old));
            assert_eq!(ignored.ignored_annotation.as_deref(), Some(value));
        }
    }
}
