//! Nodes that Karpenter takes away of its own accord while a run is under way.
//!
//! *Source*: Karpenter 1.14, "Disruption": `expireAfter` deletes a NodeClaim at its time and outside of the budgets; `terminationGracePeriod` ends pods in
//! spite of PodDisruptionBudgets and `do-not-disrupt`; consolidation and emptiness follow the budgets.

use jiff::Timestamp;
use serde_json::json;
use snapshot::model::{Kind, Object};

use crate::check::Scene;
use crate::check::backup::snapshot_time;
use crate::check::finding::{Finding, Rule, Severity, Subject};
use crate::check::{Check, Need};
use crate::cni::reach;
use crate::cni::support::Strategy;
use crate::plan::notes::NODE_SECONDS;
use crate::workload::{Voluntary, budget_patch, budgets_hold, platform, pool_patch};
use types::policy::Phase;

pub(in crate::check) const CHECK: Check = Check {
    name: "disruption",
    rules: &[&KARPENTER_CONSOLIDATION, &KARPENTER_EXPIRY, &KARPENTER_GRACE_PERIOD],
    needs: &[
        Need::Always(Kind::NODE),
        Need::Always(Kind::KARPENTER_NODE_POOL),
        Need::Always(Kind::KARPENTER_NODE_CLAIM),
    ],
    run,
};

/// Seconds for a new node in a rotation: until Karpenter gives up on a replacement.
const ROTATED_SECONDS: u64 = 600;
/// Seconds that a run may wait for people, budgets and windows.
const MARGIN: u64 = 24 * 3600;
/// How many commands a fix spells out.
const SPELT: usize = 12;

fn run(scene: &Scene<'_>) -> Vec<Finding> {
    [expiry(scene), consolidation(scene), grace(scene)].into_iter().flatten().collect()
}

fn nodes(scene: &Scene<'_>) -> u64 {
    let nodes = scene.snapshot.nodes.iter().filter(|node| platform(node).is_none()).count();
    u64::try_from(nodes).unwrap_or(u64::MAX)
}

/// How many nodes the limits of the settings let move at once.
pub(in crate::check) fn nodes_at_once(scene: &Scene<'_>) -> u64 {
    let limits = &scene.config.roll.limits;
    (nodes(scene) * u64::from(limits.zone_percent) / 100).clamp(1, u64::from(limits.in_transit.max(1)))
}

/// Seconds of a run over all nodes if nothing waits: as many nodes at once as the limits of the settings allow.
fn run_seconds(scene: &Scene<'_>) -> u64 {
    let limits = &scene.config.roll.limits;
    let (nodes, at_once) = (nodes(scene), nodes_at_once(scene));
    let (passes, node) = match scene.strategy {
        Strategy::Rotation => (1, ROTATED_SECONDS),
        strategy => (reach::path(Phase::Old, Phase::New, strategy == Strategy::Bridge).len(), NODE_SECONDS),
    };
    let pace = (nodes * 3600).checked_div(limits.per_hour.into()).unwrap_or(0);
    let pass = (nodes.div_ceil(at_once) * node + u64::from(limits.soak_seconds)).max(pace);
    pass * u64::try_from(passes).unwrap_or(1)
}

const KARPENTER_EXPIRY: Rule = Severity::Risk.rule(
    "karpenter-expiry",
    "Karpenter deletes nodes that expire within the time of the run and a day more.\n\n\
     The time of the run is that of all nodes by the limits of the settings file, if the run waits for nothing.",
    "Karpenter deletes a node at that time, whatever its budgets and do-not-disrupt allow. Nodes that were launched on one day expire on one day, in the middle of a pass.",
    "Let Karpenter replace these nodes before the run, one after the other, by evictions that count budgets: kubectl delete nodeclaim spot-x7k2p. The field expireAfter of a NodeClaim cannot be changed, and that of its NodePool is for new nodes alone.",
);

