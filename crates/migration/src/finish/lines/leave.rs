//! The line about what is left of Crossfade itself.

use snapshot::model::{Kind, Node, Object};
use types::api::node_keys::{LIFECYCLE, OWN_REASON, UNDISTURBED};
use types::api::step::{self, Cordon, Step};
use types::text::quote::shell_word;

use super::{Facts, Line, LineName, LineState, first_few};
use crate::finish::plan::Rights;

/// Objects of Crossfade's in words, and the command that takes them away.
type Leftover = (Vec<String>, String);

/// What of Crossfade is in the cluster. The commands come in the order in which they work: people lose their rights last.
pub(super) fn leave(facts: &Facts<'_>) -> Line {
    let name = LineName::Leave;
    let found =
        [steps(facts), keys(facts), taints(facts), conditions(facts), node_configs(facts), namespaces(facts)];
    let found = found.into_iter().flatten().chain(rights(facts));
    let (evidence, helps): (Vec<Vec<String>>, Vec<String>) = found.unzip();
    if evidence.is_empty() {
        let unsought = format!(
            "not looked for: a cordon or {UNDISTURBED} of a Node without the step of a run, pre-drain hooks of Machines, RoleBindings, and what is in a management cluster"
        );
        return Line::new(
            name,
            LineState::Done,
            ["nothing of Crossfade is in the cluster".to_owned(), unsought],
        );
    }
    let help = format!("{} (docs/graduate.md, \"What stays in the cluster\")", helps.join("; "));
    Line::new(name, LineState::Waits, evidence.into_iter().flat_map(first_few)).help(help)
}

fn is_own(key: &str) -> bool {
    key.starts_with("crossfade/")
}

/// Steps of a run that was ended early.
fn steps(facts: &Facts<'_>) -> Option<Leftover> {
    let step =
        |node: &'_ Node| Some((node.name().to_owned(), node.metadata.annotation(step::KEY)?.to_owned()));
    let steps: Vec<(String, String)> = facts.scene.snapshot.nodes.iter().filter_map(step).collect();
    let commands = first_few(steps.iter().map(|(node, text)| step_command(node, text)).collect());
    let help = format!("let kubectl crossfade roll finish or end the run; or: {}", commands.join("; "));
    let words = steps.iter().map(|(node, _)| format!("Node/{node} has a step of a run"));
    (!steps.is_empty()).then(|| (words.collect(), help))
}

/// What takes a step away, with what the run did to this node.
fn step_command(node: &str, text: &str) -> String {
    let read = Step::parse(text).ok();
    let node = shell_word(node);
    let cordon = read.as_ref().is_some_and(|step| step.cordon == Some(Cordon::Ours));
    let uncordon = if cordon { format!("kubectl uncordon {node} && ") } else { String::new() };
    let disruption =
        if read.is_some_and(|step| step.undisturbed) { format!(" {UNDISTURBED}-") } else { String::new() };
    format!("{uncordon}kubectl annotate node {node} {}-{disruption}", step::KEY)
}

/// Labels and annotations, which Crossfade takes away when it leaves a node.
fn keys(facts: &Facts<'_>) -> Option<Leftover> {
    let has = |node: &&Node| {
        let (labels, annotations) = (node.metadata.labels.keys(), node.metadata.annotations.keys());
        labels.chain(annotations).any(|key| is_own(key) && key.as_ref() != step::KEY)
    };
    let nodes: Vec<&Node> = facts.scene.snapshot.nodes.iter().filter(has).collect();
    let what = format!(
        "{} Nodes have labels or annotations of Crossfade, such as Node/{}",
        nodes.len(),
        nodes.first()?.name()
    );
    Some((vec![what], "let it leave the nodes that stay: kubectl apply -f deploy/graduate.yaml, or crossfade-bootstrap graduate on each; or deploy/remove.yaml on nodes that are drained".into()))
}

