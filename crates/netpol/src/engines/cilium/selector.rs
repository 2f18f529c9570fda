//! Cilium's selectors of endpoints: label selectors whose keys may name a source.

use snapshot::model::{Labels, Text};

use crate::engines::kubernetes::{LabelSelector, Requirement};
use crate::expression::{ACCOUNT_NAME, Expression, LabelOwner, NAMESPACE_NAME};

/// The label that has a pod's namespace. *Source*: cilium/cilium, `pkg/k8s/apis/cilium.io`, `PodNamespaceLabel`.
pub(crate) const NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// The label that has the name of its service account. *Source*: the same, `PolicyLabelServiceAccount`.
pub(crate) const ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
/// What the labels of its namespace begin with. *Source*: the same, `PodNamespaceMetaLabels`.
pub(crate) const OF_NAMESPACE: &str = "io.cilium.k8s.namespace.labels.";
/// The label that has the name of its cluster. *Source*: the same, `PolicyLabelCluster`.
const CLUSTER: &str = "io.cilium.k8s.policy.cluster";

/// The condition of the selector by which a policy selects pods.
pub(super) fn subject(selector: &LabelSelector, namespace: Option<&Text>) -> Result<Expression, String> {
    let condition = condition(selector)?;
    let Some(namespace) = namespace else { return Ok(condition) };
    // Cilium puts the policy's own namespace in the place of another one.
    let other =
        selector.match_labels.iter().find(|(key, value)| bare_key(key) == NAMESPACE && *value != namespace);
    if let Some((key, value)) = other {
        return Err(format!("{key}: {value:?}: a policy selects pods of its own namespace"));
    }
    Ok(Expression::Within(namespace.clone()).and(condition))
}

/// The condition of a selector of the other end: in a policy of one namespace those of this namespace, unless it names namespaces itself.
///
/// *Source*: cilium/cilium, `pkg/k8s/apis/cilium.io/utils`, `getEndpointSelector`.
pub(super) fn peer(selector: &LabelSelector, namespace: Option<&Text>) -> Result<Expression, String> {
    let condition = condition(selector)?;
    let more = selector.match_expressions.iter().map(|requirement| &requirement.key);
    let keys: Vec<&str> = selector.match_labels.keys().chain(more).map(|key| bare_key(key)).collect();
    let has_name = keys.contains(&NAMESPACE);
    let has_labels = keys.iter().any(|key| key.starts_with(OF_NAMESPACE));
    Ok(match namespace {
        _ if has_name => condition,
        // So that it is about pods and nothing else.
        None => Expression::Has(LabelOwner::Namespace, NAMESPACE_NAME.into()).and(condition),
        Some(_) if has_labels => condition,
        Some(namespace) => Expression::Within(namespace.clone()).and(condition),
    })
}

fn bare_key(key: &str) -> &str {
    key.strip_prefix("k8s:").or_else(|| key.strip_prefix("any:")).unwrap_or(key)
}

fn condition(selector: &LabelSelector) -> Result<Expression, String> {
    let mut all = Vec::new();
    for (key, value) in &selector.match_labels {
        let (owner, key) = place(key)?;
        all.push(Expression::In(owner, key, vec![value.clone()]));
    }
    for requirement in &selector.match_expressions {
        let (owner, key) = place(&requirement.key)?;
        let requirement =
            Requirement { key, operator: requirement.operator.clone(), values: requirement.values.clone() };
        let alone = LabelSelector { match_labels: Labels::new(), match_expressions: vec![requirement] };
        all.push(alone.expression(owner)?);
    }
    Ok(if all.is_empty() { Expression::Always } else { Expression::And(all) })
}

/// What a key is about.
fn place(key: &str) -> Result<(LabelOwner, Text), String> {
    let bare = bare_key(key);
    if bare.contains(':') {
        return Err(format!(
            "{key}: a label that is not of Kubernetes, which no evaluator knows; entities have rules of their own"
        ));
    }
    Ok(match bare {
        NAMESPACE => (LabelOwner::Namespace, NAMESPACE_NAME.into()),
        ACCOUNT => (LabelOwner::Account, ACCOUNT_NAME.into()),
        CLUSTER => return Err(format!("{key}: the name of a cluster, which no evaluator knows")),
        _ => match bare.strip_prefix(OF_NAMESPACE) {
            Some(rest) => (LabelOwner::Namespace, rest.into()),
            None => (LabelOwner::Pod, bare.into()),
        },
    })
}
