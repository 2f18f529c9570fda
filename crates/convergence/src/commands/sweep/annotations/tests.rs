//! Each clause alone keeps a Pod's annotations.

use crate::commands::sweep::annotations::*;

const ID: &str = "cni.projectcalico.org/containerID";
const ADDRESS: &str = "cni.projectcalico.org/podIP";
const ADDRESSES: &str = "cni.projectcalico.org/podIPs";

/// A Pod with what a DEL under a second ifname leaves on it.
fn stale() -> BoundPod {
    let annotations =
        [(ID, "gone"), (ADDRESS, "10.1.0.7/32"), (ADDRESSES, "10.1.0.7/32,fd00::7/128"), ("other", "x")];
    BoundPod {
        namespace: "ns".into(),
        name: "p1".into(),
        uid: "1f".into(),
        node: "n1".into(),
        annotations: annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..BoundPod::default()
    }
}

fn set(pod: &mut BoundPod, key: &str, value: &str) {
    pod.annotations.insert(key.into(), value.into());
}

fn calico() -> BTreeSet<PodAnnotations> {
    types::profile::Profiles::built_in()
        .find("calico")
        .and_then(|profile| profile.pod_annotations.clone())
        .into_iter()
        .collect()
}

fn decided(pods: &[BoundPod], sandboxes: &[&str]) -> Vec<Change> {
    let sandboxes = sandboxes.iter().map(|id| (*id).to_owned()).collect();
    let facts = Facts { node: "n1", annotations: &calico(), pods, sandboxes: &sandboxes, damaged: false };
    assert_eq!(decide(Facts { damaged: true, ..facts }).err(), Some(DAMAGED));
    decide(facts).expect("no record is damaged")
}

#[test]
fn annotations_of_a_sandbox_that_is_gone_are_removed_and_no_others() {
    let changes = decided(&[stale()], &["alive"]);
    let [change] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(
        change.to_string(),
        "remove   annotations cni.projectcalico.org/containerID, cni.projectcalico.org/podIP, cni.projectcalico.org/podIPs of Pod ns/p1  \
         (they are of sandbox gone, which is gone)"
    );
    let Act::Unannotate(stale) = &change.act else { panic!("{change:?}") };
    let expected = StaleAnnotations {
        namespace: "ns".into(),
        pod: "p1".into(),
        uid: "1f".into(),
        sandbox: (ID.into(), "gone".into()),
        address: (ADDRESS.into(), "10.1.0.7/32".into()),
        keys: [ID, ADDRESS, ADDRESSES].map(str::to_owned).into(),
    };
    assert_eq!(**stale, expected);
}

#[test]
fn an_annotation_that_is_not_there_is_not_removed() {
    let mut pod = self::stale();
    pod.annotations.remove(ADDRESSES);
    let changes = decided(&[pod], &[]);
    let [Act::Unannotate(stale)] = changes.iter().map(|change| &change.act).collect::<Vec<_>>()[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(stale.keys, [ID, ADDRESS]);
}

#[test]
fn each_clause_alone_keeps_them() {
    let long = "a".repeat(LONGEST_ID + 1);
    let with = |change: &dyn Fn(&mut BoundPod)| {
        let mut pod = stale();
        change(&mut pod);
        pod
    };
    for (why, pod) in [
        ("another node's", with(&|pod| pod.node = "n2".into())),
        ("not bound yet", with(&|pod| pod.node = String::new())),
        ("being deleted", with(&|pod| pod.is_leaving = true)),
        ("on the node's network", with(&|pod| pod.host_network = true)),
        ("released", with(&|pod| set(pod, ADDRESS, ""))),
        ("never given one", with(&|pod| drop(pod.annotations.remove(ADDRESS)))),
        ("of no sandbox", with(&|pod| drop(pod.annotations.remove(ID)))),
        ("of an empty sandbox", with(&|pod| set(pod, ID, ""))),
        ("of what is no container id", with(&|pod| set(pod, ID, "no id"))),
        ("of what is no runtime's", with(&|pod| set(pod, ID, &long))),
        ("of a sandbox that may live", with(&|pod| set(pod, ID, "alive"))),
    ] {
        assert!(decided(&[pod], &["alive"]).is_empty(), "{why}");
    }
    let nothing = Facts {
        node: "n1",
        annotations: &BTreeSet::new(),
        pods: &[stale()],
        sandboxes: &BTreeSet::new(),
        damaged: false,
    };
    assert_eq!(decide(nothing).map(|changes| changes.len()), Ok(0), "no network of the node writes any");
}

#[test]
fn pods_are_judged_each_by_itself_and_told_in_their_order() {
    let mut other = stale();
    other.name = "p2".into();
    set(&mut other, ID, "alive");
    let mut third = stale();
    third.name = "p3".into();
    let changes = decided(&[third, other, stale()], &["alive"]);
    let pods: Vec<_> = changes.iter().filter_map(|change| change.target.rsplit('/').next()).collect();
    assert_eq!(pods, ["p1", "p3"]);
}
