use super::*;
use crate::cni::footprint::DEFINITION;
use crate::finish::removal::Removal;

/// One object of each part, by the CNI that has such a one.
const ONE_OF_EACH: [(Cni, &str, Part); 10] = [
    (Cni::Calico, "Installation.operator.tigera.io/default", Part::Managed),
    (Cni::Calico, "ValidatingWebhookConfiguration/calico-webhooks", Part::Webhook),
    (Cni::Calico, "APIService/v3.projectcalico.org", Part::ApiService),
    (Cni::Antrea, "CustomResourceDefinition/ippools.crd.antrea.io", Part::Converted),
    (Cni::Calico, "Deployment/kube-system/calico-kube-controllers", Part::PodNetwork),
    (Cni::Calico, "Deployment/kube-system/calico-typha", Part::Controller),
    (Cni::Calico, "DaemonSet/kube-system/calico-node", Part::Agent),
    (Cni::Calico, "ConfigMap/kube-system/calico-config", Part::Setting),
    (Cni::Calico, "ClusterRole/calico-node", Part::Right),
    (Cni::Calico, "CustomResourceDefinition/ippools.crd.projectcalico.org", Part::Definition),
];

/// The part that is removed after this one.
const fn next_part(part: Part) -> Option<Part> {
    Some(match part {
        Part::Managed => Part::Resource,
        Part::Resource => Part::Webhook,
        Part::Webhook => Part::ApiService,
        Part::ApiService => Part::Converted,
        Part::Converted => Part::PodNetwork,
        Part::PodNetwork => Part::Controller,
        Part::Controller => Part::Agent,
        Part::Agent => Part::Setting,
        Part::Setting => Part::Right,
        Part::Right => Part::Definition,
        Part::Definition => return None,
    })
}

/// Without what comes first, the next ones could not go: a finalizer needs its controller, and a webhook without its pods refuses requests.
#[test]
fn each_part_goes_once_the_one_before_it_is_gone() {
    let (resource, mut value) = pool("kept");
    value["metadata"]["finalizers"] = json!(["projectcalico.org/ippool-finalizer"]);
    let mut world = World::new();
    let each = ONE_OF_EACH.iter().flat_map(|(cni, title, part)| targets_of(*cni, &[(*title, *part)]));
    world.inventory = present(each.chain([(resource, value)]).collect());
    let plan = world.plan();
    let mut part = Some(Part::Managed);
    while let Some(expected) = part {
        let Removal::Delete(pins) = removal::next(&plan, &world.inventory) else {
            panic!("{expected:?} is not deleted")
        };
        let parts: Vec<Part> = pins.iter().map(|pin| pin.target.part).collect();
        assert_eq!(parts, [expected]);
        // It goes when its controller has cleaned up; until then, nothing else does.
        let (object, gone) = (&pins[0].target, "2026-01-03T00:00:00Z");
        world.inventory.objects.get_mut(object).expect("an object")["metadata"]["deletionTimestamp"] =
            gone.into();
        assert!(matches!(removal::next(&plan, &world.inventory), Removal::Wait { .. }), "{expected:?}");
        world.inventory.objects.remove(object);
        part = next_part(expected);
    }
    assert_eq!(removal::next(&plan, &world.inventory), Removal::Done);
}

/// The whole removal, on a cluster that carries each deletion out.
#[test]
fn objects_go_in_their_order() {
    let mut world = World::fenced();
    let plan = world.plan();
    let mut gone = Vec::new();
    loop {
        match removal::next(&plan, &world.inventory) {
            Removal::Delete(pins) => {
                for pin in pins {
                    gone.push(pin.target.to_string());
                    world.inventory.objects.remove(&pin.target);
                    let plural = pin.target.name.split('.').next().unwrap_or_default().to_owned();
                    world.inventory.objects.retain(|target, _| {
                        pin.target.kind != DEFINITION.kind
                            || target.part != Part::Resource
                            || target.plural != plural
                    });
                }
            }
            Removal::Done => break,
            other @ (Removal::Wait { .. } | Removal::Refuse { .. }) => panic!("{other:?}"),
        }
    }
    assert_eq!(
        gone,
        [
            "Deployment/kube-system/calico-kube-controllers",
            "DaemonSet/kube-system/calico-node",
            "ClusterRole/calico-node",
            "CustomResourceDefinition/ipamblocks.crd.projectcalico.org",
            "CustomResourceDefinition/ippools.crd.projectcalico.org",
        ]
    );
    assert!(world.inventory.objects.is_empty(), "{:?}", world.inventory.objects);
    world.record.as_mut().expect("a record").is_one_way = true;
    assert_eq!(world.line(LineName::Removal).state, LineState::Done);
    assert_eq!(world.line(LineName::Absence).state, LineState::Done);
    assert!(
        world.line(LineName::Absence).evidence[1]
            .contains("delete secret --ignore-not-found calico-etcd-secrets")
    );
}

