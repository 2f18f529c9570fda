//! The lab: nodes as namespaces, real runtimes, real and scripted CNIs, a probe mesh.

pub mod agent;
pub mod bench;
pub mod boot;
pub mod calico;
pub mod caller;
pub mod case;
pub mod containerd;
pub mod cri;
pub mod crio;
pub mod crossfade;
pub mod daemonset;
pub mod deadline;
pub mod demo;
pub mod dist;
pub mod fabric;
pub mod image;
pub mod image_build;
pub mod invariants;
pub mod isolate;
pub mod kubelet;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod netlink;
pub mod netns;
pub mod node;
pub mod oracle;
pub mod package;
pub mod packages;
pub mod person;
pub mod podman;
pub mod preflight;
pub mod probe;
pub mod scene;
pub mod scratch;
pub mod stub;
