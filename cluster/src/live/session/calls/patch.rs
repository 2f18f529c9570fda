//! A patch of a Node.
//!
//! It is a merge patch that has the `resourceVersion` and the UID that the decision was made on. The API server applies it to the Node as it is, and then
//! refuses to write an object whose version is not the present one (409), so that nothing is changed that another client changed meanwhile.
//!
//! *Source*: Kubernetes, `staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go`, `Update`; a merge patch that names a version is not
//! tried again there (`OptimisticLockErrorMsg`). A JSON patch would need a `test` operation, whose failure is 422 and not 409.

use jiff::Timestamp;
use migration::drive::objects::keys::{DESIRED, UNDISTURBED};
use migration::drive::objects::{FENCE, READINESS};
use migration::roll::step::{Change, Patch};
use migration::roll::world::Lifecycle;
use serde_json::{Map, Value, json};
use types::api::node_keys::OWN_REASON;
use types::api::step;
use types::policy::Phase;

use crate::live::api::call::ApiRequest;
use crate::live::api::path::{MANAGER, node, with_query};

/// What the message of a condition of a Node's lifecycle says.
const MESSAGE: &str =
    "kubectl crossfade roll moves this node to another network, or lets its pipeline replace it";

/// The request that sets and removes conditions of a Node's lifecycle. In a strategic merge patch, conditions merge by their type.
fn lifecycle_patch(patch: &Patch, now: Timestamp) -> ApiRequest {
    let condition = |(kind, is_set): (&Lifecycle, &bool)| match is_set {
        true => {
            json!({ "type": kind.into_str(), "status": "True", "reason": format!("{OWN_REASON}Roll"), "message": MESSAGE,
            "lastHeartbeatTime": now, "lastTransitionTime": now })
        }
        false => json!({ "type": kind.into_str(), "$patch": "delete" }),
    };
    let conditions: Vec<Value> = patch.lifecycle.iter().map(condition).collect();
    let meta = json!({ "resourceVersion": patch.version, "uid": patch.uid });
    let body = json!({ "metadata": meta, "status": { "conditions": conditions } });
    let path = with_query(&format!("{}/status", node(&patch.node)), &[("fieldManager", MANAGER)]);
    ApiRequest::strategic_merge(path, body.to_string().into_bytes())
}

/// The request of a patch. `taints` are those of the Node at the version of the patch, as they are written: a merge patch replaces the whole list.
pub(in crate::live) fn patch(patch: &Patch, taints: &[Value], now: Timestamp) -> Result<ApiRequest, String> {
    if !patch.lifecycle.is_empty() {
        return Ok(lifecycle_patch(patch, now));
    }
    let mut meta = json!({ "resourceVersion": patch.version, "uid": patch.uid });
    let mut annotations = Map::new();
    match &patch.step {
        Change::Keep => {}
        Change::Set(step) => {
            let text =
                serde_json::to_string(step).map_err(|e| format!("the annotation {}: {e}", step::KEY))?;
            annotations.insert(step::KEY.into(), text.into());
        }
        Change::Remove => {
            annotations.insert(step::KEY.into(), Value::Null);
        }
    }
    if let Some(phase) = patch.desired {
        annotations.insert(DESIRED.into(), Phase::as_str(phase).into());
    }
    if let Some(is_kept) = patch.undisturbed {
        let value = if is_kept { "true".into() } else { Value::Null };
        annotations.insert(UNDISTURBED.into(), value);
    }
    if !annotations.is_empty() {
        meta["annotations"] = annotations.into();
    }
    let mut spec = Map::new();
    if let Some(cordon) = patch.cordon {
        spec.insert("unschedulable".into(), cordon.into());
    }
    if patch.fence.is_some() || patch.lifts_readiness {
        spec.insert("taints".into(), changed_taints(taints, patch).into());
    }
    let mut body = json!({ "metadata": meta });
    if !spec.is_empty() {
        body["spec"] = spec.into();
    }
    let path = with_query(&node(&patch.node), &[("fieldManager", MANAGER)]);
    Ok(ApiRequest::merge(path, body.to_string().into_bytes()))
}

