//! One node: its boot, its conf and kubelet's registration, installation, policy and sweep.
//!
//! Every command is one straight line: settings and facts ([`settings`], [`facts`]) -> decide (pure; a list of
//! [`change::Change`]) -> apply -> report ([`print`]). A dry run stops before apply and prints the very list that it would carry out.

pub mod api;
pub mod asked;
pub mod attachments;
pub mod bake;
pub mod boot;
pub mod bring;
pub mod cache;
pub mod change;
pub mod cli;
pub mod conf;
pub mod confdir;
pub mod digest;
pub mod durable;
pub mod evidence;
pub mod exit;
pub mod explain;
pub mod facts;
pub mod foreign;
pub mod gate;
pub mod generator;
pub mod guest;
pub mod host;
pub mod hostroutes;
pub mod install;
pub mod installing;
pub mod inventory;
pub mod kubelet;
pub mod mode;
pub mod mounts;
pub mod node;
pub mod outcome;
pub mod place;
pub mod places;
pub mod policy;
pub mod print;
pub mod profile;
pub mod program;
pub mod render;
pub mod report;
pub mod retract;
pub mod rooted;
pub mod runtime;
pub mod seal;
pub mod selftest;
pub mod settings;
pub mod status;
pub mod sweep;
pub mod switch;
pub mod uncached;
pub mod uninstall;
pub mod unit;
pub mod watch;
