//! Installations with fewer rights than the manifest's: no pod may be missed for it.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::PodSpec;
use lab::build::preflight::trial;
use lab::install::daemonset::manifest;
use libtest_mimic::Trial;

use crate::NEEDS;
use crate::running::{Running, settings};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("without_the_node_s_processes_nothing_is_installed", NEEDS, || {
            refused("hostPID", |spec| spec.host_pid = None)
        }),
        trial("without_the_right_to_look_at_them_nothing_is_installed", NEEDS, || {
            refused("CAP_SYS_PTRACE", |spec| without(spec, "SYS_PTRACE"))
        }),
        trial("a_directory_that_is_not_the_node_s_root_is_refused", NEEDS, not_a_root),
    ]
}

fn without(spec: &mut PodSpec, right: &str) {
    for container in spec.init_containers.iter_mut().flatten() {
        let context = container.security_context.as_mut();
        let added = context.and_then(|context| context.capabilities.as_mut()?.add.as_mut());
        if let Some(added) = added {
            added.retain(|added| added != right);
        }
    }
}

fn spec(set: &mut DaemonSet) -> Result<&mut PodSpec> {
    set.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()).context("a pod's spec")
}

fn refused(words: &str, change: impl FnOnce(&mut PodSpec)) -> Result<()> {
    let scene = Running::new()?;
    scene.run("before")?;
    let mut set = manifest::daemonset("pod.yaml")?;
    change(spec(&mut set)?);
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&set, &settings("old")?)?;
    let code = pod.run_init("install")?;
    let text = pod.log("install")?;
    ensure!(code == 3 && text.contains(words), "{code}: {text}");
    ensure!(!scene.has_ours() && scene.attachments()? == (0, 0), "something was installed");
    pod.end()
}

fn not_a_root() -> Result<()> {
    let scene = Running::new()?;
    let mut set = manifest::daemonset("host.yaml")?;
    for volume in spec(&mut set)?.volumes.iter_mut().flatten() {
        if let Some(host) = &mut volume.host_path {
            host.path = "/etc".to_owned();
        }
    }
    let kubelet = scene.kubelet();
    let mut pod = kubelet.pod(&set, &settings("old")?)?;
    let code = pod.run_init("install")?;
    let text = pod.log("install")?;
    ensure!(code == 2 && text.contains("mount hostPath / of the node"), "{code}: {text}");
    pod.end()
}