/// NodeClaims whose time is over within the run and a day more.
fn expiry(scene: &Scene<'_>) -> Option<Finding> {
    let now = snapshot_time(scene)?.as_second();
    let within = i64::try_from(run_seconds(scene) + MARGIN).unwrap_or(i64::MAX);
    let mut objects = Vec::new();
    for claim in scene.snapshot.objects(Kind::KARPENTER_NODE_CLAIM) {
        let remaining = expires(claim).map(|expires_at| expires_at - now).filter(|seconds| *seconds < within);
        let Some(remaining) = remaining else { continue };
        let node = claim.text("/status/nodeName").unwrap_or("none yet");
        let detail = format!("node {node}, {} h from now", remaining.max(0) / 3600);
        objects.push(Subject::new(Kind::KARPENTER_NODE_CLAIM, claim.name()).detail(detail));
    }
    let commands =
        objects.iter().take(SPELT).map(|subject| format!("kubectl delete nodeclaim {}", subject.name));
    let mut commands: Vec<String> = commands.collect();
    if objects.len() > SPELT {
        commands.push(format!("and so for {} more", objects.len() - SPELT));
    }
    let fix = format!(
        "Let Karpenter replace these nodes before the run, one after the other, by evictions that count budgets: {}. The field expireAfter of a NodeClaim cannot be changed, and that of its NodePool is for new nodes alone.",
        commands.join("; ")
    );
    (!objects.is_empty()).then(|| {
        Finding::new(&KARPENTER_EXPIRY)
            .what(format!(
                "NodeClaims of Karpenter expire within {} h, which is the time of the run and a day more.",
                within / 3600
            ))
            .fix(fix)
            .with_objects(objects)
    })
}

/// When a NodeClaim expires, in seconds since 1970; none if it does not.
fn expires(claim: &Object) -> Option<i64> {
    let created: Timestamp = claim.text("/metadata/creationTimestamp")?.parse().ok()?;
    let is_going = claim.text("/metadata/deletionTimestamp").is_some();
    let seconds = seconds(claim.text("/spec/expireAfter")?).filter(|_| !is_going)?;
    created.as_second().checked_add(seconds)
}

/// The seconds of a duration as Go writes it: `720h`, `36h30m`, `1h0m0s`. None for `Never`.
fn seconds(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let unit = match rest.as_bytes()[end] {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        let count: i64 = rest[..end].parse().ok()?;
        total = total.checked_add(count.checked_mul(unit)?)?;
        rest = &rest[end + 1..];
    }
    (!text.is_empty()).then_some(total)
}

const KARPENTER_CONSOLIDATION: Rule = Severity::Risk.rule(
    "karpenter-consolidation",
    "NodePools of Karpenter remove nodes that are empty or underutilized while a run moves their pods.\n\n\
     In a rotation, a new node may be removed before the next old one goes.",
    "A node that the run has drained is empty, and Karpenter deletes it in place of its way back. Pods that moved once may move again, back to a node that has not moved yet.",
    r#"Hold it by a budget until the run is done; `check` prints it beside the budgets that are there: kubectl patch nodepool spot --type merge -p '{"spec":{"disruption":{"budgets":[{"nodes":"10%"},{"nodes":"0","reasons":["Empty","Underutilized"]}]}}}'. A budget drifts no node."#,
);

/// NodePools whose nodes Karpenter removes while their pods move. A node that a run has drained is empty, so an in-place run needs both reasons.
fn consolidation(scene: &Scene<'_>) -> Option<Finding> {
    let is_rotation = scene.strategy == Strategy::Rotation;
    let (mut objects, mut commands) = (Vec::new(), Vec::new());
    for pool in scene.snapshot.objects(Kind::KARPENTER_NODE_POOL) {
        let policy = pool.text("/spec/disruption/consolidationPolicy").unwrap_or("WhenEmptyOrUnderutilized");
        let reasons: &[Voluntary] = match (is_rotation, policy == "WhenEmpty") {
            (true, true) => continue,
            (true, false) => &[Voluntary::Underutilized],
            (false, true) => &[Voluntary::Empty],
            (false, false) => &[Voluntary::Empty, Voluntary::Underutilized],
        };
        if pool.text("/spec/disruption/consolidateAfter") == Some("Never") || budgets_hold(pool, reasons) {
            continue;
        }
        objects.push(Subject::new(Kind::KARPENTER_NODE_POOL, pool.name()).detail(policy));
        commands.push(budget_patch(pool, reasons));
    }
    let fix = format!(
        "Hold it by a budget until the run is done: {}. A budget drifts no node.",
        commands.join("; ")
    );
    let why = if is_rotation {
        "It moves pods between nodes of both images behind the run: some move twice, and a new node may be removed before the next old one goes."
    } else {
        KARPENTER_CONSOLIDATION.why
    };
    (!objects.is_empty())
        .then(|| Finding::new(&KARPENTER_CONSOLIDATION).why(why).fix(fix).with_objects(objects))
}

