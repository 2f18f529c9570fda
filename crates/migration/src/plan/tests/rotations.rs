//! Plans that replace nodes: their passes, the methods of their pools, what keeps them from being made, and what makes them stale.

use serde_json::{Value, json};
use snapshot::model::Kind;
use types::policy::Phase::{self, BothNew, BothOld, New, Old};

use super::case::{cluster, labelled, node, observed, planned, refused, report, with};
use crate::check::finding::{Finding, Severity, Subject};
use crate::check::tests::{Case, object};
use crate::cni::reach::Way::{self, Join, Leave, Replace, Restart};
use crate::cni::support::{Cni, Strategy};
use crate::config::roll::Method;
use crate::plan::notes::risks;
use crate::plan::{Drift, Plan, Survey, drift, notes};

const JOINED: &str = "image: both-new, bridge: {accept: a router}";
const ROUTER: &str = "bridge: {accept: a router}";

/// A node on which nothing of Crossfade is.
fn plain(name: &str, pool: Option<&str>) -> Value {
    let node = labelled(node(name, ""), "crossfade/phase", Value::Null);
    let mut node = labelled(labelled(node, "karpenter.sh/nodepool", Value::Null), "pool", pool);
    node["metadata"]["annotations"] = json!({});
    node
}

/// A node of no pipeline, in this phase, whose pods networks join and leave.
fn reporting(name: &str, phase: Phase) -> Value {
    let mut node = labelled(plain(name, None), "crossfade/phase", phase.as_str());
    let mut seen = observed();
    (seen["phase"], seen["mints"], seen["joins"]) =
        (phase.as_str().into(), json!([phase.as_str()]), json!(["old", "new"]));
    report(&mut node, &seen);
    node
}

/// A rotation of these nodes, with these keys of `roll`.
fn rotation(nodes: impl IntoIterator<Item = Value>, roll: &str) -> Case {
    let settings = format!(
        "nodes: {{poolLabels: [pool, karpenter.sh/nodepool, eks.amazonaws.com/nodegroup]}}\nroll: {{{roll}}}"
    );
    Case { strategy: Strategy::Rotation, ..with(cluster(nodes), &settings) }
}

/// Each row: the image, the nodes, and the passes, each with its way.
#[test]
fn the_image_decides_on_the_passes() {
    let all_old = || vec![reporting("a", Old), reporting("b", Old)];
    for (image, nodes, passes, restarts) in [
        ("new", vec![plain("a", None), plain("b", None)], &[(New, Replace)][..], 1),
        ("new", vec![plain("a", None), reporting("b", New)], &[(New, Replace)], 1),
        ("new", all_old(), &[(New, Replace)], 1),
        ("both-new", all_old(), &[(BothOld, Join), (BothNew, Replace), (New, Leave)], 1),
        ("both-new", vec![reporting("a", BothOld)], &[(BothNew, Replace), (New, Leave)], 1),
        ("both-old", vec![plain("a", None)], &[(BothOld, Replace), (BothNew, Restart), (New, Leave)], 2),
    ] {
        let plan = planned(&rotation(nodes, &format!("image: {image}, {ROUTER}")));
        let steps: Vec<(Phase, Way)> = plan.steps().map(|(_, to, way)| (to, way)).collect();
        assert_eq!((steps.as_slice(), plan.restarts()), (passes, restarts), "{image}");
        assert_eq!(plan.image.map(Phase::as_str), Some(image));
        assert!(plan.bridge.is_some() == (image == "new"), "{image}: {:?}", plan.bridge);
    }
    let without = planned(&rotation([plain("a", None)], ROUTER));
    assert_eq!(without.image, Some(New), "the default");
}

/// A node of this pool that was made at this time.
fn dated_node(node: Value, pool: &str, time: &str) -> Value {
    let mut node = labelled(node, "pool", pool);
    node["metadata"]["creationTimestamp"] = time.into();
    node
}

/// A node of each of two pools, in this phase.
fn fleet(phase: Phase) -> [Value; 2] {
    ["blue", "web"].map(|pool| dated_node(reporting(&format!("n-{pool}"), phase), pool, "1"))
}

