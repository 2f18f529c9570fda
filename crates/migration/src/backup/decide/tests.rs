use serde_json::json;

use super::*;

fn about() -> ClusterId {
    ClusterId { uid: "cluster".into(), api_server: "v1".into() }
}

fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop", "uid": "u", "resourceVersion": "7"}, "spec": spec})
}

fn calico(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn readings(objects: &[Value]) -> BTreeMap<String, Reading> {
    let mut kinds = BTreeMap::new();
    for object in objects {
        let id = Id::read(object).expect("an object");
        let resource = id.row().expect("a kind").resource();
        let objects = objects.iter().filter(|other| other["kind"] == id.kind.as_str()).count();
        kinds.insert(resource, Reading::Read { api_version: id.api_version, objects });
    }
    kinds
}

fn backup(objects: Vec<Value>) -> Backup {
    Backup::new(about(), readings(&objects), objects).expect("a backup")
}

/// A cluster with these objects that serves what the backup has.
fn live(backup: &Backup, objects: Vec<Value>) -> LiveState {
    LiveState {
        cluster: about(),
        kinds: backup.kinds.clone(),
        objects,
        namespaces: ["shop".to_owned()].into(),
    }
}

fn steps(decided: &RestorePlan) -> Vec<String> {
    let describe = |step: &Step| match step.act {
        Act::Create => format!("create {}", step.id),
        Act::Replace(_) => format!("replace {}", step.id),
    };
    decided.steps.iter().map(describe).collect()
}

#[test]
fn what_is_equal_stays_what_is_missing_is_made_and_what_differs_is_replaced() {
    let kept = backup(vec![
        policy("same", json!({"a": 1})),
        policy("gone", json!({})),
        policy("edited", json!({"a": 1})),
        calico("Tier", "secure", json!({"order": 5})),
        calico("GlobalNetworkPolicy", "secure.a", json!({"tier": "secure"})),
        calico("GlobalNetworkSet", "bad", json!({"nets": ["192.0.2.0/24"]})),
    ]);
    let mut same = policy("same", json!({"a": 1}));
    same["metadata"]["uid"] = "another life".into();
    same["metadata"]["creationTimestamp"] = "2026-11-23T00:00:00Z".into();
    same["status"] = json!({"conditions": []});
    let edited = policy("edited", json!({"a": 2}));
    let decided =
        decide(&kept, &live(&kept, vec![same, edited.clone(), policy("later", json!({}))])).expect("decided");
    assert_eq!(
        steps(&decided),
        [
            "create Tier.projectcalico.org/secure",
            "create GlobalNetworkSet.projectcalico.org/bad",
            "replace NetworkPolicy/shop/edited",
            "create NetworkPolicy/shop/gone",
            "create GlobalNetworkPolicy.projectcalico.org/secure.a",
        ]
    );
    assert_eq!(decided.equal, 1);
    assert_eq!(decided.steps[2].act, Act::Replace(edited), "the version that was seen");
    assert_eq!(decided.steps[4].awaits.as_ref().map(|tier| tier.name.as_str()), Some("secure"));
    assert!(decided.steps[..4].iter().all(|step| step.awaits.is_none()));
    assert_eq!(
        decided.extra.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["NetworkPolicy/shop/later"]
    );
    assert!(decided.skipped.is_empty());
}

#[test]
fn a_cluster_that_has_everything_gets_nothing() {
    let objects = vec![policy("a", json!({"a": 1})), calico("Tier", "secure", json!({}))];
    let kept = backup(objects.clone());
    let decided = decide(&kept, &live(&kept, objects)).expect("decided");
    assert_eq!(decided, RestorePlan { equal: 2, ..RestorePlan::default() });
}

#[test]
fn what_another_controller_makes_is_left_to_it_and_named() {
    let mut owned = policy("owned", json!({}));
    owned["metadata"]["ownerReferences"] = json!([{"kind": "App", "name": "shop", "uid": "u"}]);
    let mut elsewhere = policy("a", json!({}));
    elsewhere["metadata"]["namespace"] = "gone".into();
    let kept = backup(vec![
        owned,
        policy("taken", json!({"a": 1})),
        elsewhere,
        calico("GlobalNetworkPolicy", "kanp.adminnetworkpolicy.a", json!({})),
        calico("Profile", "kns.shop", json!({})),
    ]);
    let mut taken = policy("taken", json!({"a": 2}));
    taken["metadata"]["ownerReferences"] = json!([{"kind": "App", "name": "new", "uid": "v"}]);
    let mirrored = calico("GlobalNetworkPolicy", "kanp.adminnetworkpolicy.new", json!({}));
    let decided = decide(&kept, &live(&kept, vec![taken, mirrored])).expect("decided");
    let left: Vec<String> = decided
        .skipped
        .iter()
        .map(|left| format!("{} {:?}: {}", left.object, left.state, left.why))
        .collect();
    assert_eq!(
        left,
        [
            "NetworkPolicy/gone/a Missing: there is no namespace gone",
            "NetworkPolicy/shop/owned Missing: its owner App/shop makes it",
            "NetworkPolicy/shop/taken Different: its owner App/new makes it",
            "GlobalNetworkPolicy.projectcalico.org/kanp.adminnetworkpolicy.a Missing: Calico makes it",
            "Profile.projectcalico.org/kns.shop Missing: Calico makes it",
        ]
    );
    assert!(decided.steps.is_empty() && decided.extra.is_empty(), "{decided:?}");
}

#[test]
fn a_cluster_that_cannot_take_the_backup_is_refused() {
    let kept =
        backup(vec![calico("Tier", "a", json!({})), calico("Tier", "b", json!({})), policy("c", json!({}))]);
    let now = |change: &dyn Fn(&mut LiveState)| {
        let mut live = live(&kept, Vec::new());
        change(&mut live);
        decide(&kept, &live).expect_err("refused")
    };
    let why = now(&|live| live.cluster.uid = "other".into());
    assert_eq!(
        why,
        ["the backup is of another cluster: of the one with the UID cluster, and this one has the UID other"]
    );
    let tiers = "tiers.projectcalico.org";
    let why = now(&|live| drop(live.kinds.insert(tiers.into(), Reading::NotServed {})));
    assert!(
        why.len() == 1 && why[0].contains("2 tiers.projectcalico.org as projectcalico.org/v3"),
        "{why:?}"
    );
    assert!(why[0].contains("serves them not at all"), "{why:?}");
    let older = Reading::Read { api_version: "crd.projectcalico.org/v1".into(), objects: 0 };
    let why = now(&|live| drop(live.kinds.insert(tiers.into(), older.clone())));
    assert!(why[0].contains("only as crd.projectcalico.org/v1"), "{why:?}");
    let mut going = policy("c", json!({"a": 1}));
    going["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z".into();
    let why = now(&|live| live.objects = vec![going.clone()]);
    assert!(why[0].starts_with("NetworkPolicy/shop/c: it was deleted at 2026"), "{why:?}");
}