const KARPENTER_GRACE_PERIOD: Rule = Severity::Risk.rule(
    "karpenter-grace-period",
    "NodePools of Karpenter have a terminationGracePeriod, which is stronger than PodDisruptionBudgets.\n\n\
     It is a note unless nodes are replaced (strategy `rotation`).",
    "When that time is over, Karpenter deletes the pods that are left on a node it replaces, whatever their budgets allow. A budget that waits for a slow start on the new network is then no protection.",
    r#"If each budget yields and each pod stops within that time, accept this finding with a waiver. For nodes to come, `check` prints the commands that hold what drifts and remove the field: kubectl patch nodepool spot --type merge -p '{"spec":{"template":{"spec":{"terminationGracePeriod":null}}}}'."#,
);

/// NodePools whose nodes end pods in spite of budgets.
fn grace(scene: &Scene<'_>) -> Option<Finding> {
    let (mut objects, mut commands) = (Vec::new(), Vec::new());
    for pool in scene.snapshot.objects(Kind::KARPENTER_NODE_POOL) {
        let Some(period) = pool.text("/spec/template/spec/terminationGracePeriod") else { continue };
        objects.push(
            Subject::new(Kind::KARPENTER_NODE_POOL, pool.name())
                .detail(format!("terminationGracePeriod {period}")),
        );
        if !budgets_hold(pool, &[Voluntary::Drifted]) {
            commands.push(budget_patch(pool, &[Voluntary::Drifted]));
        }
        commands.push(pool_patch(
            pool,
            "merge",
            &json!({"spec": {"template": {"spec": {"terminationGracePeriod": null}}}}),
        ));
    }
    let severity = if scene.strategy == Strategy::Rotation { Severity::Risk } else { Severity::Note };
    let fix = format!(
        "If each budget yields and each pod stops within that time (no finding of pdb-blocked-now, pdb-never-yields and pod-grace-long), accept this finding with a waiver. For nodes to come, without drift of those that are there: {}.",
        commands.join("; ")
    );
    (!objects.is_empty())
        .then(|| Finding::new(&KARPENTER_GRACE_PERIOD).severity(severity).fix(fix).with_objects(objects))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{Case, objects};

    const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nstatus: {conditions: [{type: Ready, status: \"True\", lastHeartbeatTime: \"2026-03-31T00:00:00Z\"}]}\n---\n";

    fn claim(name: &str, rest: &str) -> String {
        format!(
            "apiVersion: karpenter.sh/v1\nkind: NodeClaim\nmetadata: {{name: {name}, creationTimestamp: \"2026-03-02T00:00:00Z\"}}\nspec: {{{rest}}}\nstatus: {{nodeName: n1}}\n---\n"
        )
    }

    fn pool(spec: &str) -> String {
        format!(
            "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {{name: spot}}\nspec: {{{spec}}}\n---\n"
        )
    }

    /// 29 days after the launch.
    #[test]
    fn a_node_that_expires_within_the_run_is_named() {
        for (expire, expected) in [
            ("expireAfter: 720h", Some("node n1, 24 h from now")),
            ("expireAfter: 719h30m0s", Some("node n1, 23 h from now")),
            ("expireAfter: 700h", Some("node n1, 4 h from now")),
            ("expireAfter: 600h", Some("node n1, 0 h from now")),
            ("expireAfter: 730h", None),
            ("expireAfter: Never", None),
            ("", None),
        ] {
            let case = Case::from_yaml(&[NODE, &claim("c", expire)].concat());
            let found_of = case.findings(&CHECK);
            let detail = found_of.first().map(|finding| finding.objects[0].detail.clone());
            assert_eq!(detail.as_deref(), expected, "{expire}");
        }
        let many: String = (0..14).map(|index| claim(&format!("c{index}"), "expireAfter: 720h")).collect();
        let finding = Case::from_yaml(&[NODE, &many].concat()).finding(&CHECK, "karpenter-expiry");
        assert!(
            finding.fix.contains("and so for 2 more") && finding.what.contains("within 24 h"),
            "{finding:?}"
        );
        // Without a clock nothing is known.
        assert!(Case::from_yaml(&claim("c", "expireAfter: 720h")).codes(&CHECK).is_empty());
    }

    /// A run of more nodes, or slower, takes longer, and sees more of them expire.
    #[test]
    fn the_time_of_a_run_follows_its_nodes_and_limits() {
        let cluster = |nodes: usize| -> Case {
            let nodes: String = (0..nodes).map(|index| NODE.replace("n1", &format!("n{index}"))).collect();
            Case::from_yaml(&nodes)
        };
        let hours = |case: Case| run_seconds(&case.scene()) / 3600;
        assert_eq!(hours(cluster(1)), 0);
        // 100 nodes, 5 at once: 20 rounds of 3 minutes and a soak, in each of 3 passes.
        assert_eq!(run_seconds(&cluster(100).scene()), 3 * (20 * 180 + 600));
        assert_eq!(run_seconds(&cluster(100).strategy(Strategy::Bridge).scene()), 20 * 180 + 600);
        assert_eq!(run_seconds(&cluster(100).strategy(Strategy::Rotation).scene()), 20 * 600 + 600);
        assert_eq!(hours(cluster(100).config("roll: {limits: {perHour: 10}}")), 30);
    }

    #[test]
    fn consolidation_is_held_by_a_budget() {
        let rotation = Strategy::Rotation;
        for (disruption, strategy, is_found) in [
            ("", Strategy::Bridge, true),
            (
                "disruption: {consolidationPolicy: WhenEmptyOrUnderutilized, consolidateAfter: 0s}",
                rotation,
                true,
            ),
            ("disruption: {consolidationPolicy: WhenEmpty}", rotation, false),
            ("disruption: {consolidationPolicy: WhenEmpty}", Strategy::Bridge, true),
            ("disruption: {consolidateAfter: Never}", Strategy::Bridge, false),
            ("disruption: {budgets: [{nodes: \"0\", reasons: [Underutilized]}]}", rotation, false),
            ("disruption: {budgets: [{nodes: \"0\", reasons: [Underutilized]}]}", Strategy::Bridge, true),
            ("disruption: {budgets: [{nodes: \"0\"}]}", Strategy::Bridge, false),
        ] {
            let codes = Case::from_yaml(&pool(disruption)).strategy(strategy).codes(&CHECK);
            assert_eq!(
                codes,
                &["karpenter-consolidation"][..usize::from(is_found)],
                "{disruption} {strategy:?}"
            );
        }
        let finding = Case::from_yaml(&pool("")).finding(&CHECK, "karpenter-consolidation");
        assert_eq!(objects(&finding), ["NodePool/spot: WhenEmptyOrUnderutilized"]);
        assert!(finding.fix.contains(r#""reasons":["Empty","Underutilized"]"#), "{}", finding.fix);
    }

    #[test]
    fn a_grace_period_is_stronger_than_budgets() {
        let spec = |period: &str| {
            pool(&format!("disruption: {{consolidateAfter: Never}}, template: {{spec: {{{period}}}}}"))
        };
        let case = |period: &str| Case::from_yaml(&spec(period)).strategy(Strategy::Rotation);
        let finding = case("terminationGracePeriod: 1h").finding(&CHECK, "karpenter-grace-period");
        assert_eq!(
            (finding.severity, objects(&finding)),
            (Severity::Risk, vec!["NodePool/spot: terminationGracePeriod 1h".to_owned()])
        );
        assert!(case("").codes(&CHECK).is_empty());
        let stays = case("terminationGracePeriod: 1h").strategy(Strategy::Bridge);
        assert_eq!(stays.finding(&CHECK, "karpenter-grace-period").severity, Severity::Note);
    }
}
