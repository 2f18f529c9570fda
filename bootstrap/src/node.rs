//! Facts about a node as a node of Crossfade: its settings, conf directory, networks, plugins, policy, attachments and identity.

pub(crate) mod agent;
pub(crate) mod attachments;
pub(crate) mod cni;
pub(crate) mod conf;
pub(crate) mod facts;
pub(crate) mod fitness;
pub(crate) mod identity;
pub(crate) mod networks;
pub(crate) mod plugins;
pub(crate) mod policy;
pub(crate) mod settings;
pub(crate) mod switch;
