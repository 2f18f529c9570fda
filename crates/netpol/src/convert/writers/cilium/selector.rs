//! Pods as Cilium's selectors of endpoints have them.

use serde_json::Value;
use snapshot::model::{Labels, Text};

use crate::convert::intermediate::PodSelection;
use crate::convert::objects::selector;
use crate::engines::cilium::{ACCOUNT, NAMESPACE, OF_NAMESPACE};
use crate::engines::kubernetes::{LabelSelector, Requirement};
use crate::expression::{ACCOUNT_NAME, NAMESPACE_NAME};

/// What the keys of Cilium's own labels begin with. *Source*: cilium/cilium, `pkg/k8s/apis/cilium.io`, `LabelPrefix`.
const OWN: &str = "io.cilium.k8s";
/// Longest name in the key of a label, its longest prefix, and its longest value. Cilium counts the source of a label, `k8s.`, as a part of the key.
///
/// *Source*: Kubernetes, "Labels and Selectors", "Syntax and character set"; cilium/cilium, `EndpointSelector.Sanitize`.
const LONGEST: usize = 63;
const LONGEST_PREFIX: usize = 253;
/// What the keys begin with of labels that pods have and their identities have not, unless Cilium is set so; and what such keys have somewhere.
///
/// *Source*: Cilium, "Limiting Identity-Relevant Labels"; cilium/cilium, `pkg/labelsfilter`, `defaultLabelPrefixCfg`.
const FILTERED: [&str; 11] = [
    "io.kubernetes",
    "kubernetes.io",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "k8s.io",
    "pod-template-generation",
    "pod-template-hash",
    "controller-revision-hash",
    "annotation",
    "etcd_node",
];
const FILTERED_ANYWHERE: &str = "beta.kubernetes.io";

/// Pods as the other end. The selector always asks for the label that pods have by their namespace: without it, one of nothing but negations is
/// also true of nodes and of all parties outside.
///
/// # Errors
/// What Cilium has no label for.
pub(super) fn peer(chosen: &PodSelection) -> Result<Value, String> {
    let mut label_selector = LabelSelector::default();
    add_namespaces(&mut label_selector, &chosen.namespace_selector(), true)?;
    require_namespace(&mut label_selector);
    add_pods(&mut label_selector, chosen)?;
    Ok(selector(&label_selector))
}

/// The pods that a policy selects, of its own namespace if it has one. None if there are none: no pod is in two namespaces.
///
/// # Errors
/// What Cilium has no label for.
pub(super) fn subject(chosen: &PodSelection, namespace: Option<&Text>) -> Result<Option<Value>, String> {
    let mut label_selector = LabelSelector::default();
    match namespace {
        Some(namespace) => {
            if !may_be_in(&chosen.namespace_selector(), namespace) {
                return Ok(None);
            }
            // A policy of one namespace selects pods of it alone, and the API refuses a selector that names another one.
            add_namespaces(&mut label_selector, &chosen.namespaces, false)?;
        }
        None => {
            add_namespaces(&mut label_selector, &chosen.namespace_selector(), true)?;
            // Without it, endpoints of Cilium's own would be selected as well, such as the one for health checks.
            require_namespace(&mut label_selector);
        }
    }
    add_pods(&mut label_selector, chosen)?;
    Ok(Some(selector(&label_selector)))
}

/// Labels that distinguish pods here and that Cilium ignores, unless it is set otherwise.
pub(super) fn filtered_keys(chosen: &PodSelection) -> impl Iterator<Item = &Text> {
    let is_filtered =
        |key: &&Text| FILTERED.iter().any(|item| key.starts_with(item)) || key.contains(FILTERED_ANYWHERE);
    let of_namespaces = keys(&chosen.namespaces).filter(|key| key.contains(FILTERED_ANYWHERE));
    keys(&chosen.pods).filter(is_filtered).chain(of_namespaces)
}

fn keys(selector: &LabelSelector) -> impl Iterator<Item = &Text> {
    selector.match_labels.keys().chain(selector.match_expressions.iter().map(|requirement| &requirement.key))
}

