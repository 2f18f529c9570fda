//! Runs the plugin chain of one network as libcni would: forwards for ADD, backwards for DEL.
//!
//! The shim is the runtime of its delegates. Every plugin gets its own conf with the network's name and version, `runtimeConfig`
//! restricted to the capabilities it declares, and `prevResult`. The shim uses the CNI version of each network's own conf.
//!
//! *Source*: CNI specification 1.1.0, section 4 "Plugin delegation" and section 2 "Deriving request configuration";
//! `libcni/api.go` of the reference library.

mod add;
mod del;
mod missing_netns;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;
use types::json::raw::{RawObject, same_key, to_raw};
use types::text::quote::quote;

use crate::attachment::conflist::{Conflist, Plugin};
use crate::call::reply::{CniError, code};
use crate::call::request::{DEPTH_VARIABLE, Verb};
use crate::call::version::{Version, error_object};
use crate::host::exec::{self, Binary, PluginCall, PluginEnd, PluginOutcome, ReadyPlugin};
use crate::host::lock::Lock;
use crate::host::signal::Signals;
use crate::host::trust;
use crate::node::store::Key;

pub use del::{Del, DelEvent, del_all};
pub use missing_netns::FailedStep;

/// Capabilities that belong to one interface only: in both-mode, to the primary's. If both networks received a host port or an address request,
/// either could take what the other needs.
const PRIMARY_ONLY: [&str; 7] =
    ["portMappings", "ips", "mac", "ipRanges", "infinibandGUID", "deviceID", "aliases"];

/// `runtimeConfig` as a secondary network may see it.
#[must_use]
pub fn secondary_runtime_config(mut runtime_config: RawObject) -> RawObject {
    // A plugin written in Go accepts the key in any case.
    runtime_config.retain(|key| !PRIMARY_ONLY.iter().any(|only| same_key(key, only)));
    runtime_config
}

/// The environment of an attachment's calls.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// `CNI_CONTAINERID`; empty for GC and STATUS.
    pub container_id: &'a str,
    /// `CNI_NETNS`; may be empty.
    pub netns: &'a str,
    /// `CNI_ARGS`, verbatim.
    pub args: Option<&'a str>,
    /// Colon-separated lists of directories, in the order they count.
    pub search: Vec<&'a str>,
}

/// The limits of a call: its deadline, and the signals that end it early.
#[derive(Debug)]
pub struct Limits<'a> {
    /// The call ends then.
    pub deadline: Instant,
    /// A signal that asks to stop ends the call early.
    pub signals: &'a Signals,
}

impl Limits<'_> {
    /// Limits with one of `parts` equal shares of the remaining time, so that a call that hangs leaves the others their share.
    #[must_use]
    pub fn share(&self, parts: usize) -> Self {
        let now = Instant::now();
        let remaining = self.deadline.saturating_duration_since(now);
        let part = remaining / u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
        Self { deadline: now + part, signals: self.signals }
    }
}

/// One network, ready to be called.
#[derive(Debug)]
pub struct Network<'a> {
    /// The network's resolved conflist.
    pub conf: &'a Conflist,
    /// The network's interface in the pod; empty for GC and STATUS.
    pub ifname: &'a str,
    /// `runtimeConfig`, before the restriction per plugin.
    pub runtime_config: Option<&'a RawValue>,
    /// The environment.
    pub scope: Scope<'a>,
}

/// A DEL that stopped in its chain.
#[derive(Debug)]
pub struct StoppedDel {
    /// The plugin that failed, counted from 0 in the order of ADD.
    pub plugin: usize,
    /// The plugin's error.
    pub error: CniError,
    /// Whether the plugin was started. If not, it has removed nothing.
    pub was_started: bool,
}

/// An entry of a GC list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ValidAttachment {
    /// Container id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface as that network knows it.
    pub ifname: String,
}

impl From<Key> for ValidAttachment {
    fn from(key: Key) -> Self {
        Self { container_id: key.container_id, ifname: key.ifname }
    }
}

