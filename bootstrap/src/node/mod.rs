//! What is on a node, whoever asks: its paths and settings, conf directories, identity, switch and mounts.

pub mod command;
pub mod conf;
pub mod confdir;
pub mod digest;
pub mod directories;
pub mod durable;
pub mod evidence;
pub mod foreign;
pub mod guest;
pub mod host;
pub mod hostroutes;
pub mod identity;
pub mod mode;
pub mod mounts;
pub mod own_command;
pub mod paths;
pub mod profile;
pub mod program;
pub mod rooted;
pub mod settings;
pub mod switch;
