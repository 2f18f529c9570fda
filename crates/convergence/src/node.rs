//! A node of Crossfade as data: settings, conf directory, networks, plugins, policy, attachments and identity.

pub mod agent;
pub mod attachments;
pub mod cni;
pub mod conf;
pub mod digest;
pub mod facts;
pub mod glob;
pub mod identity;
pub mod networks;
pub mod paths;
pub mod plugins;
pub mod policy;
pub mod settings;
pub mod switch;
