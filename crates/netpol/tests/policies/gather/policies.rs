//! The policies of each engine, and the objects that cannot be read.

use netpol::engines::cilium::Settings;
use netpol::engines::kubernetes::Blocks;
use netpol::gather::{Engine, EnginePolicies, Policies};
use netpol::tier::{Direction, Enforcement};
use netpol::world::World;
use serde_json::{Value, json};

use super::{identified, names, object, policies, unread_lines, within};
use crate::town::town;

const KUBERNETES: Engine = Engine::Kubernetes(Blocks { pods: true, nodes: true, names_of_cluster: false });
const CILIUM: Engine = Engine::Cilium(Settings { ranges_match_nodes: false, has_port_ranges: true });
const EARLIER_CILIUM: Engine = Engine::Cilium(Settings { ranges_match_nodes: false, has_port_ranges: false });
const ALL: [Engine; 4] = [KUBERNETES, Engine::Calico, Engine::Antrea, CILIUM];

fn plain(name: &str, spec: &Value) -> Value {
    within("shop", object("networking.k8s.io/v1", "NetworkPolicy", name, spec))
}

fn calico(kind: &str, name: &str, spec: &Value) -> Value {
    object("projectcalico.org/v3", kind, name, spec)
}

fn antrea(kind: &str, name: &str, spec: &Value) -> Value {
    object("crd.antrea.io/v1beta1", kind, name, spec)
}

fn cilium(name: &str, spec: &Value) -> Value {
    within("shop", object("cilium.io/v2", "CiliumNetworkPolicy", name, spec))
}

fn cluster_policy(name: &str, priority: u16, action: &str) -> Value {
    let rule = json!({"action": action, "from": [{"namespaces": {}}]});
    let spec =
        json!({"tier": "Admin", "priority": priority, "subject": {"namespaces": {}}, "ingress": [rule]});
    object("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", name, &spec)
}

fn older(kind: &str, name: &str, priority: Option<u16>) -> Value {
    let rule = json!({"action": "Deny", "from": [{"namespaces": {}}]});
    let mut spec = json!({"subject": {"namespaces": {}}, "ingress": [rule]});
    if let Some(priority) = priority {
        spec["priority"] = priority.into();
    }
    object("policy.networking.k8s.io/v1alpha1", kind, name, &spec)
}

fn enforcement(read: &Policies) -> Result<Enforcement, String> {
    read.enforcement(&World::new(&town(), &read.mentions()?))
}

/// The objects of which rules are enforced.
fn origins(read: &Policies) -> Vec<String> {
    let all = enforcement(read).expect("an evaluator takes them");
    let tiers = all.ingress.iter().chain(&all.egress);
    let mut names: Vec<String> = tiers
        .flat_map(|tier| &tier.rules)
        .map(|rule| rule.origin.rsplit_once(' ').map_or("", |(name, _)| name).to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn every_engine_reads_the_policies_of_kubernetes_and_names_all_that_it_cannot_read() {
    let wrong = json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}});
    let objects = [
        plain("a", &json!({"podSelector": {}, "ingress": [{}]})),
        plain("b", &json!({"podSelector": {}, "colour": "red"})),
        plain("c", &json!({"podSelector": {}, "egress": [{"to": [{}]}]})),
        plain("d", &wrong),
        plain("e", &json!({"podSelector": {}, "ingress": [{}]})),
        object("v1", "Service", "no-policy", &json!({})),
        object("example.org/v1", "Policy", "unknown", &json!({})),
    ];
    for engine in ALL {
        let read = policies(engine, &objects);
        assert_eq!(
            names(&read.kubernetes.references),
            ["NetworkPolicy shop/a", "NetworkPolicy shop/e"],
            "{engine:?}"
        );
        let lines = unread_lines(&read.unread);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("NetworkPolicy shop/b: ") && lines[0].contains("colour"), "{lines:?}");
        assert!(lines[1].contains("spec.egress[0].to[0]") && lines[2].contains("\"Like\""), "{lines:?}");
        assert_eq!(origins(&read), ["NetworkPolicy shop/a", "NetworkPolicy shop/e"], "{engine:?}");
        assert!(!read.mentions().expect("selectors").conditions.is_empty());
    }
}

