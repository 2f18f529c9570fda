//! The lab: nodes as namespaces, real runtimes, real and scripted CNIs, a probe mesh.

pub mod bench;
pub mod boot;
pub mod build;
pub mod case;
pub mod demo;
pub mod host;
pub mod install;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod probe;
pub mod runtime;
pub mod scene;
pub mod standin;
pub mod walk;