/// Nothing that is said of a namespace's name keeps this one out.
fn may_be_in(selector: &LabelSelector, namespace: &Text) -> bool {
    let is_name = |key: &Text| **key == *NAMESPACE_NAME;
    selector.match_labels.iter().all(|(key, value)| !is_name(key) || value == namespace)
        && selector.match_expressions.iter().filter(|requirement| is_name(&requirement.key)).all(
            |requirement| match &*requirement.operator {
                "In" => requirement.values.contains(namespace),
                "NotIn" => !requirement.values.contains(namespace),
                operator => operator == "Exists",
            },
        )
}

fn add_namespaces(to: &mut LabelSelector, selector: &LabelSelector, with_name: bool) -> Result<(), String> {
    let key = |key: &Text| match &**key {
        NAMESPACE_NAME if !with_name => Ok(None),
        NAMESPACE_NAME => label_key(NAMESPACE).map(Some),
        _ => label_key(&format!("{OF_NAMESPACE}{key}")).map(Some),
    };
    add(to, selector, key)
}

fn add_pods(to: &mut LabelSelector, chosen: &PodSelection) -> Result<(), String> {
    let own = |key: &Text| {
        if **key == *NAMESPACE || key.starts_with(OWN) {
            return Err(format!("{key}: Cilium has a label of its own by this key"));
        }
        label_key(key).map(Some)
    };
    add(to, &chosen.pods, own)?;
    for requirement in &chosen.accounts {
        if *requirement.key != *ACCOUNT_NAME {
            return Err(format!(
                "{}: a label of service accounts, of which Cilium knows the name alone",
                requirement.key
            ));
        }
        if let Some(name) = requirement.values.iter().find(|name| name.len() > LONGEST) {
            return Err(format!("service account {name:?}: longer than the value of a label"));
        }
    }
    let accounts = LabelSelector { match_labels: Labels::new(), match_expressions: chosen.accounts.clone() };
    add(to, &accounts, |_| label_key(ACCOUNT).map(Some))
}

/// Adds what is said, each with the key that Cilium has for it; without one it is left out.
fn add(
    to: &mut LabelSelector,
    selector: &LabelSelector,
    key: impl Fn(&Text) -> Result<Option<Text>, String>,
) -> Result<(), String> {
    for (name, value) in &selector.match_labels {
        if let Some(key) = key(name)? {
            to.match_labels.insert(key, value.clone());
        }
    }
    for requirement in &selector.match_expressions {
        if let Some(key) = key(&requirement.key)? {
            let (operator, values) = (requirement.operator.clone(), requirement.values.clone());
            to.match_expressions.push(Requirement { key, operator, values });
        }
    }
    Ok(())
}

fn require_namespace(selector: &mut LabelSelector) {
    let key: Text = format!("k8s:{NAMESPACE}").into();
    let asks = |requirement: &Requirement| {
        requirement.key == key && ["In", "Exists"].contains(&&*requirement.operator)
    };
    if !selector.match_labels.contains_key(&key) && !selector.match_expressions.iter().any(asks) {
        selector.match_expressions.push(Requirement { key, operator: "Exists".into(), values: Vec::new() });
    }
}