/// Each row: the settings, the nodes of two pools, the passes, and the phase of the image of each pool.
#[test]
fn each_pool_is_replaced_in_the_pass_to_the_phase_of_its_image() {
    let all_old =
        || vec![dated_node(reporting("a", Old), "blue", "1"), dated_node(reporting("b", Old), "red", "1")];
    let with_new = |phase: Phase| {
        let first = [
            dated_node(reporting("a", BothOld), "blue", "1"),
            dated_node(reporting("b", BothOld), "red", "1"),
        ];
        first.into_iter().chain([dated_node(reporting("n", phase), "red", "2")]).collect::<Vec<_>>()
    };
    let joined = &[(BothOld, Join), (BothNew, Replace), (New, Leave)][..];
    let mixed = &[(BothOld, Join), (BothNew, Replace), (New, Replace)][..];
    for (settings, nodes, passes, images) in [
        ("image: both-new", all_old(), joined, [BothNew, BothNew]),
        ("image: both-new, images: {red: both-new}", all_old(), joined, [BothNew, BothNew]),
        ("image: both-new, images: {red: new}", all_old(), mixed, [BothNew, New]),
        ("images: {'*': both-new, red: new}", all_old(), mixed, [BothNew, New]),
        ("images: {blue: both-new}", all_old(), mixed, [BothNew, New]),
        (
            "images: {'*': both-new, red: both-old}",
            vec![dated_node(reporting("a", Old), "blue", "1"), dated_node(plain("b", None), "red", "1")],
            &[(BothOld, Replace), (BothNew, Replace), (New, Leave)],
            [BothNew, BothOld],
        ),
        ("images: {'*': new}", all_old(), &[(New, Replace)], [New, New]),
        ("images: {blue: both-new}, methods: {red: drain}", all_old(), joined, [BothNew, BothNew]),
        // Of red, the newest node is further than the others; of blue, none is, so that the default holds.
        ("methods: {blue: drain}", with_new(BothNew), &[(BothNew, Replace), (New, Leave)], [New, BothNew]),
        (
            "images: {blue: both-new}",
            with_new(BothNew),
            &[(BothNew, Replace), (New, Leave)],
            [BothNew, BothNew],
        ),
        ("image: new", with_new(BothNew), &[(New, Replace)], [New, New]),
        ("images: {'*': new}", with_new(BothOld), &[(New, Replace)], [New, New]),
        ("", with_new(BothOld), &[(New, Replace)], [New, New]),
    ] {
        let case =
            rotation(nodes, &format!("{settings}{}{ROUTER}", if settings.is_empty() { "" } else { ", " }));
        let plan = planned(&case);
        let steps: Vec<(Phase, Way)> = plan.steps().map(|(_, to, way)| (to, way)).collect();
        assert_eq!(steps, passes, "{settings}");
        for (pool, image) in ["blue", "red"].into_iter().zip(images) {
            let image = Some(image).filter(|_| plan.method(pool).replaces());
            assert_eq!(plan.image_phase(pool), image, "{settings}: {pool}");
        }
        let own = plan.pools.iter().filter(|pool| pool.image.is_some()).count();
        let others = images
            .iter()
            .zip(&plan.pools)
            .filter(|(image, pool)| pool.method.replaces() && Some(**image) != plan.image);
        assert_eq!(own, others.count(), "{settings}: a pool names no image that is the plan's");
        assert_eq!(lines(drift(&plan, &case.scene())), (false, vec![]), "{settings}");
        let has_both = plan.passes.contains(&BothOld) || plan.passes.contains(&BothNew);
        let strategy = if has_both { Strategy::Double } else { Strategy::Rotation };
        assert_eq!(case.scene().network_strategy(), strategy, "{settings}");
    }
}

