//! Reading policies.

use migration::backup::KINDS;
use migration::backup::file::Reading;
use serde_json::{Value, json};
use types::command::exit::Exit;

use super::super::*;
use crate::live::api::error::Meaning;
use crate::live::api::test_server::{Answer, Server, run};

/// An API server with these groups, and an APIService of Calico that has a Service or has none.
fn calico(is_aggregated: bool, shown: &'static [&'static str], stored: &'static [&'static str]) -> Server {
    let resources = |names: &[&str]| {
        let all: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        Answer::json(200, &json!({"resources": all}))
    };
    let items = |names: &[&str]| {
        let all: Vec<Value> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
        Answer::json(200, &json!({"metadata": {}, "items": all}))
    };
    Server::by_rule(move |request| {
        let path = request.line.trim_start_matches("GET ").split('?').next().expect("a path");
        match path {
            "/version" => Answer::json(200, &json!({"gitVersion": "v1.30.0"})),
            "/api/v1/namespaces/kube-system" => Answer::json(200, &json!({"metadata": {"uid": "u"}})),
            "/apis" => {
                let group = |name: &str, versions: &[&str]| {
                    let versions: Vec<Value> = versions
                        .iter()
                        .map(|version| json!({"groupVersion": format!("{name}/{version}")}))
                        .collect();
                    json!({"name": name, "versions": versions})
                };
                let all = [
                    group("projectcalico.org", &["v3"]),
                    group("crd.projectcalico.org", &["v1"]),
                    group("cilium.io", &["v9"]),
                    group("apps", &["v1"]),
                ];
                Answer::json(200, &json!({"groups": all}))
            }
            "/apis/projectcalico.org/v3" | "/apis/crd.projectcalico.org/v1" => {
                resources(&["globalnetworkpolicies", "globalnetworkpolicies/status"])
            }
            "/apis/cilium.io/v9" => resources(&["ciliumnetworkpolicies"]),
            "/apis/cilium.io/v9/ciliumnetworkpolicies" => items(&[]),
            "/apis/projectcalico.org/v3/globalnetworkpolicies" => items(shown),
            "/apis/crd.projectcalico.org/v1/globalnetworkpolicies" => items(stored),
            "/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org" => {
                let spec = if is_aggregated {
                    json!({"service": {"name": "calico-api"}})
                } else {
                    json!({"service": null})
                };
                Answer::json(200, &json!({"spec": spec}))
            }
            "/api/v1/namespaces" => items(&["shop"]),
            other => panic!("a request that is not expected: {other}"),
        }
    })
}

fn gathered(server: &Server, scope: &Scope) -> Result<LiveState, Failures> {
    run(async { gather::gather(&server.client(), scope, &mut |_| {}).await })
}

#[test]
fn calicos_own_api_is_read_and_what_it_keeps_back_is_found() {
    let live =
        gathered(&calico(true, &["default.a", "t.b"], &["a", "t.b"]), &Scope::Backup).expect("policies");
    let names: Vec<&Value> = live.objects.iter().map(|object| &object["metadata"]["name"]).collect();
    assert_eq!(names, ["default.a", "t.b"]);
    assert!(
        live.objects.iter().all(|object| object["apiVersion"] == "projectcalico.org/v3"
            && object["kind"] == "GlobalNetworkPolicy")
    );
    let read = |version: &str, objects| Reading::Read { api_version: version.into(), objects };
    assert_eq!(live.kinds["globalnetworkpolicies.projectcalico.org"], read("projectcalico.org/v3", 2));
    assert_eq!(live.kinds["ciliumnetworkpolicies.cilium.io"], read("cilium.io/v9", 0), "a later version");
    assert_eq!(live.kinds["tiers.projectcalico.org"], Reading::NotServed {});
    assert_eq!(live.kinds.len(), KINDS.len());

    let (exit, problems) =
        gathered(&calico(true, &["a"], &["a", "secret.b"]), &Scope::Backup).expect_err("refused");
    assert_eq!(exit, Exit::Failed);
    assert!(
        problems[0].what.starts_with("Calico's API server does not show 1 of 2 globalnetworkpolicies"),
        "{problems:?}"
    );
    assert!(problems[0].what.ends_with("/secret.b"), "{problems:?}");
    gathered(&calico(false, &["a"], &["a", "of.before"]), &Scope::Backup)
        .expect("its own CustomResourceDefinitions");
}