impl Network<'_> {
    /// Finds the binary of every plugin, so that no ADD begins without one of its plugins.
    ///
    /// # Errors
    /// Code 101, with the plugin and the directories that were searched. Code 7 if a plugin is the shim itself.
    pub fn find_binaries(&self) -> Result<Vec<Binary>, CniError> {
        self.conf.plugins.iter().map(|plugin| self.find(plugin)).collect()
    }

    fn find(&self, plugin: &Plugin) -> Result<Binary, CniError> {
        let binary = Binary::find(&plugin.plugin_type, &self.scope.search)
            .map_err(|why| CniError::new(code::BINARY, format!("network {:?}: {why}", self.conf.name)))?;
        if binary.is_ourselves() {
            return Err(delegates_to_itself(&self.conf.name));
        }
        Ok(binary)
    }

    /// Runs CHECK through the chain, unless the conf does not want it or is too old to know it.
    ///
    /// # Errors
    /// The error of the first plugin that fails.
    pub fn check(
        &self,
        result: Option<&RawValue>,
        lock: Option<&mut Lock>,
        limits: &Limits<'_>,
    ) -> Result<(), CniError> {
        if self.conf.version < Version::V040 || self.conf.disable_check {
            return Ok(());
        }
        let mut lock = lock;
        for plugin in &self.conf.plugins {
            let stdin = self.stdin(plugin, result);
            self.call(plugin, Verb::Check, stdin, lock.as_deref_mut(), limits)?;
        }
        Ok(())
    }

    /// Runs STATUS through the chain, unless the conf is too old to know it.
    ///
    /// # Errors
    /// The error of the first plugin that fails.
    pub fn status(&self, limits: &Limits<'_>) -> Result<(), CniError> {
        if self.conf.version < Version::V110 {
            return Ok(());
        }
        for plugin in &self.conf.plugins {
            self.call(plugin, Verb::Status, self.stdin(plugin, None), None, limits)?;
        }
        Ok(())
    }

    /// Runs GC through the chain with this network's own list, unless the conf does not want it or is too old to know it.
    ///
    /// # Errors
    /// The first error, with the others in its details. Every plugin is called, each within its share of the time.
    pub fn gc(&self, valid: &[ValidAttachment], limits: &Limits<'_>) -> Result<(), CniError> {
        if self.conf.version < Version::V110 || self.conf.disable_gc {
            return Ok(());
        }
        let list = to_raw(valid);
        let mut first: Option<CniError> = None;
        for (index, plugin) in self.conf.plugins.iter().enumerate() {
            let mut object = self.conf_for(plugin, None);
            // The second key is a historic misspelling that the reference library still sends.
            object.set("cni.dev/valid-attachments", list.clone());
            object.set("cni.dev/attachments", list.clone());
            let stdin = object.to_raw().get().as_bytes().to_vec();
            let share = limits.share(self.conf.plugins.len() - index);
            if let Err(error) = self.call(plugin, Verb::Gc, stdin, None, &share) {
                first = Some(match first {
                    None => error,
                    Some(first) => first.details(error.to_string()),
                });
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn call(
        &self,
        plugin: &Plugin,
        verb: Verb,
        stdin: Vec<u8>,
        lock: Option<&mut Lock>,
        limits: &Limits<'_>,
    ) -> Result<(), CniError> {
        let binary = self.find(plugin)?;
        let outcome = self
            .prepare_plugin(verb, &binary, stdin)
            .and_then(|ready| ready.run(lock, limits.deadline, limits.signals))
            .map_err(|e| self.start_error(plugin, verb, &binary, &e))?;
        self.require_success(plugin, verb, &outcome)
    }

    fn prepare_plugin<'b>(
        &self,
        verb: Verb,
        binary: &'b Binary,
        stdin: Vec<u8>,
    ) -> io::Result<ReadyPlugin<'b>> {
        ReadyPlugin::new(&PluginCall { binary, env: self.env(verb), stdin })
    }

    fn env(&self, verb: Verb) -> Vec<(&'static str, OsString)> {
        vec![
            ("CNI_COMMAND", verb.as_str().into()),
            ("CNI_CONTAINERID", self.scope.container_id.into()),
            ("CNI_NETNS", self.scope.netns.into()),
            ("CNI_IFNAME", self.ifname.into()),
            ("CNI_ARGS", self.scope.args.unwrap_or_default().into()),
            ("CNI_PATH", passed_on(&self.scope.search).into()),
            (DEPTH_VARIABLE, "1".into()),
        ]
    }

    /// The stdin of a plugin of the chain, for every verb but GC.
    #[must_use]
    pub fn stdin(&self, plugin: &Plugin, prev_result: Option<&RawValue>) -> Vec<u8> {
        self.conf_for(plugin, prev_result).to_raw().get().as_bytes().to_vec()
    }

    fn conf_for(&self, plugin: &Plugin, prev_result: Option<&RawValue>) -> RawObject {
        let mut object = plugin.object.clone();
        object.set_str("cniVersion", self.conf.version.as_str());
        object.set_str("name", &self.conf.name);
        object.remove("prevResult");
        if let Some(prev_result) = prev_result {
            object.set("prevResult", prev_result.to_owned());
        }
        let capabilities = plugin.capabilities();
        let offered = self.runtime_config.and_then(|raw| RawObject::parse(raw.get().as_bytes()).ok());
        if let Some(mut offered) = offered {
            offered.retain(|key| capabilities.iter().any(|declared| declared == key));
            if !offered.is_empty() {
                object.set("runtimeConfig", offered.to_raw());
            }
        }
        object
    }

    fn start_error(&self, plugin: &Plugin, verb: Verb, binary: &Binary, error: &io::Error) -> CniError {
        let why = exec::explain_start(binary, error);
        self.delegate_error(plugin, verb, CniError::new(code::DELEGATE, why))
    }

    /// Success, or the delegate's error with the names of network and plugin before its text.
    fn require_success(&self, plugin: &Plugin, verb: Verb, outcome: &PluginOutcome) -> Result<(), CniError> {
        require_answer(verb, outcome).map_err(|error| self.delegate_error(plugin, verb, error))
    }

    fn delegate_error(&self, plugin: &Plugin, verb: Verb, mut error: CniError) -> CniError {
        let who = format!("network {:?} plugin {:?} ({})", self.conf.name, plugin.plugin_type, verb.as_str());
        error.msg = format!("{who}: {}", error.msg);
        error.log = format!("{who}: {}", error.log);
        error
    }
}

