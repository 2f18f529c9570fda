//! Karpenter's objects: its release and feature gates, and the budgets by which it replaces nodes of its own accord.
//!
//! *Source*: Karpenter 1.14, `pkg/operator/options/options.go` (`FEATURE_GATES`, `--feature-gates`) and `pkg/apis/v1/nodepool.go` (budgets).

use serde_json::{Value, json};
use snapshot::model::{Container, Kind, Object, Text, Workload};
use types::text::quote::shell_word;

use super::release::{Version, image_tag, version};
use crate::check::Scene;
use crate::cni::network::flag_values;

/// The variable with the feature gates, and the flag that wins over the variable.
const GATES: (&str, &str) = ("FEATURE_GATES", "--feature-gates");
/// The budgets of a NodePool, as a JSON pointer has them.
const BUDGETS: &str = "/spec/disruption/budgets";
/// The budget of a NodePool that names none.
const DEFAULT_BUDGET: &str = "10%";

/// The Deployment of Karpenter's controller. In EKS Auto Mode no object shows it.
#[derive(Debug, Clone, Copy)]
pub struct Karpenter<'a> {
    pub deployment: &'a Workload,
    controller: &'a Container,
}

impl<'a> Karpenter<'a> {
    /// The controller of the cluster, if there is one.
    #[must_use]
    pub fn find(scene: &Scene<'a>) -> Option<Self> {
        let controller = |workload: &'a Workload| {
            let is_controller = |container: &&Container| container.name.as_ref() == "controller";
            let controller = workload.spec.template.spec.containers.iter().find(is_controller)?;
            workload.name().contains("karpenter").then_some(Self { deployment: workload, controller })
        };
        scene.snapshot.workloads(Kind::DEPLOYMENT).iter().find_map(controller)
    }

    /// Its release. Karpenter of Azure counts its releases on its own, so none is known there.
    #[must_use]
    pub fn release(&self) -> Option<Version> {
        let image = &self.controller.image;
        (!image.contains("aks/")).then(|| version(image_tag(image)?)).flatten()
    }

    /// The variable or the flag with the feature gates, and its value: `NodeRepair=true,SpotToSpotConsolidation=false`.
    #[must_use]
    pub fn gates(&self) -> Option<(&'static str, &'a str)> {
        let words: Vec<&Text> = self.controller.args.iter().collect();
        let flag = flag_values(&words, GATES.1).first().copied();
        let variable = || self.controller.env.iter().find(|variable| variable.name.as_ref() == GATES.0);
        flag.map(|value| (GATES.1, value)).or_else(|| Some((GATES.0, variable()?.value.as_ref())))
    }

    /// Whether a feature gate that is off by default is on.
    #[must_use]
    pub fn has_gate(&self, name: &str) -> bool {
        let is_on = |gate: &str| {
            gate.trim().split_once('=').is_some_and(|(key, value)| key == name && value == "true")
        };
        self.gates().is_some_and(|(_, gates)| gates.split(',').any(is_on))
    }
}

/// Why Karpenter replaces or removes a node within the budgets of its NodePool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(const_into_str)]
pub enum Voluntary {
    /// The node differs from its NodePool or its image.
    Drifted,
    /// No pod is on the node that a drain would move.
    Empty,
    /// Its pods fit elsewhere or on a cheaper node.
    Underutilized,
}

/// Whether budgets of a NodePool allow no node at any time for any of these reasons.
#[must_use]
pub fn budgets_hold(pool: &Object, reasons: &[Voluntary]) -> bool {
    let holds = |reason: &Voluntary, budget: &Value| {
        let named = budget.get("reasons").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_none = budget["nodes"].as_str().is_some_and(|nodes| matches!(nodes, "0" | "0%"));
        is_none
            && budget.get("schedule").is_none()
            && (named.is_empty() || named.contains(&reason.into_str().into()))
    };
    let budgets = pool.list(BUDGETS);
    reasons.iter().all(|reason| budgets.iter().any(|budget| holds(reason, budget)))
}

/// The command that adds a budget of no node for these reasons. Budgets drift no node. The command appends where the API server has written a list, so that it
/// takes no budget away that another finding has added since.
#[must_use]
pub fn budget_patch(pool: &Object, reasons: &[Voluntary]) -> String {
    let reasons: Vec<&str> = reasons.iter().map(|reason| reason.into_str()).collect();
    let budget = json!({"nodes": "0", "reasons": reasons});
    if pool.list(BUDGETS).is_empty() {
        let budgets = json!([{"nodes": DEFAULT_BUDGET}, budget]);
        return pool_patch(pool, "merge", &json!({"spec": {"disruption": {"budgets": budgets}}}));
    }
    pool_patch(pool, "json", &json!([{"op": "add", "path": format!("{BUDGETS}/-"), "value": budget}]))
}

/// The command that patches a NodePool.
#[must_use]
pub fn pool_patch(pool: &Object, kind: &str, patch: &Value) -> String {
    format!("kubectl patch nodepool {} --type {kind} -p {}", pool.name(), shell_word(&patch.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(budgets: Value) -> Object {
        let pool = json!({"metadata": {"name": "spot"}, "spec": {"disruption": {"budgets": budgets}}});
        Object::new(Kind::KARPENTER_NODE_POOL, pool).expect("kept")
    }

    #[test]
    fn a_budget_of_no_node_holds_the_reasons_that_it_names() {
        let drifted = [Voluntary::Drifted];
        for (budgets, holds) in [
            (json!([]), false),
            (json!([{"nodes": "10%"}]), false),
            (json!([{"nodes": "0"}]), true),
            (json!([{"nodes": "0%", "reasons": ["Drifted"]}]), true),
            (json!([{"nodes": "0", "reasons": ["Empty"]}]), false),
            (json!([{"nodes": "10%"}, {"nodes": "0", "reasons": ["Empty", "Drifted"]}]), true),
            (json!([{"nodes": "0", "schedule": "0 9 * * 1", "duration": "8h"}]), false),
        ] {
            assert_eq!(budgets_hold(&pool(budgets.clone()), &drifted), holds, "{budgets}");
        }
        let empty = pool(json!([{"nodes": "0", "reasons": ["Empty"]}]));
        assert!(!budgets_hold(&empty, &[Voluntary::Empty, Voluntary::Underutilized]));
    }

    #[test]
    fn a_budget_is_added_to_those_that_are_there() {
        for (budgets, patch) in [
            (
                json!([]),
                r#"merge -p '{"spec":{"disruption":{"budgets":[{"nodes":"10%"},{"nodes":"0","reasons":["Drifted"]}]}}}'"#,
            ),
            (
                json!([{"nodes": "2", "reasons": ["Empty"]}]),
                r#"json -p '[{"op":"add","path":"/spec/disruption/budgets/-","value":{"nodes":"0","reasons":["Drifted"]}}]'"#,
            ),
        ] {
            let command = budget_patch(&pool(budgets), &[Voluntary::Drifted]);
            assert_eq!(command, format!("kubectl patch nodepool spot --type {patch}"));
        }
    }
}