#[test]
fn a_comparison_reads_the_version_of_the_backup() {
    let versions = Versions::from([(
        "globalnetworkpolicies.projectcalico.org".into(),
        "crd.projectcalico.org/v1".into(),
    )]);
    let live = gathered(&calico(true, &["a"], &["b"]), &Scope::Compare(versions)).expect("policies");
    assert_eq!(live.objects[0]["apiVersion"], "crd.projectcalico.org/v1");
    assert_eq!(live.objects[0]["metadata"]["name"], "b");
    assert_eq!(live.namespaces, ["shop".to_owned()].into());
}

#[test]
fn a_group_that_does_not_answer_is_no_kind_that_is_not_there() {
    let server = Server::by_rule(|request| match request.line.as_str() {
        "GET /version" => Answer::json(200, &json!({"gitVersion": "v1.30.0"})),
        "GET /api/v1/namespaces/kube-system" => Answer::json(200, &json!({"metadata": {"uid": "u"}})),
        "GET /apis" => Answer::json(
            200,
            &json!({"groups": [{"name": "projectcalico.org", "versions": [{"groupVersion": "projectcalico.org/v3"}]}]}),
        ),
        _ => Answer::refusal(503, "ServiceUnavailable", "the aggregated API server is away"),
    });
    let (exit, problems) = gathered(&server, &Scope::Backup).expect_err("refused");
    assert_eq!(exit, Exit::TryLater);
    assert!(problems[0].what.starts_with("ask for /apis/projectcalico.org/v3: 503"), "{problems:?}");
}

#[test]
fn a_missing_right_names_the_manifest() {
    let (exit, problem) = request_failure("list tiers", Meaning::Forbidden("no".into()));
    assert_eq!(exit, Exit::Failed);
    assert!(problem.fix.contains("rbac-policies.yaml"), "{problem:?}");
}

/// A list that takes too long begins anew, and nothing of it is there twice.
#[test]
fn a_list_comes_in_pages_and_begins_anew_once_it_expires() {
    let mut expired = false;
    let server = Server::by_rule(move |request| {
        let page = |names: &[&str], next: &str| {
            let items: Vec<Value> =
                names.iter().map(|name| json!({"metadata": {"name": name, "namespace": "x"}})).collect();
            Answer::json(200, &json!({"metadata": {"continue": next}, "items": items}))
        };
        match request.line.as_str() {
            "GET /version" => Answer::json(200, &json!({"gitVersion": "v1.30.0"})),
            "GET /api/v1/namespaces/kube-system" => Answer::json(200, &json!({"metadata": {"uid": "u"}})),
            "GET /apis" => Answer::json(
                200,
                &json!({"groups": [{"name": "networking.k8s.io", "versions": [{"groupVersion": "networking.k8s.io/v1"}]}]}),
            ),
            "GET /apis/networking.k8s.io/v1" => {
                Answer::json(200, &json!({"resources": [{"name": "networkpolicies"}]}))
            }
            "GET /apis/networking.k8s.io/v1/networkpolicies?limit=500" => page(&["a", "b"], "n+1"),
            "GET /apis/networking.k8s.io/v1/networkpolicies?limit=500&continue=n%2B1" if !expired => {
                expired = true;
                Answer::refusal(410, "Expired", "too old")
            }
            "GET /apis/networking.k8s.io/v1/networkpolicies?limit=500&continue=n%2B1" => page(&["c"], ""),
            other => panic!("a request that is not expected: {other}"),
        }
    });
    let live = gathered(&server, &Scope::Backup).expect("policies");
    let names: Vec<&Value> = live.objects.iter().map(|object| &object["metadata"]["name"]).collect();
    assert_eq!(names, ["a", "b", "c"]);
}
