//! Objects that name the old pod range: with the new network they mean something else.

use serde_json::Value;
use snapshot::model::{Kind, Object, Service, is_named};
use types::text::quote::shell_word;

use crate::check::Scene;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::cidr::{self, Claims, Usage};
use crate::cni::network::subject;
use crate::cni::support::Cni;
use snapshot::Range;

pub(in crate::check) const CHECK: Check = Check {
    name: "references",
    rules: &[&OLD_RANGE_POLICIES, &OLD_RANGE_SERVICES, &OLD_RANGE_SETTINGS],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::SERVICE),
        Need::Always(Kind::CONFIG_MAP),
        Need::Always(Kind::NETWORK_POLICY),
        Need::Always(Kind::ADMIN_NETWORK_POLICY),
        Need::Always(Kind::BASELINE_ADMIN_NETWORK_POLICY),
        Need::With(Cni::Calico, Kind::CALICO_NETWORK_POLICY),
        Need::With(Cni::Calico, Kind::CALICO_GLOBAL_NETWORK_POLICY),
        Need::With(Cni::Calico, Kind::CALICO_NETWORK_SET),
        Need::With(Cni::Calico, Kind::CALICO_GLOBAL_NETWORK_SET),
        Need::With(Cni::Calico, Kind::FELIX_CONFIGURATION),
        Need::With(Cni::Calico, Kind::IP_POOL),
        Need::With(Cni::Calico, Kind::IPAM_BLOCK),
        Need::To(Cni::Cilium, Kind::CILIUM_NETWORK_POLICY),
        Need::To(Cni::Cilium, Kind::CILIUM_CLUSTERWIDE_NETWORK_POLICY),
        Need::To(Cni::Cilium, Kind::CILIUM_NODE),
        Need::To(Cni::Antrea, Kind::ANTREA_CLUSTER_NETWORK_POLICY),
    ],
    run,
};

/// Kinds whose rules name addresses.
const POLICIES: [Kind; 10] = [
    Kind::NETWORK_POLICY,
    Kind::ADMIN_NETWORK_POLICY,
    Kind::BASELINE_ADMIN_NETWORK_POLICY,
    Kind::CALICO_NETWORK_POLICY,
    Kind::CALICO_GLOBAL_NETWORK_POLICY,
    Kind::CALICO_NETWORK_SET,
    Kind::CALICO_GLOBAL_NETWORK_SET,
    Kind::CILIUM_NETWORK_POLICY,
    Kind::CILIUM_CLUSTERWIDE_NETWORK_POLICY,
    Kind::ANTREA_CLUSTER_NETWORK_POLICY,
];

/// How many changes a fix spells out.
const SHOWN: usize = 10;

/// The pod ranges of both networks.
struct Ranges {
    old: Vec<Range>,
    new: Vec<Range>,
}

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let ranges = ranges(scene);
    if ranges.old.is_empty() {
        return Vec::new();
    }
    let groups = [policies(scene, &ranges), services(scene, &ranges), settings(scene, &ranges)];
    groups.into_iter().flatten().collect()
}

fn ranges(scene: &Scene<'_>) -> Ranges {
    let Claims { all, .. } = cidr::gather(scene);
    let items_of = |belongs: &dyn Fn(Usage) -> bool| {
        snapshot::merge(all.iter().filter(|claim| belongs(claim.usage)).map(|claim| claim.range).collect())
    };
    Ranges {
        // A pool that gives no address is old only as far as it has blocks: it may reserve the new range.
        old: items_of(&|used| matches!(used, Usage::OldPool { is_closed: false } | Usage::OldBlock)),
        new: items_of(&Usage::is_new),
    }
}

impl Ranges {
    /// The text is a range or an address that means pods of the old network and not those of the new one.
    fn is_old(&self, text: &str) -> bool {
        let exact = Range::read(text).ok().map(|(range, _)| range);
        let Some(range) = exact.or_else(|| Some(Range::from_address(text.parse().ok()?))) else {
            return false;
        };
        let has_new = !self.new.is_empty()
            && self.new.iter().filter(|new| new.is_v6() == range.is_v6()).all(|new| range.contains(*new));
        // 0.0.0.0/0 names no network.
        range.length() > 0
            && self.old.iter().any(|old| old.overlaps(range))
            && !(has_new && self.new.iter().any(|new| new.is_v6() == range.is_v6()))
    }