/// All other taints as they are, with or without the fence, and without the readiness taint if that is lifted.
fn changed_taints(taints: &[Value], patch: &Patch) -> Vec<Value> {
    let matches =
        |taint: &Value, (key, effect): (&str, &str)| taint["key"] == key && taint["effect"] == effect;
    let stays = |taint: &&Value| {
        !(patch.fence.is_some() && matches(taint, FENCE)
            || patch.lifts_readiness && matches(taint, READINESS))
    };
    let mut all: Vec<Value> = taints.iter().filter(stays).cloned().collect();
    if patch.fence == Some(true) {
        let (key, effect) = FENCE;
        all.push(json!({ "key": key, "effect": effect }));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use types::api::step::{Cordon, State, Step};

    fn step() -> Step {
        Step {
            run: "r-1".into(),
            plan: "4be14be14be1".into(),
            epoch: 3,
            claim: "r-1.1.1".into(),
            to: Phase::BothOld,
            state: State::Claimed,
            cordon: Some(Cordon::Ours),
            since: None,
            r#try: 1,
            why: None,
            undisturbed: false,
        }
    }

    fn empty() -> Patch {
        Patch {
            node: "b7".into(),
            uid: "u".into(),
            version: "41".into(),
            step: Change::Keep,
            desired: None,
            cordon: None,
            fence: None,
            lifts_readiness: false,
            undisturbed: None,
            lifecycle: BTreeMap::new(),
        }
    }

    fn body(change: Patch, taints: &Value) -> Value {
        let taints = taints.as_array().cloned().unwrap_or_default();
        let ask = patch(&change, &taints, Timestamp::UNIX_EPOCH).expect("a request");
        assert_eq!(
            (ask.method.as_str(), ask.path.as_str()),
            ("PATCH", "/api/v1/nodes/b7?fieldManager=crossfade")
        );
        assert_eq!(ask.content, Some("application/merge-patch+json"));
        serde_json::from_slice(&ask.body).expect("JSON")
    }

    #[test]
    fn a_patch_names_what_it_changes_and_nothing_else() {
        let meta = json!({"resourceVersion": "41", "uid": "u"});
        let annotated = |annotations: Value| json!({"metadata": {"resourceVersion": "41", "uid": "u", "annotations": annotations}});
        let text = r#"{"run":"r-1","plan":"4be14be14be1","epoch":3,"claim":"r-1.1.1","to":"both-old","state":"claimed","cordon":"ours","try":1}"#;
        for (change, expected) in [
            (empty(), json!({"metadata": meta})),
            (Patch { step: Change::Set(step()), ..empty() }, annotated(json!({"crossfade/step": text}))),
            (Patch { step: Change::Remove, ..empty() }, annotated(json!({"crossfade/step": null}))),
            (
                Patch { desired: Some(Phase::BothNew), ..empty() },
                annotated(json!({"crossfade/desired": "both-new"})),
            ),
            (
                Patch { undisturbed: Some(true), ..empty() },
                annotated(json!({"karpenter.sh/do-not-disrupt": "true"})),
            ),
            (
                Patch { undisturbed: Some(false), ..empty() },
                annotated(json!({"karpenter.sh/do-not-disrupt": null})),
            ),
            (
                Patch { cordon: Some(true), ..empty() },
                json!({"metadata": meta, "spec": {"unschedulable": true}}),
            ),
            (
                Patch { cordon: Some(false), ..empty() },
                json!({"metadata": meta, "spec": {"unschedulable": false}}),
            ),
        ] {
            assert_eq!(body(change.clone(), &json!([])), expected, "{change:?}");
        }
    }

    /// The fence, too, stays as it is.
    #[test]
    fn the_readiness_taint_is_lifted_alone() {
        let taint = |key: &str, effect: &str| json!({"key": key, "effect": effect});
        let others = [
            taint("readiness.k8s.io/crossfade", "NoExecute"),
            taint("readiness.k8s.io/other", "NoSchedule"),
            taint("crossfade/earlier", "PreferNoSchedule"),
            json!({"key": "x", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}),
        ];
        let all: Vec<Value> =
            [taint("readiness.k8s.io/crossfade", "NoSchedule")].into_iter().chain(others.clone()).collect();
        let lifted = body(Patch { lifts_readiness: true, ..empty() }, &json!(all));
        assert_eq!(lifted["spec"], json!({"taints": others}));
    }

    /// Each row: the taints that the Node has, whether it gets the fence, and the taints that are written.
    #[test]
    fn other_taints_stay_as_they_are() {
        let fence = json!({"key": "crossfade/earlier", "effect": "PreferNoSchedule"});
        let other = json!({"key": "x", "value": "y", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z", "new": 1});
        let same_key = json!({"key": "crossfade/earlier", "effect": "NoSchedule"});
        for (taints, is_fenced, written) in [
            (json!([]), true, json!([fence])),
            (json!([other]), true, json!([other, fence])),
            (json!([fence, other]), true, json!([other, fence])),
            (json!([fence, other]), false, json!([other])),
            (json!([fence]), false, json!([])),
            (json!([same_key, fence]), false, json!([same_key])),
        ] {
            let body = body(Patch { fence: Some(is_fenced), ..empty() }, &taints);
            assert_eq!(body["spec"], json!({"taints": written}), "{taints} {is_fenced}");
        }
    }

    #[test]
    fn conditions_of_a_lifecycle_are_a_patch_of_the_status() {
        let lifecycle = [(Lifecycle::DrainInProgress, true), (Lifecycle::MaintenancePlanned, false)].into();
        let ask = patch(&Patch { lifecycle, ..empty() }, &[], Timestamp::UNIX_EPOCH).expect("a request");
        assert_eq!(
            (ask.path.as_str(), ask.content),
            (
                "/api/v1/nodes/b7/status?fieldManager=crossfade",
                Some("application/strategic-merge-patch+json")
            )
        );
        let body: Value = serde_json::from_slice(&ask.body).expect("JSON");
        let time = "1970-01-01T00:00:00Z";
        let conditions = json!([
            {"type": "MaintenancePlanned", "$patch": "delete"},
            {"type": "DrainInProgress", "status": "True", "reason": "CrossfadeRoll", "message": MESSAGE,
                "lastHeartbeatTime": time, "lastTransitionTime": time}]);
        let meta = json!({"resourceVersion": "41", "uid": "u"});
        assert_eq!(body, json!({"metadata": meta, "status": {"conditions": conditions}}));
    }
}