/// What the newest node was on the day of the plan counts, also when it has gone.
#[test]
fn a_plan_keeps_the_image_that_the_newest_node_had() {
    let old =
        [dated_node(reporting("a", BothOld), "red", "1"), dated_node(reporting("b", BothOld), "red", "2")];
    let newest = dated_node(reporting("n", BothNew), "red", "3");
    let case = rotation(old.clone().into_iter().chain([newest]), "");
    let plan = planned(&case);
    assert_eq!((plan.image, plan.image_phase("red")), (Some(New), Some(BothNew)));
    let (is_stale, _) = lines(drift(&plan, &rotation(old, "").scene()));
    assert!(!is_stale);
    let words = "The image of pool \"red\" is taken to be in phase both-new, as its newest node is";
    let notes = notes(&case.scene(), &Survey::gather(&case.scene()), &plan);
    assert!(notes.iter().any(|note| note.starts_with(words)), "{notes:#?}");
}

#[test]
fn notes_tell_images_of_pools_apart_where_they_differ() {
    let nodes = [dated_node(reporting("a", Old), "blue", "1"), dated_node(reporting("b", Old), "red", "1")];
    let case = rotation(nodes, "images: {blue: both-new, red: new, gone: new}");
    let notes = notes(&case.scene(), &Survey::gather(&case.scene()), &planned(&case));
    for words in [
        "of the 1 nodes that pipelines replace by an image in phase both-new, those",
        "of the 1 nodes that pipelines replace by an image in phase new, those",
        "roll.images: no pool is called gone.",
    ] {
        assert!(notes.iter().any(|note| note.contains(words)), "{words}: {notes:#?}");
    }
}

/// Each row: the image, a node of it that is here, and what the note on the way back says.
#[test]
fn the_plan_says_which_way_back_the_image_has() {
    let mut returning = reporting("n", New);
    let mut seen = observed();
    (seen["phase"], seen["mints"], seen["follows"]) = ("new".into(), json!(["new"]), json!(["old", "new"]));
    report(&mut returning, &seen);
    for (image, nodes, words) in [
        (
            "new",
            vec![plain("a", None), plain("b", None)],
            &["of the 2 nodes", "in place (about 16 min", "by a node of the earlier image (about 24 min"][..],
        ),
        ("new", vec![plain("a", None), returning], &["Of 1 such nodes that are here, 1 follow it"]),
        ("both-new", vec![reporting("a", Old)], &["any other is held", "from both-new to old"]),
        ("final", vec![reporting("a", New)], &["roll abort --to new"]),
    ] {
        let case = rotation(nodes, &format!("image: {image}, {ROUTER}"));
        let notes = notes(&case.scene(), &Survey::gather(&case.scene()), &planned(&case));
        let has_all = |note: &String| words.iter().all(|word| note.contains(word));
        assert!(notes.iter().any(has_all), "{image}: {notes:#?}");
    }
    for (node, image, may_be_kept) in [
        (plain("a", None), "new", true),
        (of_karpenter("a"), "new", false),
        (reporting("a", Old), "both-new", false),
    ] {
        let case = rotation([node], &format!("image: {image}, {ROUTER}"));
        let notes = notes(&case.scene(), &Survey::gather(&case.scene()), &planned(&case));
        let is_named = notes.iter().any(|note| note.contains("A Node that is kept"));
        assert_eq!(is_named, may_be_kept, "{image}: {notes:#?}");
    }
}

/// Once all nodes are in `new`, the final image takes their places.
#[test]
fn the_final_image_replaces_nodes_in_phase_new() {
    let final_rotation = |nodes: Vec<Value>| rotation(nodes, "image: final");
    let plan = planned(&final_rotation(vec![reporting("a", New), plain("b", None)]));
    let steps: Vec<_> = plan.steps().collect();
    assert_eq!((steps.as_slice(), plan.restarts()), (&[(New, New, Replace)][..], 1));
    assert!(plan.is_final() && !plan.fixes_stragglers() && plan.rotates("") && plan.bridge.is_none());
    assert_eq!(plan.plain_phase(), New);
    let mut bystander = reporting("d", New);
    let mut seen = observed();
    (seen["phase"], seen["mints"]) = ("new".into(), json!(["new", "both-old"]));
    report(&mut bystander, &seen);
    for (nodes, what) in [
        (vec![reporting("a", New), reporting("b", BothNew)], "b"),
        (vec![reporting("a", New), bystander], "d"),
        (vec![plain("a", None)], "no node has Crossfade"),
    ] {
        let problems = refused(&final_rotation(nodes), &[]);
        assert!(problems.iter().any(|problem| problem.contains(what)), "{what}: {problems:?}");
    }
    let case = final_rotation(vec![reporting("a", New), reporting("b", New)]);
    let notes = notes(&case.scene(), &Survey::gather(&case.scene()), &planned(&case));
    assert!(!notes.iter().any(|note| note.contains("rolled back")), "{notes:#?}");
}