    /// These texts cover every new range of the family of `like`.
    fn has_new<'t>(&self, like: &str, texts: impl IntoIterator<Item = &'t str>) -> bool {
        let all =
            texts.into_iter().filter_map(|text| Range::read(text).ok()).map(|(range, _)| range).collect();
        let all = snapshot::merge(all);
        let mut new = self.new.iter().filter(|range| range.is_v6() == like.contains(':')).peekable();
        new.peek().is_some() && new.all(|new| all.iter().any(|candidate| candidate.contains(*new)))
    }

    /// The new ranges of one family, as one would write them.
    fn new_words(&self, like: &str) -> Vec<String> {
        let of_family = self.new.iter().filter(|range| range.is_v6() == like.contains(':'));
        let words: Vec<String> = of_family.map(ToString::to_string).collect();
        if words.is_empty() { vec!["NEW-RANGE".into()] } else { words }
    }
}

/// Every text of a value that means the old range, with its JSON pointer.
fn mentions(value: &Value, location: String, ranges: &Ranges, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) if ranges.is_old(text) => pairs.push((location, text.clone())),
        Value::Array(all) => all
            .iter()
            .enumerate()
            .for_each(|(index, object)| mentions(object, format!("{location}/{index}"), ranges, pairs)),
        Value::Object(all) => {
            all.iter().for_each(|(key, object)| mentions(object, format!("{location}/{key}"), ranges, pairs))
        }
        _ => {}
    }
}

/// Where a range stands: the pointer of the list, and what leads from an entry of the list to the range.
fn place(location: &str) -> (&str, &'static str) {
    for inner in ["/ipBlock/cidr", "/cidr"] {
        if let Some(entry) = location.strip_suffix(inner) {
            return (parent(entry), inner);
        }
    }
    (parent(location), "")
}

fn parent(pointer: &str) -> &str {
    pointer.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// The object says of the new range what it says of the old one here: the new one is in the same list. An exception from a range that the new network is
/// not in says nothing of the new network.
fn follows(object: &Value, location: &str, text: &str, ranges: &Ranges) -> bool {
    let (list, inner) = place(location);
    let of_text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    if let Some(block) = list.strip_suffix("/except")
        && let Some(around) = of_text(&format!("{block}/cidr"))
    {
        return !ranges.has_new(text, [around]) || ranges.has_new(text, entries(object, list, inner));
    }
    ranges.has_new(text, entries(object, list, inner))
}

/// The ranges of a list.
fn entries<'v>(object: &'v Value, list: &str, inner: &'static str) -> impl Iterator<Item = &'v str> {
    let all = object.pointer(list).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(move |entry| entry.pointer(inner)?.as_str())
}

fn find_in_object(object: &Object, ranges: &Ranges) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for key in ["spec", "specs"] {
        if let Some(value) = object.value().get(key) {
            mentions(value, format!("/{key}"), ranges, &mut pairs);
        }
    }
    pairs.retain(|(location, text)| !follows(object.value(), location, text, ranges));
    pairs
}

const OLD_RANGE_POLICIES: Rule = Severity::Risk.rule(
    "old-range-policies",
    "Policies name addresses of the old pod range, and not the new range.",
    "Rules by address do not follow the pods to their new range. What such a rule allows is refused for moved pods, and what it forbids is allowed.",
    "Add the new range beside the old one; the finding has the commands, and is gone then.",
);

fn policies(scene: &Scene<'_>, ranges: &Ranges) -> Option<Finding> {
    let mut about = Vec::new();
    let mut patches = Vec::new();
    for kind in POLICIES {
        for object in scene.snapshot.objects(kind) {
            let pairs = find_in_object(object, ranges);
            about.extend(
                pairs
                    .first()
                    .map(|(location, text)| subject(kind, object).detail(format!("{text} at {location}"))),
            );
            patches.extend(
                pairs.iter().map(|(location, text)| patch(kind, object, location, &ranges.new_words(text))),
            );
        }
    }
    // Of several old ranges in one list, one patch adds the new range.
    patches.dedup();
    let fix = format!(
        "Add the new range beside the old one before the first pod moves, and remove the old one at the end:\n{}",
        join_lines(&patches)
    );
    (!about.is_empty()).then(|| Finding::new(&OLD_RANGE_POLICIES).fix(fix).with_objects(about))
}