#[test]
fn a_policy_can_be_traced_to_its_object() {
    let mut own = identified("u-1", plain("a", &json!({"podSelector": {}})));
    own["metadata"]["generation"] = 7.into();
    let read = policies(KUBERNETES, &[own, plain("b", &json!({"podSelector": {}}))]);
    let rows: Vec<_> = read
        .kubernetes
        .iter()
        .map(|(reference, policy)| {
            (&*reference.name, &*policy.name, &*reference.uid, reference.generation, reference.kind.name())
        })
        .collect();
    assert_eq!(rows, [("a", "a", "u-1", 7, "NetworkPolicy"), ("b", "b", "", 0, "NetworkPolicy")]);
}

#[test]
fn the_last_object_of_a_name_counts() {
    let value_of =
        |number: u16| plain("a", &json!({"podSelector": {}, "ingress": [{"ports": [{"port": number}]}]}));
    let read = policies(KUBERNETES, &[value_of(1), plain("b", &json!({"podSelector": {}})), value_of(2)]);
    assert_eq!(names(&read.kubernetes.references), ["NetworkPolicy shop/a", "NetworkPolicy shop/b"]);
    assert_eq!(read.kubernetes.entries[0], policies(KUBERNETES, &[value_of(2)]).kubernetes.entries[0]);
}

/// Readers take a policy with a namespace for one of this namespace, and one without for one of the cluster.
#[test]
fn an_object_must_be_in_a_namespace_if_its_kind_is() {
    let none = object("networking.k8s.io/v1", "NetworkPolicy", "a", &json!({"podSelector": {}}));
    let some = within("shop", calico("GlobalNetworkPolicy", "g", &json!({"selector": "all()"})));
    let own = calico("NetworkPolicy", "n", &json!({"selector": "all()"}));
    let read = policies(Engine::Calico, &[none, some, own]);
    assert_eq!(
        unread_lines(&read.unread),
        [
            "CalicoNetworkPolicy n: metadata.namespace: expected one, for the kind is namespaced",
            "GlobalNetworkPolicy shop/g: metadata.namespace: no such field, for the kind is not namespaced",
            "NetworkPolicy a: metadata.namespace: expected one, for the kind is namespaced",
        ]
    );
    assert_eq!(origins(&read), [""; 0]);
}

#[test]
fn kubernetes_has_policies_of_administrators() {
    let read = policies(
        KUBERNETES,
        &[
            cluster_policy("new", 10, "Deny"),
            older("AdminNetworkPolicy", "old", Some(11)),
            older("BaselineAdminNetworkPolicy", "default", None),
            older("AdminNetworkPolicy", "wrong", None),
            cluster_policy("wrong", 12, "Drop"),
        ],
    );
    let lines = unread_lines(&read.unread);
    assert!(lines[0].starts_with("AdminNetworkPolicy wrong: spec.priority: "), "{lines:?}");
    assert!(lines[1].starts_with("KubernetesClusterNetworkPolicy wrong: ") && lines.len() == 2, "{lines:?}");
    assert_eq!(
        origins(&read),
        ["AdminNetworkPolicy old", "BaselineAdminNetworkPolicy default", "ClusterNetworkPolicy new"]
    );
    let twice = policies(KUBERNETES, &[cluster_policy("a", 1, "Deny"), cluster_policy("b", 1, "Deny")]);
    let why = enforcement(&twice).expect_err("nothing says which of them decides");
    assert!(why.contains("spec.priority"), "{why}");
}

#[test]
fn other_engines_have_no_place_for_policies_of_administrators() {
    let objects = [
        cluster_policy("new", 10, "Deny"),
        older("AdminNetworkPolicy", "old", Some(11)),
        older("BaselineAdminNetworkPolicy", "default", None),
    ];
    for engine in [Engine::Calico, Engine::Antrea, CILIUM] {
        let read = policies(engine, &objects);
        let lines = unread_lines(&read.unread);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            lines.iter().all(|why| why.contains(&format!("evaluator of {}", engine.name()))),
            "{lines:?}"
        );
        assert_eq!(origins(&read), [""; 0]);
    }
}