/// A node of a managed node group.
fn of_group(name: &str, group: &str) -> Value {
    labelled(plain(name, None), "eks.amazonaws.com/nodegroup", group)
}

/// A node of Karpenter's pool `web`.
fn of_karpenter(name: &str) -> Value {
    labelled(plain(name, None), "karpenter.sh/nodepool", "web")
}

/// A node of Cluster API's pool `fleet`.
fn of_machine(name: &str) -> Value {
    let mut node = labelled(plain(name, None), "pool", "fleet");
    node["metadata"]["annotations"] = json!({"cluster.x-k8s.io/machine": "m-1",
        "cluster.x-k8s.io/cluster-namespace": "fleets", "cluster.x-k8s.io/cluster-name": "blue"});
    node
}

#[test]
fn the_plan_says_what_moves_the_nodes_of_each_pool() {
    let stays = labelled(reporting("s", Old), "pool", "stay");
    let nodes = [
        plain("k", None),
        of_karpenter("l"),
        of_karpenter("n"),
        of_group("m", "blue"),
        of_machine("o"),
        labelled(plain("p", Some("gke")), "cloud.google.com/gke-nodepool", "gke"),
        labelled(plain("q", Some("aks")), "kubernetes.azure.com/agentpool", "aks"),
        labelled(plain("r", Some("shoot")), "worker.gardener.cloud/pool", "shoot"),
        stays,
    ];
    let case = rotation(nodes, &format!("methods: {{stay: drain}}, {ROUTER}"));
    let plan = planned(&case);
    let methods: Vec<(&str, Method)> = plan.pools.iter().map(|pool| (&*pool.name, pool.method)).collect();
    let expected = [
        ("", Method::Permit),
        ("aks", Method::Follow),
        ("blue", Method::Follow),
        ("fleet", Method::ClusterApi),
        ("gke", Method::Follow),
        ("shoot", Method::Follow),
        ("stay", Method::Drain),
        ("web", Method::Karpenter),
    ];
    assert_eq!(methods, expected);
    assert_eq!((plan.image_phase("blue"), plan.image_phase("stay")), (Some(New), None));
    let planned_nodes = plan.waves.iter().flat_map(|wave| &wave.nodes);
    let mut pools: Vec<(&str, &str)> = planned_nodes.map(|node| (&*node.name, &*node.pool)).collect();
    pools.sort_unstable();
    pools.retain(|(name, _)| !["p", "q", "r"].contains(name));
    assert_eq!(pools, [("k", ""), ("l", "web"), ("m", "blue"), ("n", "web"), ("o", "fleet"), ("s", "stay")]);
    let all = notes(&case.scene(), &Survey::gather(&case.scene()), &plan);
    for words in [
        "starts 2 new nodes, or as many as its maxUnavailable if that is more (roll.maxUnavailable can name it),",
        "Karpenter replaces the 2 nodes of pool \"web\"",
        "Cluster API replaces the 1 nodes of pool \"fleet\"",
        "The pipeline of pool \"\" (1 nodes) must ask",
    ] {
        assert!(all.iter().any(|note| note.contains(words)), "{words}: {all:#?}");
    }
    for (most, words) in [
        (
            "1",
            "starts 2 new nodes before it drains the first, then cordons all old nodes at once and drains 1 of them",
        ),
        ("7", "starts 7 new nodes before"),
    ] {
        let settings = format!("{ROUTER}, maxUnavailable: {{blue: {most}}}");
        let case = rotation([of_group("m", "blue")], &settings);
        let all = notes(&case.scene(), &Survey::gather(&case.scene()), &planned(&case));
        assert!(all.iter().any(|note| note.contains(words)), "{words}: {all:#?}");
    }
}

