//! Rights, as manifests that are made of the program's own tables: those of `snapshot` and `check` of the kinds that they read, those of a run of what it
//! does and watches.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum as _;
use cluster::{ACTING, MANAGING, PERMITTING, PROBING, READING_REPORTS, Rule, SEEING_DRIFT};
use migration::backup::KINDS;
use migration::cni::footprint::Class;
use migration::cni::support::Cni;
use migration::finish::plan::ROLES;
use snapshot::model::{ALL_KINDS, CONFIG_MAPS, Kind};

/// What stands before the rules.
const HEAD: &str = "\
# The rights that kubectl crossfade needs before a migration (snapshot, requirements, check): it lists, and changes nothing.
# No Secret is among them, and of ConfigMaps only those of CNIs. A HelmChart of RKE2 or k3s may have a secret in its values: where yours do, take helmcharts
# out, and accept with a waiver that check does not know them (not-checked).
#
#   kubectl apply -f deploy/cluster/rbac-viewer.yaml
#   kubectl create clusterrolebinding crossfade-viewer --clusterrole=crossfade-viewer --user=alice
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: crossfade-viewer
rules:
";

/// What stands before the rules of a run.
const OPERATOR: &str = "\
# The rights that kubectl crossfade needs to migrate nodes, and the namespace in which it keeps its plan, its run and its journal.
#
#   kubectl apply -f deploy/cluster/rbac-operator.yaml
#   kubectl create clusterrolebinding crossfade-operator --clusterrole=crossfade-operator --user=alice
#   kubectl -n crossfade create rolebinding crossfade-operator --role=crossfade-operator --user=alice
#
# The right to patch Nodes is the strongest of them: a user who has it can cordon and taint every node, and ask nodes for another network. RBAC cannot narrow
# it to some fields of a Node. Give it to those who may migrate the cluster, for the time of the migration.
apiVersion: v1
kind: Namespace
metadata:
  name: crossfade
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: crossfade-operator
rules:
";
/// What stands before the rules in the namespace.
const OWN: &str = "\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: crossfade-operator
  namespace: crossfade
rules:
";

/// What stands before the rules of a pipeline.
const PERMIT: &str = "\
# The rights that kubectl crossfade permit needs in a pipeline that replaces nodes. None of them changes a Node: a request is an entry of a ConfigMap, and the
# run of an operator answers it.
#
#   kubectl apply -f deploy/cluster/rbac-operator.yaml
#   kubectl apply -f deploy/cluster/rbac-permit.yaml
#   kubectl create clusterrolebinding crossfade-permit --clusterrole=crossfade-permit --user=pipeline
#   kubectl -n crossfade create rolebinding crossfade-permit --role=crossfade-permit --user=pipeline
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: crossfade-permit
rules:
";
/// What stands before its rules in the namespace.
const PERMIT_OWN: &str = "\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: crossfade-permit
  namespace: crossfade
rules:
";

/// What stands before the rules in the management cluster of Cluster API.
const MANAGEMENT: &str = "\
# The rights that kubectl crossfade roll --management-context needs in the management cluster of Cluster API, in the namespace of the Cluster alone.
#
#   kubectl --context MANAGEMENT apply -f deploy/cluster/rbac-management.yaml
#   kubectl --context MANAGEMENT -n NAMESPACE create rolebinding crossfade-management --clusterrole=crossfade-management --user=alice
#
# RBAC cannot narrow the right to patch Machines to their annotations. Take the binding away after the migration.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: crossfade-management
rules:
";

/// What stands before the rules of the end of a migration.
const FINISH: &str = "\
# The rights that kubectl crossfade finish needs beside those of rbac-operator.yaml: to read and delete what each CNI's published installation has in the API,
# by exact names, to read the configuration in its resources for the backup, and to fence agents. No Secret is among them, no Node and no namespace.
#
#   kubectl apply -f deploy/cluster/rbac-finish.yaml
#   kubectl create clusterrolebinding crossfade-finish --clusterrole=crossfade-finish --user=alice
#
# These rights remove a cluster's network. Give them for the end of the migration alone, take out the names of the CNI that stays, and remove the binding when
# the work is done.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: crossfade-finish
rules:
";

/// What stands before the rules of agents that probe.
const PROBE: &str = "\
# The namespace of agents that probe the network, and the rights that kubectl crossfade probe needs there. A run needs them for the gates of probe.gates.
# Agents on the nodes' networks need a namespace that admits them, and its Secret has the key that all of them share.
#
#   kubectl apply -f deploy/cluster/rbac-probe.yaml
#   kubectl -n crossfade-probe create rolebinding crossfade-probe --role=crossfade-probe --user=alice
#
# A user who may create DaemonSets here may run pods on every node's network. Delete the namespace after the migration.
apiVersion: v1
kind: Namespace
metadata:
  name: crossfade-probe
  labels:
    pod-security.kubernetes.io/enforce: privileged
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: crossfade-probe
  namespace: crossfade-probe
