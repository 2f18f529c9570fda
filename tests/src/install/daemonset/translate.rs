//! From a pod's spec to what the runtime is asked for, as kubelet translates it.
//! *Source*: kubernetes, `pkg/kubelet/kuberuntime/kuberuntime_container_linux.go`, `security_context.go`, `pkg/securitycontext/util.go`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use k8s_cri::v1 as api;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, PodSpec, SELinuxOptions, SecurityContext, VolumeMount};

/// Where even root of a container looks at nothing. *Source*: `pkg/securitycontext/util.go`.
const MASKED: [&str; 9] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
];
/// Where it writes nothing. *Source*: as above.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The sandbox of a pod.
pub(super) fn sandbox(
    set: &DaemonSet,
    spec: &PodSpec,
    uid: &str,
    logs: &Path,
) -> Result<api::PodSandboxConfig> {
    let name = set.metadata.name.clone().context("a name")?;
    let namespace = set.metadata.namespace.clone().context("a namespace")?;
    let context = spec.security_context.clone().unwrap_or_default();
    let privileged = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .any(|container| security(container).privileged.unwrap_or_default());
    let security = api::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(spec)),
        selinux_options: context.se_linux_options.as_ref().map(selinux),
        privileged,
        ..Default::default()
    };
    Ok(api::PodSandboxConfig {
        metadata: Some(api::PodSandboxMetadata {
            name: format!("{name}-{uid}"),
            uid: uid.to_owned(),
            namespace,
            attempt: 0,
        }),
        log_directory: logs.display().to_string(),
        linux: Some(api::LinuxPodSandboxConfig {
            cgroup_parent: crate::runtime::cri::cgroup_parent()?,
            security_context: Some(security),
            ..Default::default()
        }),
        ..Default::default()
    })
}

pub(super) fn container(
    spec: &PodSpec,
    container: &Container,
    volumes: &BTreeMap<String, PathBuf>,
    attempt: u32,
) -> Result<api::ContainerConfig> {
    let own = security(container);
    let pod = spec.security_context.clone().unwrap_or_default();
    let privileged = own.privileged.unwrap_or_default();
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let unprivileged = |paths: &[&str]| match privileged {
        true => Vec::new(),
        false => paths.iter().map(|path| (*path).to_owned()).collect(),
    };
    let seccomp = own.seccomp_profile.or(pod.seccomp_profile).filter(|_| !privileged);
    let seccomp = match seccomp.as_ref().map(|profile| profile.type_.as_str()) {
        Some("RuntimeDefault") => api::security_profile::ProfileType::RuntimeDefault,
        None | Some("Unconfined") => api::security_profile::ProfileType::Unconfined,
        Some(other) => anyhow::bail!("seccomp profile {other}"),
    };
    let security = api::LinuxContainerSecurityContext {
        capabilities: Some(api::Capability {
            add_capabilities: capabilities.add.unwrap_or_default(),
            drop_capabilities: capabilities.drop.unwrap_or_default(),
            ..Default::default()
        }),
        privileged,
        namespace_options: Some(namespaces(spec)),
        selinux_options: own.se_linux_options.or(pod.se_linux_options).as_ref().map(selinux),
        run_as_user: Some(api::Int64Value { value: own.run_as_user.or(pod.run_as_user).unwrap_or(0) }),
        run_as_group: own.run_as_group.or(pod.run_as_group).map(|value| api::Int64Value { value }),
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or_default(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: unprivileged(&MASKED),
        readonly_paths: unprivileged(&READ_ONLY),
        seccomp: Some(api::SecurityProfile { profile_type: seccomp.into(), ..Default::default() }),
        ..Default::default()
    };
    let mounts = container.volume_mounts.iter().flatten().map(|mount| translated(mount, volumes));
    Ok(api::ContainerConfig {
        metadata: Some(api::ContainerMetadata { name: container.name.clone(), attempt }),
        image: Some(api::ImageSpec {
            image: container.image.clone().context("an image")?,
            ..Default::default()
        }),
        command: container.command.clone().unwrap_or_default(),
        args: container.args.clone().unwrap_or_default(),
        mounts: mounts.collect::<Result<_>>()?,
        log_path: format!("{}.log", container.name),
        linux: Some(api::LinuxContainerConfig { security_context: Some(security), ..Default::default() }),
        ..Default::default()
    })
}

fn security(container: &Container) -> SecurityContext {
    container.security_context.clone().unwrap_or_default()
}

fn selinux(options: &SELinuxOptions) -> api::SeLinuxOption {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    api::SeLinuxOption {
        user: text(&options.user),
        role: text(&options.role),
        r#type: text(&options.type_),
        level: text(&options.level),
    }
}

fn namespaces(spec: &PodSpec) -> api::NamespaceOption {
    let mode = |host: Option<bool>, else_: api::NamespaceMode| match host {
        Some(true) => api::NamespaceMode::Node.into(),
        _ => i32::from(else_),
    };
    api::NamespaceOption {
        network: mode(spec.host_network, api::NamespaceMode::Pod),
        pid: mode(spec.host_pid, api::NamespaceMode::Container),
        ipc: mode(spec.host_ipc, api::NamespaceMode::Pod),
        ..Default::default()
    }
}

fn translated(mount: &VolumeMount, volumes: &BTreeMap<String, PathBuf>) -> Result<api::Mount> {
    let volume = volumes.get(&mount.name).with_context(|| format!("volume {}", mount.name))?;
    ensure!(mount.sub_path.is_none(), "the lab's kubelet knows no subPath");
    let propagation = match mount.mount_propagation.as_deref() {
        None | Some("None") => api::MountPropagation::PropagationPrivate,
        Some("HostToContainer") => api::MountPropagation::PropagationHostToContainer,
        Some(_) => api::MountPropagation::PropagationBidirectional,
    };
    Ok(api::Mount {
        container_path: mount.mount_path.clone(),
        host_path: volume.display().to_string(),
        readonly: mount.read_only.unwrap_or_default(),
        propagation: propagation.into(),
        ..Default::default()
    })
}
