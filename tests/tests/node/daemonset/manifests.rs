//! The manifests themselves.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::host::scratch::Scratch;
use lab::install::daemonset::manifest;
use libtest_mimic::Trial;

use crate::image;

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        &[];
        every_manifest_is_what_the_api_takes,
        every_daemonset_names_this_release_s_image,
        every_daemonset_runs_where_there_is_an_image_for_it,
        one_daemonset_replaces_the_other,
        the_example_s_settings_are_valid,
        no_right_is_given_that_is_not_told_of,
        the_apparmor_profile_is_a_field_and_an_annotation_that_agrees,
        the_node_s_processes_are_shown_only_where_a_container_reads_them,
        no_container_mounts_more_of_the_node_than_it_works_in,
    ]
}

const DAEMONSETS: [&str; 6] =
    ["pod.yaml", "host.yaml", "sweep.yaml", "cleanup.yaml", "graduate.yaml", "remove.yaml"];

fn every_manifest_is_what_the_api_takes() -> Result<()> {
    let all = manifest::all()?;
    let is_there = |file: &str| all.iter().any(|entry| entry == file);
    ensure!(manifest::FILES.iter().all(|file| is_there(file)), "{all:?} lacks a manifest for nodes");
    for file in &all {
        let documents = manifest::documents(file)?;
        ensure!(!documents.is_empty(), "{file} is empty");
        for document in documents {
            manifest::check(&document).with_context(|| file.to_owned())?;
        }
    }
    Ok(())
}

fn every_daemonset_names_this_release_s_image() -> Result<()> {
    let name = image::name(image::version());
    for file in DAEMONSETS {
        let set = manifest::daemonset(file)?;
        let spec = set.spec.and_then(|spec| spec.template.spec).context("a pod's spec")?;
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            ensure!(
                container.image.as_ref() == Some(&name),
                "{file}: {:?}, expected {name}",
                container.image
            );
        }
        ensure!(spec.automount_service_account_token == Some(false), "{file} has a token");
    }
    Ok(())
}

/// On a node of another architecture a pod could only fail to start.
fn every_daemonset_runs_where_there_is_an_image_for_it() -> Result<()> {
    for file in DAEMONSETS {
        let set = manifest::daemonset(file)?;
        let spec = set.spec.and_then(|spec| spec.template.spec).context("a pod's spec")?;
        let affinity = spec.affinity.and_then(|affinity| affinity.node_affinity);
        let required = affinity.and_then(|nodes| nodes.required_during_scheduling_ignored_during_execution);
        let terms = required.with_context(|| format!("{file} runs on every node"))?.node_selector_terms;
        // Terms are alternatives, the expressions of one all hold.
        ensure!(terms.len() == 1, "{file}: {terms:?}");
        let terms_by_key: BTreeMap<String, Vec<String>> = terms
            .into_iter()
            .flat_map(|term| term.match_expressions.unwrap_or_default())
            .filter(|expression| expression.operator == "In")
            .map(|expression| (expression.key, expression.values.unwrap_or_default()))
            .collect();
        let expected = [("kubernetes.io/arch", vec!["amd64", "arm64"]), ("kubernetes.io/os", vec!["linux"])];
        let expected =
            expected.map(|(key, values)| (key.to_owned(), values.into_iter().map(str::to_owned).collect()));
        ensure!(terms_by_key == BTreeMap::from(expected), "{file}: {terms_by_key:?}");
    }
    Ok(())
}

/// A cluster has one DaemonSet at a time that does the work, and its removal ends it.
fn one_daemonset_replaces_the_other() -> Result<()> {
    let identity = |file: &str| -> Result<_> {
        let set = manifest::daemonset(file)?;
        Ok((set.metadata.name, set.metadata.namespace, set.spec.context("a spec")?.selector))
    };
    let pod = identity("pod.yaml")?;
    for file in ["host.yaml", "graduate.yaml", "remove.yaml"] {
        // A selector cannot be changed, so an apply of another one would be refused.
        ensure!(identity(file)? == pod, "{file} is another DaemonSet than pod.yaml");
    }
    for file in ["sweep.yaml", "cleanup.yaml"] {
        ensure!(identity(file)? != pod, "{file} would replace pod.yaml");
    }
    Ok(())
}

fn the_example_s_settings_are_valid() -> Result<()> {
    let scratch = Scratch::new("example")?;
    let settings = scratch.dir("etc/crossfade")?;
    for (name, text) in manifest::settings()? {
        fs::write(settings.join(name), text)?;
    }
    let checked = |arguments: &mut dyn FnMut(&mut Command)| -> Result<()> {
        let mut command = Command::new(lab::build::dist::bootstrap()?);
        arguments(&mut command);
        lab::host::command::run(&mut command).map(drop)
    };
    checked(&mut |command| {
        command.args(["policy", "check"]).arg(settings.join("policy.json"));
    })?;
    // It reads node.json, and refuses one that is not valid.
    checked(&mut |command| {
        command.args(["unit", "render", "--print", "k3s", "--root"]).arg(scratch.path());
    })
}