rules:
";

/// Every name of every CNI by its kind, and the kinds of their configuration.
fn finish() -> String {
    let mut names: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for cni in Cni::value_variants() {
        let footprint = cni.facts().footprint;
        for target in footprint.targets(&["kube-system".to_owned()].into()) {
            names
                .entry((target.group().to_owned(), target.plural.clone()))
                .or_default()
                .insert(target.name.clone());
        }
        for definitions in footprint.definitions.iter().copied().flatten() {
            if definitions.class == Class::Configuration {
                groups.entry(definitions.group).or_default().extend(definitions.plurals);
            }
        }
    }
    let join = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
    let mut text = FINISH.to_owned();
    for ((group, plural), names) in names {
        let verbs = if plural == "daemonsets" { "delete, get, patch" } else { "delete, get" };
        let names = join(&mut names.into_iter());
        writeln!(text, "  - apiGroups: [{group:?}]\n    resources: [{plural}]\n    resourceNames: [{names}]\n    verbs: [{verbs}]")
            .expect("text");
    }
    text += "  # Whether roles of Crossfade and bindings to them are left.\n";
    text += "  - apiGroups: [\"rbac.authorization.k8s.io\"]\n    resources: [clusterrolebindings, clusterroles]\n    verbs: [list]\n";
    text += "  # Users' configuration, for the backup. Of it, what has a finalizer is deleted before its controller.\n";
    for (group, plurals) in groups {
        let plurals = join(&mut plurals.into_iter().map(str::to_owned));
        writeln!(text, "  - apiGroups: [{group:?}]\n    resources: [{plurals}]\n    verbs: [delete, list]")
            .expect("text");
    }
    text
}

/// What stands before the rules of those who keep policies.
const POLICIES: &str = "\
# The rights that kubectl crossfade policies needs: crossfade-policies-reader for backup, and crossfade-policies-writer for restore and convert --apply. A
# writer creates and updates policies, and deletes none.
#
#   kubectl apply -f deploy/cluster/rbac-policies.yaml
#   kubectl create clusterrolebinding crossfade-policies --clusterrole=crossfade-policies-writer --user=alice
#
# A user who may update policies decides which pods may talk to each other in the whole cluster. Remove the binding of the writer when the work is done.
";

/// A ClusterRole about all kinds of policies.
fn policies(name: &str, verbs: &str) -> String {
    let mut groups: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in &KINDS {
        for (group, _) in row.served_by {
            let resources = groups.entry(group).or_default();
            resources.insert(row.plural.to_owned());
            // Calico's API server asks for a right of this name beside the one on the resource.
            if *group == "projectcalico.org"
                && row.plural.ends_with("networkpolicies")
                && !row.plural.contains("kubernetes")
            {
                resources.insert(format!("tier.{}", row.plural));
            }
        }
    }
    let mut text = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: crossfade-policies-{name}\nrules:\n"
    );
    for (group, resources) in groups {
        let resources = resources.into_iter().collect::<Vec<_>>().join(", ");
        writeln!(text, "  - apiGroups: [{group:?}]\n    resources: [{resources}]\n    verbs: [{verbs}]")
            .expect("text");
    }
    text += "  # Policies of a namespace that is not there any more are not brought back. The UID of kube-system tells one cluster from another.\n";
    text += "  - apiGroups: [\"\"]\n    resources: [namespaces]\n    verbs: [get, list]\n";
    text += "  # Whether Calico's own API server answers, which shows only policies of tiers that the caller may read.\n";
    text += "  - apiGroups: [\"apiregistration.k8s.io\"]\n    resources: [apiservices]\n    resourceNames: [v3.projectcalico.org]\n    verbs: [get]\n";
    text
}

fn keeping() -> String {
    let (reader, writer) = (policies("reader", "get, list"), policies("writer", "create, get, list, update"));
    format!("{POLICIES}{reader}---\n{writer}")
}

/// The rules of a table, in the namespace or in the whole cluster.
fn rules(table: &[Rule], has_namespace: bool) -> String {
    let mut text = String::new();
    for Rule { why, group, resources, names, verbs, .. } in
        table.iter().filter(|rule| rule.namespace.is_some() == has_namespace)
    {
        let (resources, verbs) = (resources.join(", "), verbs.join(", "));
        let names = if names.is_empty() {
            String::new()
        } else {
            format!("    resourceNames: [{}]\n", names.join(", "))
        };
        let rule = format!(
            "  - apiGroups: [{group:?}]\n    resources: [{resources}]\n{names}    verbs: [{verbs}]\n"
        );
        write!(text, "  # {why}\n{rule}").expect("text");
    }
    text
}