#[test]
fn images_and_risks_are_named_beside_the_plan() {
    let of_image = |name: &str, image: &str| labelled(reporting(name, New), "crossfade/image", image);
    let case = rotation(
        [plain("a", None), of_image("b", "5f2c"), of_image("c", "77aa"), of_image("d", "77aa")],
        ROUTER,
    );
    let plan = planned(&case);
    let all = notes(&case.scene(), &Survey::gather(&case.scene()), &plan);
    let words = "Images of the nodes of pool \"\" (label crossfade/image): 5f2c (1), 77aa (2), none (1).";
    assert!(all.iter().any(|note| note == words), "{all:#?}");
    assert!(all.iter().any(|note| note.contains("suspend AZRebalance")), "{all:#?}");
    let without = rotation([plain("a", None)], ROUTER);
    let none = notes(&without.scene(), &Survey::gather(&without.scene()), &planned(&without));
    assert!(!none.iter().any(|note| note.starts_with("Images")), "{none:#?}");

    let finding = |severity, objects: &[&str]| {
        let object = |name: &&str| Subject::new(Kind::KARPENTER_NODE_CLAIM, *name).detail("5 h from now");
        let objects = objects.iter().map(object).chain([Subject::new(Kind::NODE, "z")]);
        let rule = crate::check::CATALOG.find("karpenter-expiry").expect("a rule");
        Finding::new(rule).severity(severity).with_objects(objects)
    };
    let waived = Finding { waived: Some("so".into()), ..finding(Severity::Risk, &[]) };
    assert_eq!(risks(&plan, &[finding(Severity::Note, &["x"]), waived]), None);
    let bare = Finding { objects: Vec::new(), ..finding(Severity::Risk, &[]) };
    let text = risks(&plan, &[finding(Severity::Risk, &["w", "x", "y"]), bare]).expect("a note");
    let words = "Risks of this rotation: karpenter-expiry, Node/z, NodeClaim/w (5 h from now), NodeClaim/x (5 h from now) and 1 more; karpenter-expiry. kubectl";
    assert!(text.starts_with(words), "{text}");
}

/// Each row: nodes and settings of a rotation, and the one thing in the way, with the nearest rotation that has a plan.
/// A pipeline has no settings, and a run has no NodePools.
#[test]
fn a_plan_that_replaces_nodes_has_what_pipelines_and_new_nodes_need() {
    let pool = object(
        Kind::KARPENTER_NODE_POOL,
        "web",
        json!({"spec": {"template": {"spec": {"startupTaints": [{"key": "example.com/a", "effect": "NoSchedule"}]}}}}),
    );
    let case = rotation(
        [plain("a", None), pool.1],
        &format!("{ROUTER}}}\nstartupTaints: [{{key: example.com/b, effect: NoSchedule}}]\ndns: {{"),
    );
    let plan = planned(&case);
    assert_eq!(plan.pool_labels, ["pool", "karpenter.sh/nodepool", "eks.amazonaws.com/nodegroup"]);
    let taints: Vec<&str> = plan.startup_taints.iter().map(AsRef::as_ref).collect();
    assert_eq!(taints, ["example.com/a", "example.com/b"]);
    let cnis: Vec<Option<Cni>> = plan.agents.iter().map(|agent| agent.cni).collect();
    assert_eq!(cnis, [Some(Cni::Cilium), Some(Cni::Flannel)]);
    assert_eq!(lines(drift(&plan, &case.scene())), (false, vec![]));
    let in_place = planned(&cluster([node("a", ""), node("b", "")]));
    assert!(in_place.pool_labels.is_empty() && in_place.startup_taints.is_empty());
    assert!(in_place.agents.iter().all(|agent| agent.cni.is_none()));
}

/// Nothing may replace them, and the run would wait for ever.
#[test]
fn nodes_of_the_control_plane_that_would_be_replaced_are_named() {
    let control = |name: &str, pool: &str| {
        let node = labelled(reporting(name, Old), "pool", pool);
        labelled(node, "node-role.kubernetes.io/control-plane", "")
    };
    let note_of = |roll: &str| {
        let case =
            rotation([plain("a", Some("blue")), control("cp1", "masters")], &format!("{ROUTER}, {roll}"));
        let notes = notes(&case.scene(), &Survey::gather(&case.scene()), &planned(&case));
        notes.into_iter().find(|note| note.contains("control plane"))
    };
    let note = note_of("").expect("a note");
    for part in ["permit", "\"masters\": cp1", "leaveOut: [{node: cp1", "methods: {\"masters\": drain}"] {
        assert!(note.contains(part), "{part}: {note}");
    }
    assert_eq!(note_of("methods: {masters: drain}"), None);
    assert_eq!(note_of("leaveOut: [{node: cp1, reason: nothing replaces it}]"), None);
}

