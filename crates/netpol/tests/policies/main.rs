//! The meaning of network policies: the evaluators against examples whose verdicts are published, and against a second reading of the documentation that
//! goes packet by packet and shares nothing with them, and against the verdicts of a tool of another project.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test may read files and the clock"
)]

mod admin;
mod antrea;
mod calico;
mod cilium;
mod compare;
mod convert;
mod difference;
mod flows;
mod gather;
mod kubernetes;
mod oracle;
mod packet;
mod range;
mod town;