fn taints(facts: &Facts<'_>) -> Option<Leftover> {
    let taints = facts.scene.snapshot.nodes.iter().flat_map(|node| &node.spec.taints);
    let mut keys: Vec<&str> = taints.map(|taint| taint.key.as_ref()).filter(|key| is_own(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let words = keys.iter().map(|key| format!("Nodes have the taint {key}")).collect();
    let help = format!(
        "kubectl taint nodes --all {}",
        keys.iter().map(|key| format!("{key}-")).collect::<Vec<_>>().join(" ")
    );
    (!keys.is_empty()).then_some((words, help))
}

/// Conditions of a Node's lifecycle that a run published.
fn conditions(facts: &Facts<'_>) -> Option<Leftover> {
    let of_node = |node: &'_ Node| -> Vec<(String, &'static str)> {
        let own = |kind: &&'static str| {
            node.condition(kind).is_some_and(|condition| condition.reason.starts_with(OWN_REASON))
        };
        LIFECYCLE.into_iter().filter(own).map(|kind| (node.name().to_owned(), kind)).collect()
    };
    let all: Vec<(String, &str)> = facts.scene.snapshot.nodes.iter().flat_map(of_node).collect();
    let (node, kind) = all.first()?;
    let help = format!(
        "they go once no step of a run is left and Crossfade runs on the node, or leaves it; without it, for each of them: kubectl patch node {} --subresource=status --type strategic -p '{{\"status\":{{\"conditions\":[{{\"type\":\"{kind}\",\"$patch\":\"delete\"}}]}}}}'",
        shell_word(node)
    );
    Some((
        all.iter().map(|(node, kind)| format!("Node/{node} has the condition {kind} of a run")).collect(),
        help,
    ))
}

fn node_configs(facts: &Facts<'_>) -> Option<Leftover> {
    let configs = facts.scene.snapshot.objects(Kind::CILIUM_NODE_CONFIG).iter();
    let selects = |config: &&Object| {
        let selector = config.value().pointer("/spec/nodeSelector");
        selector.is_some_and(|selector| selector.to_string().contains("\"crossfade/"))
    };
    let configs: Vec<&Object> = configs.filter(selects).collect();
    let word = |config: &&Object| {
        format!(
            "CiliumNodeConfig/{}/{} selects nodes by a label of Crossfade",
            config.namespace(),
            config.name()
        )
    };
    let command = |config: &&Object| {
        format!(
            "kubectl -n {} delete ciliumnodeconfig {}",
            shell_word(config.namespace()),
            shell_word(config.name())
        )
    };
    let commands: Vec<String> = configs.iter().map(command).collect();
    (!configs.is_empty()).then(|| (configs.iter().map(word).collect(), first_few(commands).join("; ")))
}

fn namespaces(facts: &Facts<'_>) -> Option<Leftover> {
    let all = ["crossfade-system", "crossfade", "crossfade-probe"].into_iter();
    let all: Vec<&str> =
        all.filter(|name| facts.scene.snapshot.object(Kind::NAMESPACE, name).is_some()).collect();
    let words = all.iter().map(|name| format!("Namespace/{name} is there")).collect();
    (!all.is_empty()).then(|| (words, format!("kubectl delete namespace {}", all.join(" "))))
}

/// Who may do what Crossfade does.
fn rights(facts: &Facts<'_>) -> Vec<Leftover> {
    let Some(Rights { roles, bindings }) = &facts.inventory.rights else {
        let what = "ClusterRoles and ClusterRoleBindings are not known";
        // Only a cluster that answers says what time it is.
        let (what, help) = match facts.now {
            None => (format!("{what}: a snapshot does not have them"), "leave --snapshot out"),
            Some(_) => (
                what.to_owned(),
                "read them with the rights in deploy/cluster/rbac-finish.yaml, or as an administrator",
            ),
        };
        return vec![(vec![what], help.into())];
    };
    let leftover = |(kind, names): (&str, &Vec<String>)| {
        let words = names.iter().map(|name| format!("{kind}/{name} is there")).collect();
        let names: Vec<String> = names.iter().map(|name| shell_word(name)).collect();
        (!names.is_empty())
            .then(|| (words, format!("kubectl delete {} {}", kind.to_lowercase(), names.join(" "))))
    };
    [("ClusterRoleBinding", bindings), ("ClusterRole", roles)].into_iter().filter_map(leftover).collect()
}