/// The change that adds the new ranges beside an old one.
fn patch(kind: Kind, object: &Object, location: &str, new: &[String]) -> String {
    let namespace =
        if object.namespace().is_empty() { String::new() } else { format!("-n {} ", object.namespace()) };
    let target = format!("kubectl {namespace}patch {} {} --type json -p", kind.resource(), object.name());
    let (list, inner) = place(location);
    let value = |range: &str| match inner {
        "" => range.into(),
        "/cidr" => serde_json::json!({"cidr": range}),
        _ => serde_json::json!({"ipBlock": {"cidr": range}}),
    };
    let operations: Vec<Value> = new
        .iter()
        .map(|range| serde_json::json!({"op": "add", "path": format!("{list}/-"), "value": value(range)}))
        .collect();
    format!("{target} {}", shell_word(&Value::Array(operations).to_string()))
}

fn join_lines(lines: &[String]) -> String {
    let mut text = lines.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    if lines.len() > SHOWN {
        text.push_str(&format!("\nand {} more; -o json lists all objects.", lines.len() - SHOWN));
    }
    text
}

/// The annotation by which some clouds take the ranges.
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// The ranges from which a Service accepts connections: its own list counts, and the annotation only without one.
fn sources(service: &Service) -> Vec<&str> {
    let listed = &service.spec.load_balancer_source_ranges;
    if !listed.is_empty() {
        return listed.iter().map(AsRef::as_ref).collect();
    }
    let annotated = service.metadata.annotation(SOURCE_RANGES).unwrap_or_default().split(',');
    annotated.map(str::trim).filter(|range| !range.is_empty()).collect()
}

const OLD_RANGE_SERVICES: Rule = Severity::Risk.rule(
    "old-range-services",
    "Services of type LoadBalancer accept connections from the old pod range, and not from the new one.",
    "Pods that call the load balancer's address are refused once they have an address of the new range.",
    "Add the new range beside the old one; the finding has the commands, and is gone then.",
);

fn services(scene: &Scene<'_>, ranges: &Ranges) -> Option<Finding> {
    let old = |service: &Service| {
        let sources = sources(service);
        let is_left = |range: &&&str| ranges.is_old(range) && !ranges.has_new(range, sources.iter().copied());
        sources.iter().find(is_left).map(|range| (*range).to_owned())
    };
    let mentions: Vec<(&Service, String)> =
        scene.snapshot.services.iter().filter_map(|service| Some((service, old(service)?))).collect();
    let patches: Vec<String> = mentions
        .iter()
        .map(|(service, range)| {
            let all: Vec<String> =
                sources(service).into_iter().map(str::to_owned).chain(ranges.new_words(range)).collect();
            let merge =
                shell_word(&serde_json::json!({"spec": {"loadBalancerSourceRanges": all}}).to_string());
            format!(
                "kubectl -n {} patch service {} --type merge -p {merge}",
                service.metadata.namespace, service.metadata.name
            )
        })
        .collect();
    let about = mentions
        .iter()
        .map(|(service, range)| Subject::from_meta(Kind::SERVICE, &service.metadata).detail(range.as_str()));
    let fix =
        format!("Add the new range beside the old one before the first pod moves:\n{}", join_lines(&patches));
    (!mentions.is_empty()).then(|| Finding::new(&OLD_RANGE_SERVICES).fix(fix).with_objects(about))
}

/// ConfigMaps in which the old range belongs: those of a CNI itself, and the record of what an installer was asked for, which nothing reads meanwhile.
const OWN: [&str; 6] =
    ["calico-config", "canal-config", "kube-flannel-cfg", "antrea-config", "cilium-config", "kubeadm-config"];

const OLD_RANGE_SETTINGS: Rule = Severity::Risk.rule(
    "old-range-settings",
    "Settings of the cluster name the old pod range, and not the new one.\n\n\
     kube-proxy, CoreDNS and Felix have such settings.",
    "kube-proxy takes pods outside of its clusterCIDR for strangers: it hides their addresses behind the node's, and refuses them at Services with externalTrafficPolicy Local. CoreDNS refuses whom its acl does not allow.",
    "Let them cover both ranges. `kubeadm-config` only records what an installer was asked for, and is not looked at.",
);