/// Success, or the delegate's own error.
fn require_answer(verb: Verb, outcome: &PluginOutcome) -> Result<(), CniError> {
    Err(match outcome.end {
        PluginEnd::Exited(0) => return Ok(()),
        PluginEnd::Deadline => CniError::new(deadline_code(verb), "ran into its deadline and was ended")
            .details(outcome.stderr_text()),
        PluginEnd::Late => {
            CniError::new(deadline_code(verb), "was not started, for its deadline had passed by then")
        }
        PluginEnd::Stopped => {
            CniError::new(deadline_code(verb), "was ended because the call was asked to stop")
        }
        PluginEnd::Signalled(signal) => {
            CniError::new(code::DELEGATE, format!("was killed by signal {signal}"))
                .details(outcome.stderr_text())
        }
        PluginEnd::Exited(status) => RawObject::parse(&outcome.stdout)
            .ok()
            .and_then(|object| error_object(&object))
            .unwrap_or_else(|| {
                let mut error =
                    CniError::new(code::DELEGATE, format!("exited with status {status} and no CNI error"));
                if !outcome.stdout.is_empty() {
                    error = error.details(format!("stdout: {}", quote(&outcome.stdout, 512)));
                }
                if !outcome.stderr.is_empty() {
                    error = error.details(format!("stderr: {}", outcome.stderr_text()));
                }
                error
            }),
    })
}

/// The `CNI_PATH` that delegates receive. A delegate runs plugins of its own from there (IPAM, for example). So directories that other users could
/// write, and relative paths, are left out; usually there are none.
fn passed_on(search: &[&str]) -> String {
    let mut fit = Vec::new();
    for dir in search.iter().flat_map(|list| list.split(':')).filter(|dir| !dir.is_empty()) {
        match trust::check_place(Path::new(dir)) {
            Ok(()) => fit.push(dir),
            Err(why) => {
                tracing::warn!(dir, error = why.to_string(), "left out of the delegates' CNI_PATH");
            }
        }
    }
    fit.join(":")
}

/// The error for a conf whose plugin is the shim itself.
#[must_use]
pub fn delegates_to_itself(network: &str) -> CniError {
    CniError::new(code::CONFIG, format!("network {network:?} delegates to itself"))
        .details("a delegate's plugin is this shim; point the policy's conf at the CNI's own file")
}

/// The error code for a passed deadline, by verb.
#[must_use]
pub const fn deadline_code(verb: Verb) -> u32 {
    match verb {
        Verb::Add | Verb::Join => code::TRY_LATER,
        Verb::Status => code::NOT_AVAILABLE,
        Verb::Del | Verb::Leave | Verb::Check | Verb::Gc | Verb::Version => code::DEADLINE,
    }
}
