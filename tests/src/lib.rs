//! The lab: nodes as namespaces, real runtimes, real and scripted CNIs, a probe mesh.

pub mod agent;
pub mod bench;
pub mod boot;
pub mod caller;
pub mod case;
pub mod containerd;
pub mod cri;
pub mod crio;
pub mod crossfade;
pub mod deadline;
pub mod demo;
pub mod dist;
pub mod fabric;
pub mod image;
pub mod invariants;
pub mod isolate;
pub mod kubelet;
pub mod netns;
pub mod node;
pub mod oracle;
pub mod packages;
pub mod podman;
pub mod preflight;
pub mod probe;
pub mod scratch;
pub mod stub;
