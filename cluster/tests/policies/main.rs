//! What network policies mean: the evaluators against examples whose verdicts are published, and against a second reading of the documentation that
//! goes packet by packet and shares nothing with them.

mod admin;
mod antrea;
mod calico;
mod cilium;
mod convert;
mod difference;
mod gather;
mod kubernetes;
mod packet;
mod range;
mod town;