#[test]
fn calico_has_tiers_sets_and_staged_policies() {
    let allow = json!({"selector": "all()", "ingress": [{"action": "Allow"}]});
    let staged =
        |kind: &str, name: &str| calico(kind, name, &json!({"selector": "!", "stagedAction": "Set"}));
    let tiered = |tier: &str, name: &str| {
        let mut policy = calico("GlobalNetworkPolicy", name, &allow);
        policy["spec"]["tier"] = tier.into();
        policy
    };
    let objects = [
        calico("Tier", "sec", &json!({"order": 1})),
        calico("Tier", "wrong", &json!({"order": 2, "defaultAction": "Log"})),
        tiered("sec", "a"),
        tiered("wrong", "b"),
        tiered("gone", "c"),
        within("shop", calico("NetworkPolicy", "d", &allow)),
        calico("GlobalNetworkPolicy", "e", &json!({"doNotTrack": true})),
        within("shop", staged("StagedNetworkPolicy", "s")),
        staged("StagedGlobalNetworkPolicy", "s"),
        within("shop", staged("StagedKubernetesNetworkPolicy", "s")),
        within("shop", calico("NetworkSet", "f", &json!({"nets": ["10.0.0"]}))),
        calico("GlobalNetworkSet", "g", &json!({"nets": ["192.0.2.0/24"]})),
        calico(
            "HostEndpoint",
            "h",
            &json!({"expectedIPs": ["192.168.1.1"], "ports": [{"name": "ssh", "port": 22}]}),
        ),
        calico("HostEndpoint", "i", &json!({"expectedIPs": ["192.168.1.2"]})),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}}),
    ];
    let read = policies(Engine::Calico, &objects);
    let lines = unread_lines(&read.unread);
    let begins = [
        "GlobalNetworkPolicy b: spec.tier: there is no tier \"wrong\"",
        "GlobalNetworkPolicy c: spec.tier: there is no tier \"gone\"",
        "GlobalNetworkPolicy e: spec.doNotTrack",
        "HostEndpoint h: spec.ports",
        "NetworkSet shop/f: spec.nets",
        "Tier wrong: spec.defaultAction",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:?}");
    for (text, begin) in lines.iter().zip(begins) {
        assert!(text.starts_with(begin), "{text}");
    }
    assert_eq!(
        names(read.staged_policies()),
        ["StagedNetworkPolicy shop/s", "StagedGlobalNetworkPolicy s", "StagedKubernetesNetworkPolicy shop/s"]
    );
    assert_eq!(origins(&read), ["GlobalNetworkPolicy a", "NetworkPolicy shop/d of Calico"]);
    let EnginePolicies::Calico(own) = &read.engine_policies else { panic!("{read:?}") };
    assert_eq!(
        (names(&own.sets.references), names(&own.host_endpoints.references)),
        (vec!["GlobalNetworkSet g".into()], vec!["HostEndpoint i".into()])
    );
    assert_eq!(own.namespaces[0].labels, crate::town::labels(&[("team", "a")]));
}

#[test]
fn a_policy_of_calico_with_wrong_rules_is_unread_and_there_in_part() {
    let rules =
        json!([{"action": "Allow", "http": {"methods": ["GET"]}}, {"action": "Allow"}, {"action": "Forbid"}]);
    let policy = calico("GlobalNetworkPolicy", "a", &json!({"selector": "all()", "ingress": rules}));
    let read = policies(Engine::Calico, &[policy]);
    let [unread] = &read.unread[..] else { panic!("{:?}", read.unread) };
    assert!(unread.why.starts_with("spec.ingress[0]: http: "), "{}", unread.why);
    assert!(unread.why.contains("; spec.ingress[2]: action: \"Forbid\""), "{}", unread.why);
    let EnginePolicies::Calico(own) = &read.engine_policies else { panic!("{read:?}") };
    let [partly] = &own.partial[..] else { panic!("{own:?}") };
    assert_eq!((&partly.object, partly.policy.ingress.len()), (&unread.object, 3));
    let places: Vec<_> = partly.refused.iter().map(|rule| (rule.direction, rule.number)).collect();
    assert_eq!(places, [(Direction::Ingress, 0), (Direction::Ingress, 2)]);
    // A part of a policy is another policy.
    assert_eq!(origins(&read), [""; 0]);
}

