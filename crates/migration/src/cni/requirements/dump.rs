//! The script that dumps with kubectl what a migration is judged by.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use snapshot::model::{CONFIG_MAPS, Kind, is_named};

use crate::cni::support::Cni;

/// What stands before the list of kinds. Its words must be what any POSIX shell takes.
const BEGIN: &str = r#"set -eu
umask 077

if [ $# -ne 1 ]; then
    echo "usage: $0 DIRECTORY" >&2
    exit 2
fi
# Files of an earlier dump would be read as well.
mkdir -- "$1"
CDPATH='' cd -- "$1"

kube() {
    kubectl ${CONTEXT:+--context="$CONTEXT"} "$@"
}

# KIND RESOURCE...: all objects of a kind, from each API group that serves it.
dump() {
    kind=$1
    shift
    reading='notServed'
    for resource in "$@"; do
        if printf '%s\n' "$served" | grep -Fqx -- "$resource"; then
            kube get "$resource" --all-namespaces -o json >"$resource.json"
            reading='read'
        fi
    done
    kinds="$kinds${kinds:+,}\"$kind\":\"$reading\""
}

# NAMESPACE NAME: one ConfigMap, if it is there.
config_map() {
    file="configmap.$1.$2.json"
    kube get configmap --namespace "$1" "$2" --ignore-not-found -o json >"$file"
    [ -s "$file" ] || rm -- "$file"
}

kube version -o json >version.json
uid=$(kube get namespace kube-system -o jsonpath='{.metadata.uid}')
served=$(kube api-resources --verbs=list -o name)
kinds=

"#;

/// The ConfigMaps that DaemonSets mount, by namespace and name.
const MOUNTED: &str = r#"# shellcheck disable=SC2016 # The variable is one of the template.
mounted=$(kube get daemonsets.apps --all-namespaces -o go-template='{{range .items}}{{$namespace := .metadata.namespace}}{{range .spec.template.spec.volumes}}{{if .configMap}}{{$namespace}} {{.configMap.name}}{{"\n"}}{{end}}{{end}}{{end}}')
while read -r namespace name; do
    case $name in
"#;

/// What stands behind it: written last, the file says that nothing failed.
const END: &str = r#"
# Only now all of it is there.
printf '{"crossfade":"snapshot","version":1,"cluster":{"uid":"%s"},"kinds":{%s}}\n' "$uid" "$kinds" >kinds.json
echo "$0: all is in $1" >&2
"#;

/// A POSIX shell script that dumps all objects of these kinds into a directory, and says there which kinds it dumped and which the cluster does not
/// have. It fails where one call of kubectl does.
#[must_use]
pub fn script(kinds: &BTreeSet<Kind>, from: Cni, to: Cni) -> String {
    let mut text = format!(
        r"#!/bin/sh
# Dumps what kubectl-crossfade reads of a cluster that moves from {from} to {to}, and changes nothing in it.
#
#     sh dump.sh DIRECTORY
#     kubectl crossfade check --from {from} --to {to} --snapshot DIRECTORY
#
# plan, simulate, requirements and policies take the same directory. The cluster is that of kubectl's current context, or of the one that CONTEXT
# names. Pods are dumped as they are, with what their environment variables say, and HelmCharts with their values: `kubectl crossfade snapshot` leaves
# that out.
"
    );
    text.push_str(BEGIN);
    for kind in kinds.iter().copied().filter(|kind| *kind != Kind::CONFIG_MAP) {
        let mut resources: Vec<String> = Vec::new();
        for (group, _) in kind.served_by() {
            let dot = if group.is_empty() { "" } else { "." };
            let resource = format!("{}{dot}{group}", kind.plural_name());
            if !resources.contains(&resource) {
                resources.push(resource);
            }
        }
        line(&mut text, format_args!("dump {kind} {}", resources.join(" ")));
    }
    if kinds.contains(&Kind::CONFIG_MAP) {
        config_maps(&mut text);
    }
    text.push_str(END);
    text
}

/// ConfigMaps are read by name, as the program does: others hold what applications keep in theirs.
fn config_maps(text: &mut String) {
    line(text, format_args!("\n# By name: other ConfigMaps hold what applications keep in theirs."));
    for (namespace, name) in CONFIG_MAPS {
        line(text, format_args!("config_map {namespace} {name}"));
    }
    text.push_str(MOUNTED);
    let is_first = |name: &&str| !CONFIG_MAPS.iter().any(|(_, other)| other != name && is_named(name, other));
    let names: BTreeSet<&str> = CONFIG_MAPS.iter().map(|(_, name)| *name).filter(is_first).collect();
    let patterns: Vec<String> =
        names.iter().map(|name| format!("{name} | {name}-* | rke2-{name} | rke2-{name}-*")).collect();
    line(text, format_args!("    {})", patterns.join(" | \\\n    ")));
    line(text, format_args!("        config_map \"$namespace\" \"$name\"\n        ;;\n    esac"));
    line(text, format_args!("done <<EOF\n$mounted\nEOF"));
    line(text, format_args!("kinds=\"$kinds${{kinds:+,}}\\\"{}\\\":\\\"read\\\"\"", Kind::CONFIG_MAP));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes whatever it gets.
    let _ = writeln!(text, "{line}");
}