#[test]
fn what_no_run_could_follow_is_named() {
    let labelled_web = |name| plain(name, Some("web"));
    for (bad, good, words) in [
        (
            rotation([reporting("a", Old)], "methods: {'*': drain}, bridge: {accept: a}"),
            rotation([reporting("a", Old)], "methods: {'*': follow}, bridge: {accept: a}"),
            "roll.methods: every pool moves in place, so no node is replaced",
        ),
        (
            rotation([of_karpenter("a"), labelled_web("b")], ROUTER),
            rotation([of_karpenter("a"), plain("b", Some("other"))], ROUTER),
            "Pool/web: two pipelines replace nodes of the pool web: that of a, and that of b",
        ),
        (
            rotation([labelled_web("a"), of_group("b", "web")], ROUTER),
            rotation([labelled_web("a"), of_group("b", "blue")], ROUTER),
            "Pool/web: two pipelines replace nodes of the pool web: that of b, and that of a",
        ),
        (
            rotation([labelled_web("a")], &format!("methods: {{web: karpenter}}, {ROUTER}")),
            rotation([of_karpenter("a")], &format!("methods: {{web: karpenter}}, {ROUTER}")),
            "roll.methods: the pool web has the method karpenter, and none of its nodes has the label karpenter.sh/nodepool",
        ),
        (
            rotation([plain("a", Some("fleet"))], &format!("methods: {{fleet: cluster-api}}, {ROUTER}")),
            rotation([of_machine("a")], &format!("methods: {{fleet: cluster-api}}, {ROUTER}")),
            "roll.methods: the pool fleet has the method cluster-api, and none of its nodes has all annotations of a Machine: cluster.x-k8s.io/machine, cluster.x-k8s.io/cluster-namespace, cluster.x-k8s.io/cluster-name",
        ),
        (
            rotation([plain("a", None), reporting("b", BothNew)], &format!("image: both-old, {ROUTER}")),
            rotation([plain("a", None), reporting("b", BothOld)], &format!("image: both-old, {ROUTER}")),
            "Node/b: these nodes of the pool without a name are further than an image in phase both-old: b",
        ),
        (
            rotation([reporting("a", BothOld), reporting("b", BothNew)], "image: both-old"),
            rotation([reporting("a", Old), reporting("b", BothOld)], "image: both-old"),
            "Node/*: every node is in phase both-old already, so no node is replaced by an image in an earlier phase",
        ),
        (
            rotation(
                [
                    dated_node(reporting("a", Old), "web", "1"),
                    dated_node(reporting("b", BothNew), "web", "2"),
                ],
                JOINED,
            ),
            rotation(
                [
                    dated_node(reporting("a", Old), "web", "2"),
                    dated_node(reporting("b", BothNew), "web", "1"),
                ],
                JOINED,
            ),
            "Pool/web: the newest node of the pool web, b, is of an image in phase both-new, and the first pass leads to both-old and allows none above that",
        ),
        (
            rotation(fleet(BothOld), "images: {blue: both-old, web: both-new}"),
            rotation(fleet(Old), "images: {blue: both-old, web: both-new}"),
            "Pool/blue: every node is in phase both-old already, so no pass replaces the nodes of the pool blue by an image in phase both-old",
        ),
        (
            rotation([plain("a", None)], "image: both-new"),
            rotation([reporting("a", Old)], "image: both-new"),
            "Node/a: no Crossfade reports to these Nodes (annotation crossfade/observed): a",
        ),
        (
            rotation(
                [plain("a", None), plain("b", Some("stay"))],
                &format!("methods: {{stay: drain}}, {ROUTER}"),
            ),
            rotation(
                [plain("a", None), labelled(reporting("b", Old), "pool", "stay")],
                &format!("methods: {{stay: drain}}, {ROUTER}"),
            ),
            "Node/b: no Crossfade reports to these Nodes (annotation crossfade/observed): b",
        ),
        (
            rotation([plain("a", None)], ""),
            rotation([plain("a", None)], ROUTER),
            "roll.bridge: in the pass to new, pods in old reach pods in new only if nodes forward between both networks, and nothing proves that they do",
        ),
    ] {
        let lines = refused(&bad, &[]);
        assert!(lines.iter().any(|line| line.starts_with(words)), "{words}: {lines:#?}");
        planned(&good);
    }
    let stays =
        Case { strategy: Strategy::Double, ..rotation([reporting("a", Old)], "methods: {'*': permit}") };
    let words = "roll.methods: pool \"\" has the method permit, and only a rotation replaces nodes";
    assert_eq!(refused(&stays, &[]), [words]);
}

