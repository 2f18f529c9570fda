//! One call of a plugin.

use std::path::PathBuf;

use anyhow::Result;
use lab::runtime::caller::{Outcome, Plugin};
use serde_json::Value;

/// Where the standard plugins are.
pub(crate) const PLUGINS: &str = "/usr/lib/cni";

/// One pod of one plugin.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// A program of the lab.
    pub(crate) plugin: &'static str,
    /// CNI_CONTAINERID.
    pub(crate) id: String,
    /// CNI_NETNS.
    pub(crate) netns: PathBuf,
    /// CNI_ARGS.
    pub(crate) args: String,
}

impl Caller {
    /// Calls the plugin for `eth0`.
    pub(crate) fn call(&self, verb: &str, conf: &Value) -> Result<Outcome> {
        self.call_for("eth0", verb, conf)
    }

    /// Calls the plugin for an interface.
    pub(crate) fn call_for(&self, ifname: &str, verb: &str, conf: &Value) -> Result<Outcome> {
        Plugin::new(&lab::build::dist::lab_bin(self.plugin)?)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &self.id)
            .env("CNI_NETNS", &self.netns.display().to_string())
            .env("CNI_IFNAME", ifname)
            .env("CNI_ARGS", &self.args)
            .env("CNI_PATH", PLUGINS)
            .stdin(&conf.to_string())
            .run()
    }

    /// Calls the plugin and expects it to succeed.
    pub(crate) fn succeed(&self, verb: &str, conf: &Value) -> Result<Outcome> {
        self.succeed_for("eth0", verb, conf)
    }

    /// Calls the plugin for an interface and expects it to succeed.
    pub(crate) fn succeed_for(&self, ifname: &str, verb: &str, conf: &Value) -> Result<Outcome> {
        let outcome = self.call_for(ifname, verb, conf)?;
        outcome.succeeded()?;
        Ok(outcome)
    }
}
