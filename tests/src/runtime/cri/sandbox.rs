//! Sandboxes: what to ask a runtime for, and what it answers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use k8s_cri::v1 as api;
use serde_json::Value;

/// Transport protocol of a [`PortMapping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A port of the node that leads to one of the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMapping {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Port on the node.
    pub host_port: u16,
    /// Port in the sandbox.
    pub container_port: u16,
}

/// What to ask for; [`Sandbox::new`] fills in everything but the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Pod name; with the namespace, uid and attempt it must be unique on the runtime.
    pub name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Pod uid.
    pub uid: String,
    /// How often the pod's sandbox was made before.
    pub attempt: u32,
    /// Pod annotations; they reach a plugin that declares the capability.
    pub annotations: HashMap<String, String>,
    /// Pod labels.
    pub labels: HashMap<String, String>,
    /// Ports of the node that lead to the pod.
    pub port_mappings: Vec<PortMapping>,
    /// It is in the node's own network, and nothing is attached.
    pub host_network: bool,
}

impl Sandbox {
    /// A pod in namespace `default` with a uid made of its name.
    pub fn new(name: &str) -> Sandbox {
        Sandbox {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            uid: format!("uid-of-{name}"),
            attempt: 0,
            annotations: HashMap::new(),
            labels: HashMap::new(),
            port_mappings: Vec::new(),
            host_network: false,
        }
    }

    /// The same with a port of the node that leads to the pod's 8080.
    #[must_use]
    pub fn exposed(mut self, host_port: u16) -> Sandbox {
        self.port_mappings.push(PortMapping { protocol: Protocol::Tcp, host_port, container_port: 8080 });
        self
    }

    /// The same with one more annotation.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: &str) -> Sandbox {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(super) fn config(&self) -> Result<api::PodSandboxConfig> {
        let mappings = self.port_mappings.iter().map(|mapping| api::PortMapping {
            protocol: match mapping.protocol {
                Protocol::Tcp => api::Protocol::Tcp.into(),
                Protocol::Udp => api::Protocol::Udp.into(),
            },
            container_port: mapping.container_port.into(),
            host_port: mapping.host_port.into(),
            host_ip: String::new(),
        });
        let namespaces = api::NamespaceOption {
            network: if self.host_network { api::NamespaceMode::Node } else { api::NamespaceMode::Pod }
                .into(),
            pid: api::NamespaceMode::Container.into(),
            ipc: api::NamespaceMode::Pod.into(),
            ..Default::default()
        };
        Ok(api::PodSandboxConfig {
            metadata: Some(api::PodSandboxMetadata {
                name: self.name.clone(),
                uid: self.uid.clone(),
                namespace: self.namespace.clone(),
                attempt: self.attempt,
            }),
            hostname: if self.host_network { String::new() } else { self.name.clone() },
            port_mappings: mappings.collect(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            linux: Some(api::LinuxPodSandboxConfig {
                cgroup_parent: cgroup_parent()?,
                security_context: Some(api::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        })
    }
}

/// The lab's, which sweeps it; on a machine of [`crate::boot`], of which nothing is left anyway, kubelet's own.
pub(crate) fn cgroup_parent() -> Result<String> {
    if Path::new(crate::standin::kubelet::EVENTS).exists() {
        Ok("/kubepods".to_owned())
    } else {
        crate::host::isolate::cgroup_parent()
    }
}

/// A sandbox as the runtime lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxEntry {
    pub id: String,
    /// Pod name.
    pub name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Whether it runs.
    pub ready: bool,
}

/// A sandbox's status.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Whether it runs.
    pub ready: bool,
    /// First address; none once it is stopped.
    pub ip: Option<IpAddr>,
    /// Addresses beyond the first.
    pub additional_ips: Vec<IpAddr>,
    /// Path of its network namespace as the node sees it.
    pub netns: PathBuf,
    /// Its first process as the node sees it; 0 once it is stopped.
    pub pid: i64,
    /// The runtime's verbose information as it came, with the CNI result in `cniResult`.
    pub info: Value,
}