/// The lines of a drift, with whether the plan is stale.
fn lines(drift: Drift) -> (bool, Vec<String>) {
    match drift {
        Drift::Absorbed(lines) => (false, lines),
        Drift::Stale(lines) | Drift::Refused(lines) => (true, lines),
        Drift::Unenforced(policies) => (true, policies.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn a_rotation_goes_on_while_nodes_come_and_go() {
    let case = |nodes: Vec<Value>| rotation(nodes, ROUTER);
    let plan = planned(&case(vec![of_karpenter("a"), of_karpenter("b")]));
    let mut new = labelled(reporting("c", New), "karpenter.sh/nodepool", "web");
    let mut seen = observed();
    (seen["phase"], seen["mints"], seen["base"]) = ("new".into(), json!(["new"]), "that of the image".into());
    report(&mut new, &seen);
    for (nodes, expected) in [
        (vec![of_karpenter("a"), of_karpenter("b")], vec![]),
        (
            vec![of_karpenter("b"), new],
            vec!["Node c came to pool \"web\", whose nodes are replaced.", "Node a is gone."],
        ),
    ] {
        let (is_stale, lines) = lines(drift(&plan, &case(nodes).scene()));
        assert!(!is_stale && lines == expected, "{lines:#?}");
    }
}

/// Each row: what was written into a plan whose settings name none of it, and a word of the line that makes it stale.
#[test]
fn a_rotation_is_what_its_settings_give() {
    let case = rotation(
        [of_karpenter("a"), labelled(reporting("s", Old), "pool", "stay")],
        &format!("methods: {{stay: drain}}, {ROUTER}"),
    );
    let honest = planned(&case);
    let forged = |key: &str, value: Value| {
        let mut plan = serde_json::to_value(&honest).expect("JSON");
        for pool in plan["pools"].as_array_mut().expect("pools") {
            pool["image"] = Value::Null;
        }
        *plan.pointer_mut(key).unwrap_or_else(|| panic!("{key}")) = value;
        serde_json::from_value::<Plan>(plan).expect("a plan")
    };
    for (plan, words) in [
        (forged("/image", "both-new".into()), "The plan's image"),
        (forged("/image", Value::Null), "The plan's image"),
        (forged("/ways", json!(["restart"])), "The plan's ways"),
        (forged("/passes", json!(["both-old", "new"])), "The plan's passes"),
        (forged("/pools/0/method", "permit".into()), "The plan's pools"),
        (forged("/pools/1/method", "churn".into()), "The plan's pools"),
        (forged("/pools/1/image", "both-new".into()), "The plan's passes"),
        (forged("/pools/1/image", "old".into()), "The plan's pools"),
        (forged("/pools/1/image", "new".into()), "The plan's pools"),
        (forged("/pools/0/image", "both-new".into()), "The plan's pools"),
    ] {
        let (is_stale, lines) = lines(drift(&plan, &case.scene()));
        assert!(is_stale && lines.iter().any(|line| line.starts_with(words)), "{words}: {lines:#?}");
    }
    let (is_stale, lines) = lines(drift(&honest, &case.scene()));
    assert!(!is_stale && lines.is_empty(), "{lines:#?}");
}