#[test]
fn an_object_that_was_made_anew_is_not_deleted() {
    let mut world = World::fenced();
    let plan = world.plan();
    let (target, _) = targets(&CALICO[1..2]).remove(0);
    world.inventory.objects.get_mut(&target).expect("there")["metadata"]["uid"] = "other".into();
    let Removal::Refuse { what, .. } = removal::next(&plan, &world.inventory) else {
        panic!("it would be deleted")
    };
    assert!(what.contains("was made anew") && what.contains("other"), "{what}");
    // Nor is anything before its turn: what made it anew would miss that.
    let mut world = World::fenced();
    let (target, _) = targets(&CALICO[2..3]).remove(0);
    world.inventory.objects.get_mut(&target).expect("there")["metadata"]["uid"] = "other".into();
    let Removal::Refuse { what, .. } = removal::next(&plan, &world.inventory) else {
        panic!("something else would be deleted")
    };
    assert!(what.starts_with("ClusterRole/calico-node was made anew"), "{what}");
    // A pool that no approval covers keeps its definition.
    let mut world = World::fenced();
    let (target, value) = pool("made-later");
    world.inventory.objects.insert(target, value);
    world
        .inventory
        .objects
        .retain(|target, _| matches!(target.part, Part::Resource) || target.name.starts_with("ippools"));
    let Removal::Refuse { what, .. } = removal::next(&plan, &world.inventory) else {
        panic!("it would be deleted")
    };
    assert!(what.starts_with("IPPool.crd.projectcalico.org/made-later was made since"), "{what}");
}

#[test]
fn a_finalizer_is_named_and_waited_for() {
    for (finalizers, says) in [
        (json!(["foregroundDeletion"]), "is being deleted, with what belongs to it"),
        (
            json!(["tigera.io/cni-protector", "foregroundDeletion"]),
            "keeps its finalizers: tigera.io/cni-protector",
        ),
    ] {
        let mut world = World::fenced();
        let plan = world.plan();
        let (target, _) = targets(&CALICO[1..2]).remove(0);
        let object = world.inventory.objects.get_mut(&target).expect("there");
        object["metadata"]["deletionTimestamp"] = "2026-01-03T00:00:00Z".into();
        object["metadata"]["finalizers"] = finalizers;
        let Removal::Wait { what, .. } = removal::next(&plan, &world.inventory) else {
            panic!("something else would be deleted")
        };
        assert!(what.contains(says), "{what}");
    }
}

#[test]
fn the_api_server_names_what_keeps_a_definition() {
    let mut world = World::fenced();
    let plan = world.plan();
    world.inventory.objects.retain(|target, _| target.part == Part::Definition);
    for object in world.inventory.objects.values_mut() {
        object["metadata"]["deletionTimestamp"] = "2026-01-03T00:00:00Z".into();
        object["metadata"]["finalizers"] = json!(["customresourcecleanup.apiextensions.k8s.io"]);
        object["status"]["conditions"] = json!([{"type": "Established", "message": "x"}, {"type": "Terminating", "message": "1 resource remains"}]);
    }
    let Removal::Wait { what, .. } = removal::next(&plan, &world.inventory) else {
        panic!("something else would be deleted")
    };
    assert!(what.ends_with("with what belongs to it: 1 resource remains"), "{what}");
}

#[test]
fn an_api_that_is_away_stops_deletions() {
    let mut world = World::fenced();
    let plan = world.plan();
    world.inventory.unavailable = vec!["v1beta1.metrics.k8s.io".into()];
    assert!(matches!(removal::next(&plan, &world.inventory), Removal::Wait { .. }));
    let mut own = targets(&[("APIService/v3.projectcalico.org", Part::ApiService)]);
    own.extend(targets(&CALICO));
    world.inventory.objects = own.into_iter().collect();
    world.inventory.unavailable = vec!["v3.projectcalico.org".into()];
    let plan = FinishPlan::new(&world.case.scene(), &world.inventory);
    assert!(
        matches!(removal::next(&plan, &world.inventory), Removal::Delete(_)),
        "the CNI's own is about to go"
    );
}
