//! The NodeClaims of Karpenter, where a plan has Karpenter replace nodes.

use snapshot::model::Text;

use super::*;

/// A plan that has a pool replaced by this method.
fn rotation(method: &str) -> Plan {
    let pool = json!({"name": "blue", "nodes": 1, "zones": [""], "method": method});
    Plan { image: Some(Phase::New), pools: vec![serde_json::from_value(pool).expect("a pool")], ..plan() }
}

/// A cluster with Karpenter in this version, whose node `a` is drifted. A credential may watch NodeClaims or not.
fn with_karpenter(version: &'static str, may_watch: bool) -> Server {
    cluster(move |request| {
        let line = request.line.as_str();
        if line == "GET /apis" {
            let versions = json!([{"groupVersion": format!("karpenter.sh/{version}")}]);
            return Some(Answer::json(
                200,
                &json!({"groups": [{"name": "karpenter.sh", "versions": versions}]}),
            ));
        }
        if line.contains("selfsubjectaccessreviews") {
            let is_of_claims = request.json()["spec"]["resourceAttributes"]["resource"] == "nodeclaims";
            let status = json!({"allowed": may_watch || !is_of_claims});
            return Some(Answer::json(201, &json!({"spec": {}, "status": status})));
        }
        let conditions = json!([{"type": "Drifted", "status": "True"}]);
        let claim = json!({"metadata": {"name": "c-a", "uid": "u", "resourceVersion": "3"},
            "status": {"nodeName": "a", "conditions": conditions}});
        line.contains(&format!("/apis/karpenter.sh/{version}/nodeclaims?limit")).then(|| list(&[claim]))
    })
}

#[test]
fn node_claims_are_found_and_watched_where_karpenter_replaces_nodes() {
    run(async {
        for version in ["v1", "v1beta1"] {
            let server = with_karpenter(version, true);
            let mut session = holding(&server).await;
            assert!(!session.find_node_claims(&rotation("permit")).await.expect("nothing of Karpenter"));
            let world = session.look(&a_run(), &rotation("permit"), LONG).await.expect("a world");
            assert_eq!(world.drifted, None);
            assert!(session.find_node_claims(&rotation("karpenter")).await.expect("found"));
            assert!(!session.find_node_claims(&rotation("karpenter")).await.expect("found before"));
            let world = session.look(&a_run(), &rotation("karpenter"), LONG).await.expect("a world");
            assert_eq!(world.drifted.as_deref(), Some(&[Text::from("a")].into()), "{version}");
        }
    });
}

#[test]
fn node_claims_that_cannot_be_read_are_said_before_anything_is_changed() {
    run(async {
        for (version, may_watch, what, fix) in [
            ("v2", true, "serves no NodeClaims", "roll.methods"),
            ("v1", false, "rights are missing: watch nodeclaims.karpenter.sh", "rbac-operator.yaml"),
        ] {
            let server = with_karpenter(version, may_watch);
            let mut session = holding(&server).await;
            let (_, problem) = session.find_node_claims(&rotation("karpenter")).await.expect_err(what);
            assert!(problem.what.contains(what) && problem.fix.contains(fix), "{problem:?}");
        }
    });
}
