//! The commands that an operator, a pipeline or systemd calls: a module for each command that is neither `watch` nor part of an image build. None of them
//! uses another.

pub mod attachments;
pub mod boot;
pub mod cleanup;
pub mod gate;
pub mod generator;
pub mod graduate;
pub mod install;
pub mod place;
pub mod policy;
pub mod render;
pub mod restart_pods;
pub mod retract;
pub mod status;
pub mod sweep;