fn operator() -> String {
    let viewer = rendered();
    let rules = viewer.strip_prefix(HEAD).expect("a head");
    let read = "  # What a viewer may read (rbac-viewer.yaml).\n";
    let acting = [self::rules(&ACTING, false), self::rules(&SEEING_DRIFT, false)].concat();
    format!("{OPERATOR}{acting}{read}{rules}{OWN}{}", self::rules(&ACTING, true))
}

fn pipeline() -> String {
    format!("{PERMIT}{}{PERMIT_OWN}{}", rules(&PERMITTING, false), rules(&PERMITTING, true))
}

fn rendered() -> String {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in ALL_KINDS.iter().map(|row| row.kind).filter(|kind| *kind != Kind::CONFIG_MAP) {
        for (group, _) in kind.served_by() {
            let resources = groups.entry(group).or_default();
            if !resources.contains(&kind.plural_name()) {
                resources.push(kind.plural_name());
            }
        }
    }
    let mut text = HEAD.to_owned();
    for (group, mut resources) in groups {
        resources.sort_unstable();
        let resources = resources.join(", ");
        writeln!(text, "  - apiGroups: [{group:?}]\n    resources: [{resources}]\n    verbs: [list]")
            .expect("text");
    }
    let mut names: Vec<&str> = CONFIG_MAPS.iter().map(|(_, name)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let names = names.join(", ");
    writeln!(
        text,
        "  - apiGroups: [\"\"]\n    resources: [configmaps]\n    resourceNames: [{names}]\n    verbs: [get]"
    )
    .expect("text");
    text += "  # Its UID tells one cluster from another.\n";
    text += "  - apiGroups: [\"\"]\n    resources: [namespaces]\n    resourceNames: [kube-system]\n    verbs: [get]\n";
    text
}

/// An operator who may migrate nodes writes ConfigMaps in a namespace; one with the pods of nodes would make each of them policy.json and node.json.
#[test]
fn no_right_of_a_run_reaches_what_nodes_mount() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let own: Vec<String> = namespaces(&operator());
    let mut nodes = Vec::new();
    for file in [
        "settings.yaml",
        "pod.yaml",
        "host.yaml",
        "graduate.yaml",
        "remove.yaml",
        "sweep.yaml",
        "cleanup.yaml",
    ] {
        nodes.extend(namespaces(&std::fs::read_to_string(deploy.join(file)).expect(file)));
    }
    nodes.dedup();
    assert_eq!((own, nodes), (vec!["crossfade".to_owned()], vec!["crossfade-system".to_owned()]));
}

/// The namespaces of a manifest's objects.
fn namespaces(manifest: &str) -> Vec<String> {
    let named = manifest.lines().filter_map(|line| line.strip_prefix("  namespace: "));
    named.map(str::to_owned).collect()
}

/// `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn the_manifests_have_the_rights_of_today() {
    for (name, rendered) in [
        ("rbac-viewer.yaml", rendered()),
        ("rbac-operator.yaml", operator()),
        ("rbac-policies.yaml", keeping()),
        ("rbac-permit.yaml", pipeline()),
        ("rbac-finish.yaml", finish()),
        ("rbac-management.yaml", format!("{MANAGEMENT}{}", rules(&MANAGING, false))),
        ("rbac-probe.yaml", [PROBE, &rules(&READING_REPORTS, true), &rules(&PROBING, true)].concat()),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/cluster").join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
            std::fs::write(&file, &rendered).expect("written");
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(kept, rendered, "{name}: look at the table of rights, then UPDATE_GOLDEN=1");
        let rules = kept.split("  - apiGroups").filter(|rule| rule.contains("resources: [secrets]"));
        for rule in rules {
            assert!(rule.contains("    verbs: [create, delete]\n"), "no right to read Secrets: {rule}");
        }
    }
}

/// Each namespace and ClusterRole of deploy/ has its line in the page that tells what to remove at the end.
#[test]
fn what_deploy_brings_is_named_where_it_is_removed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let page = std::fs::read_to_string(root.join("docs/graduate.md")).expect("the page");
    let (_, chapter) = page.split_once("## What stays in the cluster").expect("the chapter");
    let mut named = 0;
    for directory in ["deploy", "deploy/cluster"] {
        for entry in std::fs::read_dir(root.join(directory)).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a manifest");
            for document in text.split("\n---\n") {
                let value = |key: &str| document.lines().find_map(|line| line.strip_prefix(key));
                let kind = value("kind: ").unwrap_or_default();
                if matches!(kind, "Namespace" | "ClusterRole") {
                    let name = value("  name: ").expect("a name");
                    assert!(chapter.contains(&format!("`{name}`")), "{name} of {}", path.display());
                    assert!(kind == "Namespace" || ROLES.contains(&name), "finish does not look for {name}");
                    named += 1;
                }
            }
        }
    }
    assert!(named >= 8, "{named}");
}
