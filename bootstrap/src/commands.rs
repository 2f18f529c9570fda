//! The commands that an operator, a pipeline or systemd calls: a module for each command that is neither `watch` nor part of an image build. None of them
//! uses another.

pub(crate) mod attachments;
pub(crate) mod boot;
pub(crate) mod cleanup;
pub(crate) mod gate;
pub(crate) mod generator;
pub(crate) mod graduate;
pub(crate) mod install;
pub(crate) mod move_pods;
pub(crate) mod place;
pub(crate) mod policy;
pub(crate) mod render;
pub(crate) mod retract;
pub(crate) mod status;
pub(crate) mod sweep;