#[test]
fn antrea_has_tiers_and_groups() {
    let drop = |tier: &str, priority: f64, target: &Value| json!({"tier": tier, "priority": priority, "appliedTo": [target], "ingress": [{"action": "Drop"}]});
    let pods = json!({"podSelector": {}});
    let group = |name: &str| json!({"group": name});
    let objects = [
        antrea("Tier", "sec", &json!({"priority": 20})),
        antrea("Tier", "late", &json!({"priority": 252})),
        antrea("Tier", "application", &json!({"priority": 250})),
        antrea("ClusterNetworkPolicy", "a", &drop("sec", 5.0, &pods)),
        antrea("ClusterNetworkPolicy", "b", &drop("late", 5.0, &pods)),
        antrea("ClusterNetworkPolicy", "c", &drop("gone", 5.0, &pods)),
        within("shop", antrea("NetworkPolicy", "d", &drop("application", 5.0, &group("web")))),
        within("shop", antrea("NetworkPolicy", "e", &drop("application", 6.0, &group("gone")))),
        within("shop", antrea("Group", "web", &pods)),
        antrea("ClusterGroup", "blocks", &json!({"ipBlocks": [{"cidr": "192.0.2.0/24"}]})),
        antrea("ClusterGroup", "service", &json!({"serviceReference": {"name": "s"}})),
        antrea("ClusterNetworkPolicy", "f", &drop("sec", 6.0, &group("blocks"))),
    ];
    let read = policies(Engine::Antrea, &objects);
    let lines = unread_lines(&read.unread);
    let begins = [
        "AntreaNetworkPolicy shop/e: there is no group \"gone\"",
        "AntreaTier late: spec.priority",
        "ClusterGroup service: spec.serviceReference",
        "ClusterNetworkPolicy b: spec.tier: there is no tier \"late\"",
        "ClusterNetworkPolicy c: spec.tier: there is no tier \"gone\"",
        "ClusterNetworkPolicy f: appliedTo: group \"blocks\"",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:?}");
    for (text, begin) in lines.iter().zip(begins) {
        assert!(text.starts_with(begin), "{text}");
    }
    assert_eq!(origins(&read), ["ClusterNetworkPolicy a", "NetworkPolicy shop/d of Antrea"]);
    let EnginePolicies::Antrea(own) = &read.engine_policies else { panic!("{read:?}") };
    assert_eq!(names(&own.groups.references), ["Group shop/web", "ClusterGroup blocks"]);
    let twice = [
        antrea("ClusterNetworkPolicy", "a", &drop("sec", 5.0, &pods)),
        antrea("ClusterNetworkPolicy", "b", &drop("sec", 5.0, &pods)),
    ];
    let both = [&objects[..1], &twice[..]].concat();
    let why = enforcement(&policies(Engine::Antrea, &both)).expect_err("no fixed order");
    assert!(why.contains("no fixed order"), "{why}");
}

#[test]
fn an_object_of_cilium_is_read_as_a_whole() {
    let allow = json!({"endpointSelector": {}, "ingress": [{"fromEntities": ["cluster"]}]});
    let group = json!({"endpointSelector": {}, "egress": [{"toCIDRSet": [{"cidrGroupRef": "g"}]}]});
    let ports = json!({"endpointSelector": {},
        "ingress": [{"toPorts": [{"ports": [{"port": "80", "endPort": 90, "protocol": "TCP"}]}]}]});
    let two = |other: &Value| json!({"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": "two"}, "specs": [allow, other]});
    let none = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": "none"}});
    let plain_ports =
        plain("p", &json!({"podSelector": {}, "ingress": [{"ports": [{"port": 80, "endPort": 90}]}]}));
    let read = |engine: Engine, other: &Value| {
        let read = policies(engine, &[cilium("a", &allow), two(other), none.clone(), plain_ports.clone()]);
        let EnginePolicies::Cilium(own, _) = &read.engine_policies else { panic!("{read:?}") };
        (
            names(&own.references),
            names(&read.kubernetes.references),
            unread_lines(&read.unread),
            own.entries.len(),
        )
    };
    let (a, both) = ("CiliumNetworkPolicy shop/a", "CiliumClusterwideNetworkPolicy two");
    let (own, plain, unread, count) = read(CILIUM, &ports);
    assert_eq!((own, count), (vec![a.to_owned(), both.to_owned(), both.to_owned()], 3));
    assert_eq!(plain, ["NetworkPolicy shop/p"]);
    assert_eq!(unread, ["CiliumClusterwideNetworkPolicy none: spec: expected it, or specs"]);
    for (engine, other, why) in [(CILIUM, &group, "cidrGroupRef"), (EARLIER_CILIUM, &ports, "endPort")] {
        let (own, plain, unread, _) = read(engine, other);
        assert_eq!(own, [a], "{why}");
        assert!(unread[1].starts_with(both) && unread[1].contains(why), "{unread:?}");
        assert_eq!((plain.len(), unread.len()), if engine == CILIUM { (1, 2) } else { (0, 3) }, "{unread:?}");
    }
}

#[test]
fn each_engine_says_which_kinds_it_goes_by() {
    for engine in ALL {
        let kinds = engine.kinds();
        for (index, kind) in kinds.iter().enumerate() {
            assert!(!kinds[..index].contains(kind), "{kind}");
        }
    }
    let sum: usize = ALL.iter().map(|engine| engine.kinds().len()).sum();
    assert_eq!(sum, 4 + 14 + 9 + 6);
}