fn settings(scene: &Scene<'_>, ranges: &Ranges) -> Option<Finding> {
    let mut about = Vec::new();
    for map in scene.snapshot.objects(Kind::CONFIG_MAP) {
        if OWN.iter().any(|own| is_named(map.name(), own)) {
            continue;
        }
        let data = map.pointer("/data").and_then(Value::as_object).into_iter().flatten();
        for (key, value) in data {
            let text = value.as_str().unwrap_or_default();
            let words = || text.split(|c: char| c.is_whitespace() || ",\"'[]{}=".contains(c));
            // A word may be `10.244.0.0/16`, and an address alone is that of a server.
            let is_left = |word: &&str| ranges.is_old(word) && !ranges.has_new(word, words());
            let old = words().filter(|word| word.contains('/')).find(is_left);
            about.extend(old.map(|word| subject(Kind::CONFIG_MAP, map).detail(format!("{word} in {key}"))));
        }
    }
    for felix in scene.snapshot.objects(Kind::FELIX_CONFIGURATION) {
        let pairs = find_in_object(felix, ranges);
        about.extend(pairs.first().map(|(location, text)| {
            subject(Kind::FELIX_CONFIGURATION, felix).detail(format!("{text} at {location}"))
        }));
    }
    if about.is_empty() {
        return None;
    }
    let new: Vec<String> = ranges.new.iter().map(ToString::to_string).collect();
    let new = if new.is_empty() { "the new range".to_owned() } else { new.join(",") };
    let fix = format!(
        "For kube-proxy, let clusterCIDR cover both ranges (with {new}), or leave it empty, then: kubectl -n kube-system rollout restart daemonset/kube-proxy. In the others, add {new} beside the old range."
    );
    Some(Finding::new(&OLD_RANGE_SETTINGS).fix(fix).with_objects(about))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, object};
    use serde_json::json;

    fn case(more: (Kind, Value)) -> Vec<Finding> {
        let reserved =
            object(Kind::IP_POOL, "new", json!({"spec": {"cidr": "10.20.0.0/16", "disabled": true}}));
        let pool = object(Kind::IP_POOL, "p", json!({"spec": {"cidr": "192.168.0.0/16"}}));
        let cilium = object(
            Kind::CONFIG_MAP,
            "cilium-config",
            json!({"data": {"cluster-pool-ipv4-cidr": "10.20.0.0/16"}}),
        );
        Case::new(Cni::Calico, Cni::Cilium, vec![reserved, pool, cilium, more]).findings(&CHECK)
    }

    fn policy(cidr: &str) -> (Kind, Value) {
        let spec = json!({"ingress": [{"from": [{"ipBlock": {"cidr": cidr}}]}]});
        object(Kind::NETWORK_POLICY, "n", json!({"metadata": {"namespace": "x"}, "spec": spec}))
    }

    #[test]
    fn a_policy_by_address_must_know_the_new_range() {
        for (cidr, is_found) in [
            ("192.168.0.0/16", true),
            ("192.168.7.0/24", true),
            ("192.168.7.9/32", true),
            ("192.0.0.0/8", true),
            ("0.0.0.0/0", false),
            // Both networks are in it.
            ("0.0.0.0/0", false),
            ("172.16.0.0/12", false),
            ("10.20.0.0/16", false),
        ] {
            assert_eq!(case(policy(cidr)).len(), usize::from(is_found), "{cidr}");
        }
        let findings = case(policy("192.168.0.0/16"));
        let patch = r#"kubectl -n x patch networkpolicies.networking.k8s.io n --type json -p '[{"op":"add","path":"/spec/ingress/0/from/-","value":{"ipBlock":{"cidr":"10.20.0.0/16"}}}]'"#;
        assert!(findings[0].fix.contains(patch), "{}", findings[0].fix);
    }

    #[test]
    fn what_names_both_ranges_is_right() {
        let peers = |blocks: Value| {
            let peers: Vec<Value> =
                blocks.as_array().expect("blocks").iter().map(|block| json!({"ipBlock": block})).collect();
            object(Kind::NETWORK_POLICY, "n", json!({"spec": {"ingress": [{"from": peers}]}}))
        };
        let nets =
            |nets: Value| object(Kind::CALICO_GLOBAL_NETWORK_SET, "n", json!({"spec": {"nets": nets}}));
        for (object, is_found) in [
            (peers(json!([{"cidr": "192.168.0.0/16"}, {"cidr": "10.20.0.0/16"}])), false),
            (peers(json!([{"cidr": "192.168.0.0/16"}, {"cidr": "10.0.0.0/8"}])), false),
            (peers(json!([{"cidr": "192.168.0.0/16"}, {"cidr": "10.20.0.0/17"}])), true),
            (
                peers(
                    json!([{"cidr": "192.168.0.0/16"}, {"cidr": "10.20.0.0/17"}, {"cidr": "10.20.128.0/17"}]),
                ),
                false,
            ),
            // An exception from everything is one from the new range, too; one from the old range is not, and the API server would refuse it.
            (peers(json!([{"cidr": "0.0.0.0/0", "except": ["192.168.0.0/16"]}])), true),
            (peers(json!([{"cidr": "0.0.0.0/0", "except": ["192.168.0.0/16", "10.20.0.0/16"]}])), false),
            (
                peers(
                    json!([{"cidr": "192.168.0.0/16", "except": ["192.168.7.0/24"]}, {"cidr": "10.20.0.0/16"}]),
                ),
                false,
            ),
            (nets(json!(["192.168.0.0/16"])), true),
            (nets(json!(["192.168.0.0/16", "10.20.0.0/16"])), false),
        ] {
            let findings = case(object.clone());
            assert_eq!(findings.len(), usize::from(is_found), "{object:?}: {findings:?}");
        }
        let twice = case(nets(json!(["192.168.1.0/24", "192.168.2.0/24"])));
        assert_eq!(twice[0].fix.matches("kubectl").count(), 1, "{}", twice[0].fix);
    }

    #[test]
    fn a_service_that_accepts_both_ranges_is_right() {
        let service = |listed: Value, annotated: &str| {
            let annotations = json!({SOURCE_RANGES: annotated});
            let rest = json!({"metadata": {"namespace": "x", "annotations": annotations}, "spec": {"loadBalancerSourceRanges": listed}});
            case(object(Kind::SERVICE, "s", rest))
        };
        assert!(service(json!(["192.168.0.0/16", "10.20.0.0/16"]), "").is_empty());
        assert!(service(json!([]), "192.168.0.0/16, 10.20.0.0/16").is_empty());
        // The list counts where there is one.
        assert!(service(json!(["203.0.113.0/24"]), "192.168.0.0/16").is_empty());
        let findings = service(json!([]), "192.168.0.0/16,203.0.113.0/24");
        let list = r#"["192.168.0.0/16","203.0.113.0/24","10.20.0.0/16"]"#;
        assert!(findings[0].fix.contains(list), "what the annotation allows stays: {}", findings[0].fix);
    }

    #[test]
    fn every_kind_of_policy_is_read() {
        let nets = json!({"spec": {"ingress": [{"source": {"notNets": ["192.168.0.0/24"]}}]}});
        let sets = json!({"spec": {"nets": ["192.168.0.1"]}});
        let cilium = json!({"spec": {"egress": [{"toCIDRSet": [{"cidr": "192.168.0.0/16"}]}]}});
        for (kind, rest, path) in [
            (Kind::CALICO_GLOBAL_NETWORK_POLICY, nets, "/spec/ingress/0/source/notNets/-"),
            (Kind::CALICO_GLOBAL_NETWORK_SET, sets, "/spec/nets/-"),
            (Kind::CILIUM_CLUSTERWIDE_NETWORK_POLICY, cilium, "/spec/egress/0/toCIDRSet/-"),
        ] {
            let findings = case(object(kind, "n", rest));
            assert!(findings.len() == 1 && findings[0].fix.contains(path), "{findings:?}");
        }
    }

    #[test]
    fn services_and_settings_are_read() {
        let service = |range: &str| {
            object(
                Kind::SERVICE,
                "s",
                json!({"metadata": {"namespace": "x"}, "spec": {"loadBalancerSourceRanges": [range]}}),
            )
        };
        let findings = case(service("192.168.0.0/16"));
        assert!(
            findings[0].rule.code == "old-range-services"
                && findings[0].fix.contains(r#"["192.168.0.0/16","10.20.0.0/16"]"#),
            "{findings:?}"
        );
        assert!(case(service("203.0.113.0/24")).is_empty());
        let proxy = |range: &str| {
            object(
                Kind::CONFIG_MAP,
                "kube-proxy",
                json!({"data": {"config.conf": format!("mode: iptables\nclusterCIDR: {range}\n")}}),
            )
        };
        assert_eq!(case(proxy("192.168.0.0/16"))[0].rule.code, "old-range-settings");
        assert!(case(proxy("\"\"")).is_empty() && case(proxy("0.0.0.0/0")).is_empty());
        let felix = object(
            Kind::FELIX_CONFIGURATION,
            "default",
            json!({"spec": {"externalNodesList": ["192.168.0.0/16"]}}),
        );
        assert_eq!(case(felix)[0].rule.code, "old-range-settings");
    }
}
