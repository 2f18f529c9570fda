//! Failed requests in words for people, with the next step.

use types::api::refusal::Refusal;
use types::command::exit::Exit;
use types::command::problem::Problem;

use crate::live::api::path::NAMESPACE;
use crate::live::session::health::BlindSpot;

/// The exit status, and what is wrong.
pub(crate) type Failure = (Exit, Problem);

/// The manifest that has the namespace and the rights.
pub(in crate::live) const OPERATOR: &str = "deploy/cluster/rbac-operator.yaml";
const SERVER: &str = "the API server";

/// No answer, or none that can be read.
pub(in crate::live) fn lost_failure(what: &str, why: &str) -> Failure {
    let fix = "check that kubectl get nodes works with the same flags, then run the same command again";
    (Exit::TryLater, Problem::new(format!("{what}: {why}")).with_place(SERVER).fix(fix))
}

/// The API server refused a request on Crossfade's own objects.
pub(in crate::live) fn refused_failure(what: &str, refusal: &Refusal) -> Failure {
    let reported = Problem::new(format!("{what}: {refusal}")).with_place(SERVER);
    if refusal.is_not_found() && refusal.kind == "namespaces" {
        let what = format!("{what}: the namespace {NAMESPACE} does not exist");
        let problem = Problem::new(what).with_place(format!("Namespace/{NAMESPACE}"));
        return (
            Exit::Failed,
            problem.fix(format!("create it, and the rights in it: kubectl apply -f {OPERATOR}")),
        );
    }
    match refusal.code {
        401 => (
            Exit::Failed,
            reported
                .fix("the API server does not accept the credential; kubectl get nodes must work with it"),
        ),
        403 => (Exit::Failed, reported.fix(format!("grant the rights of {OPERATOR}"))),
        409 => (
            Exit::TryLater,
            reported.fix("another client changed it at the same time; run the same command again"),
        ),
        _ if refusal.is_passing() => (Exit::TryLater, reported.fix("run the same command again in a moment")),
        _ => (Exit::Failed, reported.fix("check that kubectl get nodes works with the same flags")),
    }
}

/// The same of a request that needs the rights of another manifest.
pub(in crate::live) fn refused_without(what: &str, refusal: &Refusal, manifest: &str) -> Failure {
    let (exit, problem) = refused_failure(what, refusal);
    (exit, if refusal.code == 403 { problem.fix(format!("grant the rights of {manifest}")) } else { problem })
}

/// The credential lacks rights that a manifest has, beside those of an operator.
pub(in crate::live) fn missing_rights_of(manifest: &str, missing: &str) -> Failure {
    let problem = Problem::new(format!("rights are missing: {missing}")).with_place("the API server");
    let fix = format!("kubectl apply -f {manifest}, and bind its role to yourself as its comments say");
    (Exit::Failed, problem.fix(fix))
}

/// The operator ended the command while it waited for the Lease or looked at the cluster for the first time.
pub(in crate::live) fn interrupted_failure() -> Failure {
    let what = "it was interrupted before it began the run or went on with it; the run and the nodes are as they were";
    let problem = Problem::new(what).with_place("ConfigMap/crossfade/crossfade-run");
    (Exit::TryLater, problem.fix("run the same command again"))
}

/// What is known of the cluster decides nothing yet.
pub(in crate::live) fn blind_spot_failure(blind: &BlindSpot) -> Failure {
    let problem = Problem::new(blind.to_string()).with_place("the API server");
    (
        Exit::TryLater,
        problem.fix(
            "check that kubectl get nodes,pods works with the same flags, then run the same command again",
        ),
    )
}

/// The credential lacks rights that acting needs.
pub(in crate::live) fn missing_rights_failure(missing: &[String]) -> Failure {
    let problem =
        Problem::new(format!("rights are missing: {}", missing.join(", "))).with_place("the API server");
    (Exit::Failed, problem.fix("kubectl apply -f deploy/cluster/rbac-operator.yaml, with gates of probe.gates also deploy/cluster/rbac-probe.yaml, and bind their roles to yourself as their comments say"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_namespace_names_the_manifest() {
        let body = br#"{"kind":"Status","reason":"NotFound","message":"namespaces \"crossfade\" not found","details":{"name":"crossfade","kind":"namespaces"}}"#;
        let (exit, problem) = refused_failure("take the Lease", &Refusal::read(404, None, body));
        assert_eq!(exit, Exit::Failed);
        assert_eq!(problem.what, "take the Lease: the namespace crossfade does not exist");
        assert_eq!(problem.place, "Namespace/crossfade");
        assert!(
            problem.fix.ends_with("kubectl apply -f deploy/cluster/rbac-operator.yaml"),
            "{}",
            problem.fix
        );
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        for (code, exit, fix) in [
            (401, Exit::Failed, "credential"),
            (403, Exit::Failed, "rbac-operator.yaml"),
            (404, Exit::Failed, "kubectl get nodes"),
            (409, Exit::TryLater, "another client"),
            (422, Exit::Failed, "kubectl get nodes"),
            (429, Exit::TryLater, "in a moment"),
            (503, Exit::TryLater, "in a moment"),
        ] {
            let (is, problem) = refused_failure("write the run", &Refusal { code, ..Refusal::default() });
            assert!(is == exit && problem.fix.contains(fix), "{code}: {problem:?}");
        }
        assert_eq!(lost_failure("write the run", "no answer").0, Exit::TryLater);
    }
}
