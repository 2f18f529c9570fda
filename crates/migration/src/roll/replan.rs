//! Another plan for a run that goes on, as somebody approved it because the cluster or the settings had changed.

use types::policy::Phase;

use super::run::Run;
use crate::plan::Plan;

impl Run {
    /// The same run by another plan. It keeps its id, its passes and everything that people asked of it, so that nodes in transit go on; what the plan says
    /// anew are the nodes' order, pools, policies, gates and limits.
    ///
    /// # Errors
    /// Why the plan is not one for this run: a sentence that says what both are.
    pub fn replanned(&self, before: &Plan, plan: &Plan, hash: &str) -> Result<Self, String> {
        if plan.cluster != before.cluster {
            return Err(format!(
                "the plan is of cluster {}, and the run of {}",
                plan.cluster, before.cluster
            ));
        }
        let migration = |plan: &Plan| format!("{} to {}, {}", plan.from, plan.to, plan.strategy);
        if migration(plan) != migration(before) {
            return Err(format!(
                "the plan moves {}, and the run moves {}",
                migration(plan),
                migration(before)
            ));
        }
        let kind = |plan: &Plan| if plan.fixes_stragglers() { "moves stragglers" } else { "moves all nodes" };
        if kind(plan) != kind(before) {
            return Err(format!("the plan {}, and the run {}", kind(plan), kind(before)));
        }
        // A run that was turned goes where somebody sent it, which no plan says.
        let is_as_planned = before.passes.ends_with(&self.targets);
        let has = |target: &Phase| plan.start == *target || plan.passes.contains(target);
        if let Some(target) = self.targets.iter().find(|target| is_as_planned && !has(target)) {
            let passes: Vec<String> = plan.passes.iter().map(ToString::to_string).collect();
            return Err(format!(
                "the plan has no pass to {target}, and the run still has one; its passes go from {} to {}",
                plan.start,
                passes.join(", ")
            ));
        }
        self.keeps_to(plan)?;
        Ok(Self { plan: hash.to_owned(), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn plan(change: impl FnOnce(&mut Value)) -> Plan {
        let mut plan = json!({
            "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
            "passes": ["both-old", "both-new", "new"], "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {}, "gates": [],
            "dns": {"namespace": "kube-system", "labels": {}}, "policies": [], "networks": {"old": [], "new": []}, "agents": [],
            "unenforced": [], "waivers": [],
        });
        change(&mut plan);
        serde_json::from_value(plan).expect("a plan")
    }

    fn refused(run: &Run, before: &Plan, other: &Plan) -> String {
        run.replanned(before, other, "9a2f").expect_err("it is refused")
    }

    #[test]
    fn a_run_keeps_everything_but_its_plan() {
        let before = plan(|_| {});
        let mut run = Run::new("r-1", "4be1", &before).next_pass();
        run.skipped.insert("a".into(), "so".into());
        run.wish = 7;
        let other = plan(|plan| {
            plan["start"] = json!("both-old");
            plan["passes"] = json!(["both-new", "new"]);
            plan["settings"] = json!("others");
        });
        let next = run.replanned(&before, &other, "9a2f").expect("it fits");
        assert_eq!(next, Run { plan: "9a2f".into(), ..run });
    }

    #[test]
    fn a_plan_of_something_else_is_refused() {
        let before = plan(|_| {});
        let run = Run::new("r-1", "4be1", &before);
        for (key, value, why) in [
            ("cluster", json!("d"), "the plan is of cluster d, and the run of c"),
            (
                "to",
                json!("antrea"),
                "the plan moves calico to antrea, double, and the run moves calico to cilium, double",
            ),
            (
                "strategy",
                json!("bridge"),
                "the plan moves calico to cilium, bridge, and the run moves calico to cilium, double",
            ),
            ("passes", json!(["old"]), "the plan moves stragglers, and the run moves all nodes"),
        ] {
            assert_eq!(refused(&run, &before, &plan(|plan| plan[key] = value)), why);
        }
    }

    #[test]
    fn a_plan_has_the_passes_that_the_run_still_has() {
        let before = plan(|_| {});
        let run = Run::new("r-1", "4be1", &before);
        let later = |start: &str, passes: Value| {
            plan(|plan| {
                plan["start"] = json!(start);
                plan["passes"] = passes;
            })
        };
        assert!(run.replanned(&before, &later("both-old", json!(["both-new", "new"])), "9a2f").is_ok());
        let far = later("both-new", json!(["new"]));
        assert_eq!(
            refused(&run, &before, &far),
            "the plan has no pass to both-old, and the run still has one; its passes go from both-new to new"
        );
        assert!(run.next_pass().replanned(&before, &far, "9a2f").is_ok(), "the first pass is over");
        let back = Run { targets: vec![Phase::Old, Phase::New], ..run };
        assert!(back.replanned(&before, &far, "9a2f").is_ok(), "it was turned back");
        let short = later("old", json!(["both-old"]));
        assert_eq!(
            refused(&Run { targets: vec![Phase::Old], from: Phase::BothNew, ..back }, &before, &short),
            "a pass from or to phase both-new, which is beyond the plan's; expected phases from old to both-old, or before them"
        );
    }
}
