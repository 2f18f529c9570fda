//! Labels: which ones kubelet takes for its Node, and which ones the API server lets it set.

use crate::text::qualified;

/// Namespaces of Kubernetes, with all that end in them.
const KUBERNETES: [&str; 2] = ["kubernetes.io", "k8s.io"];
/// Namespaces of these that are kubelet's own, with all that end in them.
///
/// *Source*: `kubelet/pkg/apis/well_known_labels.go`, `kubeletLabelNamespaces`.
const KUBELET_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Labels of these that kubelet may set beside.
///
/// *Source*: `kubelet/pkg/apis/well_known_labels.go`, `kubeletLabels`.
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];
/// Labels that only an administrator may set, so that a node cannot draw workload to itself.
///
/// *Source*: `plugin/pkg/admission/noderestriction/admission.go`, `getForbiddenLabels`.
const RESTRICTED: &str = "node-restriction.kubernetes.io";

/// Why a label cannot be one that kubelet registers its Node with; names it and the remedy.
///
/// *Source*: `cmd/kubelet/app/options/options.go`, `ValidateKubeletFlags`: kubelet exits, whatever admission plugins there are.
/// The admission plugin NodeRestriction refuses the same ones, at creation and afterwards.
#[must_use]
pub fn refusal(key: &str, value: &str) -> Option<String> {
    if let Err(why) = qualified::key(key).and_then(|()| qualified::value(value)) {
        return Some(format!("label {key:?}: {why}; kubelet would exit"));
    }
    let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
    let within = |domain: &str| {
        namespace == domain || namespace.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
    };
    if within(RESTRICTED) {
        return Some(format!(
            "label {key}: {RESTRICTED} is for administrators; kubelet would exit and NodeRestriction refuses it: set it from the cluster"
        ));
    }
    let refused = KUBERNETES.into_iter().any(within)
        && !KUBELET_NAMESPACES.into_iter().any(within)
        && !KUBELET_LABELS.contains(&key);
    refused.then(|| {
        format!(
            "label {key}: kubelet exits for a label below kubernetes.io or k8s.io other than its own ({}.. and {}): use a prefix of your own, \
             or set it from the cluster",
            KUBELET_NAMESPACES.map(|namespace| format!("{namespace}/")).join(".., "),
            KUBELET_LABELS.join(", ")
        )
    })
}

/// The labels of one `--node-labels`, in their order; one without `=` has an empty value.
///
/// *Source*: `component-base/cli/flag/map_string_string.go`, and kubelet's older `ConfigurationMap`.
#[must_use]
pub fn parse(value: &str) -> Vec<(String, String)> {
    let pairs = value.split(',').filter(|pair| !pair.trim().is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubelet_and_the_api_server_refuse() {
        for (key, expected) in [
            ("io.cilium.migration/cilium-default", None),
            ("cni", None),
            ("node.cilium.io/x", None),
            ("kubernetes.io/hostname", None),
            ("topology.kubernetes.io/zone", None),
            ("node.kubernetes.io/anything", None),
            ("a.node.kubernetes.io/x", None),
            ("kubelet.kubernetes.io/x", None),
            ("notkubernetes.io/x", None),
            ("app.kubernetes.io/name", Some("prefix of your own")),
            ("kubernetes.io/role", Some("kubelet exits")),
            ("k8s.io/x", Some("kubelet exits")),
            ("x.k8s.io/x", Some("kubelet exits")),
            ("node-role.kubernetes.io/worker", Some("kubelet exits")),
            ("topology.kubernetes.io/rack", Some("kubelet exits")),
            ("notnode.kubernetes.io/x", Some("kubelet exits")),
            ("node-restriction.kubernetes.io/x", Some("administrators")),
            ("team.node-restriction.kubernetes.io/x", Some("administrators")),
            ("a b", Some("kubelet would exit")),
        ] {
            let output = refusal(key, "v");
            assert_eq!(output.is_some(), expected.is_some(), "{key}: {output:?}");
            assert!(
                output
                    .zip(expected)
                    .is_none_or(|(output, words)| output.contains(words) && output.contains(key)),
                "{key}"
            );
        }
        assert!(refusal("a", "b c").is_some_and(|output| output.contains("value")));
    }

    #[test]
    fn a_flag_s_labels() {
        let output = parse("a=b, c ,d=,,e=f=g");
        let expected = [("a", "b"), ("c", ""), ("d", ""), ("e", "f=g")];
        assert_eq!(output, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
}