/// The key of a label of Kubernetes, with its source: so no label of a node or of another source has the same one.
fn label_key(key: &str) -> Result<Text, String> {
    let extended = format!("k8s.{key}");
    let (prefix, name) = extended.rsplit_once('/').unwrap_or(("", &extended));
    if name.len() > LONGEST || prefix.len() > LONGEST_PREFIX {
        return Err(format!(
            "{key}: with the source before it, which Cilium counts, longer than the key of a label"
        ));
    }
    Ok(format!("k8s:{key}").into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::convert::label_selectors::select_pods;
    use crate::engines::calico::{parse, parse_for_namespaces};
    use crate::expression::Expression;

    fn pod_selection(own: &str, namespaces: &str) -> PodSelection {
        let namespaces = parse_for_namespaces(namespaces).expect("a selector");
        select_pods(&parse(own).expect("a selector").and(namespaces)).expect("label selectors").remove(0)
    }

    const EXISTS: &str = "k8s:io.kubernetes.pod.namespace";

    #[test]
    fn a_peer_asks_for_a_namespace() {
        let exists = json!({"key": EXISTS, "operator": "Exists"});
        for (own, namespaces, expected) in [
            ("all()", "all()", json!({"matchExpressions": [exists]})),
            ("app == 'a'", "all()", json!({"matchLabels": {"k8s:app": "a"}, "matchExpressions": [exists]})),
            ("all()", "projectcalico.org/name == 'shop'", json!({"matchLabels": {EXISTS: "shop"}})),
            (
                "all()",
                "projectcalico.org/name != 'shop'",
                json!({"matchExpressions": [{"key": EXISTS, "operator": "NotIn", "values": ["shop"]}, exists]}),
            ),
            (
                "!has(app)",
                "team in {'a', 'b'}",
                json!({"matchExpressions": [
                    {"key": "k8s:io.cilium.k8s.namespace.labels.team", "operator": "In", "values": ["a", "b"]},
                    exists,
                    {"key": "k8s:app", "operator": "DoesNotExist"},
                ]}),
            ),
            (
                "projectcalico.org/serviceaccount == 'web'",
                "all()",
                json!({"matchExpressions": [
                    exists,
                    {"key": "k8s:io.cilium.k8s.policy.serviceaccount", "operator": "In", "values": ["web"]},
                ]}),
            ),
        ] {
            assert_eq!(peer(&pod_selection(own, namespaces)), Ok(expected), "{own} {namespaces}");
        }
    }

    #[test]
    fn a_subject_is_of_the_policys_namespace() {
        let shop = Text::from("shop");
        let within = |own: &str| {
            let condition = Expression::Within(shop.clone()).and(parse(own).expect("a selector"));
            subject(&select_pods(&condition).expect("label selectors").remove(0), Some(&shop))
        };
        assert_eq!(within("app == 'a'"), Ok(Some(json!({"matchLabels": {"k8s:app": "a"}}))));
        assert_eq!(within("projectcalico.org/namespace == 'shop'"), Ok(Some(json!({}))));
        assert_eq!(within("projectcalico.org/namespace == 'office'"), Ok(None));
        assert_eq!(within("projectcalico.org/namespace in {'office', 'shop'}"), Ok(Some(json!({}))));
        assert_eq!(within("projectcalico.org/namespace not in {'office'}"), Ok(Some(json!({}))));
        assert_eq!(within("projectcalico.org/namespace != 'shop'"), Ok(None));
        assert_eq!(
            subject(&PodSelection::default(), None),
            Ok(Some(json!({"matchExpressions": [{"key": EXISTS, "operator": "Exists"}]})))
        );
    }

    #[test]
    fn what_cilium_has_no_label_for_is_an_error() {
        let long = "a".repeat(60);
        for (own, words) in [
            ("pcsa.tier == 'web'".to_owned(), "tier"),
            ("io.kubernetes.pod.namespace == 'a'".to_owned(), "of its own"),
            ("has(io.cilium.k8s.policy.cluster)".to_owned(), "of its own"),
            (format!("has({long})"), "longer"),
            (format!("projectcalico.org/serviceaccount == '{long}aaaa'"), "longer"),
        ] {
            assert!(peer(&pod_selection(&own, "all()")).expect_err(words).contains(words), "{own}");
        }
        assert!(peer(&pod_selection(&format!("has({})", "a".repeat(59)), "all()")).is_ok());
        assert!(
            peer(&pod_selection("all()", &format!("has({})", "a".repeat(29)))).is_err(),
            "the prefix has 35 more"
        );
    }

    #[test]
    fn labels_that_identities_lack_are_known() {
        for (own, namespaces, expected) in [
            ("app == 'a'", "team == 'a'", vec![]),
            ("has(pod-template-hash)", "all()", vec!["pod-template-hash"]),
            ("has(app.kubernetes.io/name) && has(topology.kubernetes.io/zone)", "all()", vec![]),
            ("has(kubernetes.io/os)", "has(kubernetes.io/x)", vec!["kubernetes.io/os"]),
            (
                "has(a.beta.kubernetes.io/x)",
                "has(beta.kubernetes.io/x)",
                vec!["a.beta.kubernetes.io/x", "beta.kubernetes.io/x"],
            ),
        ] {
            let chosen = pod_selection(own, namespaces);
            assert_eq!(filtered_keys(&chosen).map(|key| &**key).collect::<Vec<_>>(), expected, "{own}");
        }
    }
}