/// Kubernetes from 1.30 on takes the field and warns of an annotation without one; older ones know the annotation alone. Where both are
/// there and differ, the pod is refused.
fn the_apparmor_profile_is_a_field_and_an_annotation_that_agrees() -> Result<()> {
    const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
    for file in DAEMONSETS {
        let template = manifest::daemonset(file)?.spec.context("a spec")?.template;
        let annotations = template.metadata.unwrap_or_default().annotations.unwrap_or_default();
        let annotated: BTreeMap<_, _> = annotations
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(ANNOTATION)?.to_owned(), value.clone())))
            .collect();
        let spec = template.spec.context("a spec")?;
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        let fields: BTreeMap<_, _> = all
            .filter_map(|container| {
                let profile = container.security_context.as_ref()?.app_armor_profile.as_ref()?;
                Some((container.name.clone(), profile.type_.to_lowercase()))
            })
            .collect();
        ensure!(fields == annotated, "{file}: the fields say {fields:?}, the annotations {annotated:?}");
    }
    Ok(())
}

/// Who works in the node's root; everybody else has directories of his own.
const ROOTED: [(&str, &str); 6] = [
    ("host.yaml", "install"),
    ("sweep.yaml", "sweep"),
    ("cleanup.yaml", "cleanup"),
    ("graduate.yaml", "graduate"),
    ("graduate.yaml", "remove"),
    ("remove.yaml", "remove"),
];
/// In each of these are sockets of others, and who connects to one of them is root on the node.
const TOO_MUCH: [&str; 6] = ["/", "/run", "/var/run", "/var", "/etc", "/var/lib"];

fn no_container_mounts_more_of_the_node_than_it_works_in() -> Result<()> {
    let mut rooted = Vec::new();
    for file in DAEMONSETS {
        let spec = manifest::daemonset(file)?.spec.and_then(|spec| spec.template.spec).context("a spec")?;
        let path = |name: &str| {
            let mut all = spec.volumes.iter().flatten().filter(|volume| volume.name == name);
            all.find_map(|volume| volume.host_path.as_ref()).map(|host| host.path.as_str())
        };
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            for mount in container.volume_mounts.iter().flatten() {
                let Some(path) = path(&mount.name) else { continue };
                if path == "/" {
                    rooted.push((file, container.name.clone()));
                } else {
                    ensure!(!TOO_MUCH.contains(&path), "{file}: {} mounts {path}", container.name);
                    // Paths in settings and confs mean the same on both sides.
                    ensure!(mount.mount_path == path, "{file}: {path} is at {}", mount.mount_path);
                }
            }
        }
        for volume in spec.volumes.iter().flatten() {
            let all = spec.init_containers.iter().flatten().chain(&spec.containers);
            let mut mounts = all.flat_map(|container| container.volume_mounts.iter().flatten());
            ensure!(
                mounts.any(|mount| mount.name == volume.name),
                "{file}: no container mounts {}",
                volume.name
            );
        }
    }
    let expected: Vec<_> = ROOTED.iter().map(|(file, name)| (*file, (*name).to_owned())).collect();
    ensure!(rooted == expected, "these have the node's root: {rooted:?}");
    Ok(())
}

/// hostPID is a right of the whole pod. `install` and `remove` read the environment of processes, and `sweep` ends them (`rights` takes it from `install`).
fn the_node_s_processes_are_shown_only_where_a_container_reads_them() -> Result<()> {
    for file in manifest::all()?.iter().filter(|file| !DAEMONSETS.contains(&file.as_str())) {
        for document in manifest::documents(file)? {
            ensure!(
                !document.to_string().contains("hostPID"),
                "{file} has hostPID and is no DaemonSet of nodes"
            );
        }
    }
    for file in DAEMONSETS {
        let spec = manifest::daemonset(file)?.spec.and_then(|spec| spec.template.spec).context("a spec")?;
        let reads_processes =
            spec.init_containers.iter().flatten().chain(&spec.containers).any(|container| {
                let context = container.security_context.clone().unwrap_or_default();
                let added =
                    context.capabilities.and_then(|capabilities| capabilities.add).unwrap_or_default();
                context.privileged == Some(true) || added.iter().any(|right| right == "SYS_PTRACE")
            });
        ensure!(
            spec.host_pid.unwrap_or(false) == reads_processes,
            "{file}: hostPID {:?}, and a container reads processes of the node: {reads_processes}",
            spec.host_pid
        );
    }
    Ok(())
}

/// docs/daemonset.md is where people look before they give rights away.
fn no_right_is_given_that_is_not_told_of() -> Result<()> {
    let page = fs::read_to_string(lab::build::dist::workspace().join("docs/daemonset.md"))?;
    for file in DAEMONSETS {
        let spec = manifest::daemonset(file)?.spec.and_then(|spec| spec.template.spec).context("a spec")?;
        for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
            let context = container.security_context.clone().unwrap_or_default();
            let capabilities = context.capabilities.unwrap_or_default();
            let dropped = capabilities.drop.unwrap_or_default();
            ensure!(context.privileged == Some(true) || dropped == ["ALL"], "{file}: {dropped:?}");
            let added = capabilities.add.unwrap_or_default();
            // hostPID is the whole pod's: a container may signal and read the node's processes of its own user, root or nobody (65534), as it likes.
            let uid = context.run_as_user.filter(|_| context.run_as_non_root == Some(true));
            ensure!(
                context.privileged == Some(true)
                    || !added.is_empty()
                    || uid.is_some_and(|uid| ![0, 65534].contains(&uid)),
                "{file}: {} needs no right of root's, and is user {uid:?}, whom processes of the node have",
                container.name
            );
            for right in added {
                ensure!(page.contains(&format!("`{right}`")), "docs/daemonset.md says nothing of {right}");
            }
        }
        for volume in spec.volumes.iter().flatten().filter_map(|volume| volume.host_path.as_ref()) {
            ensure!(page.contains(&format!("`{}`", volume.path)), "docs/daemonset.md: {}", volume.path);
        }
    }
    Ok(())
}
