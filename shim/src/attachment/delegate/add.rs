//! The ADD of one network: its chain forwards, each plugin with the result of the one before it.

use std::io;

use super::{Limits, Network};
use crate::call::reply::{CniError, code};
use crate::call::request::Verb;
use crate::call::version::AddResult;
use crate::host::exec::{self, Binary, ReadyPlugin};
use crate::host::lock::Lock;

impl Network<'_> {
    /// Prepares the first plugin of the chain for its ADD, which needs no other plugin's result.
    ///
    /// # Errors
    /// As [`ReadyPlugin::new`]. [`Self::add`] reports it.
    pub fn prepare<'b>(&self, binaries: &'b [Binary]) -> io::Result<ReadyPlugin<'b>> {
        match (self.conf.plugins.first(), binaries.first()) {
            (Some(plugin), Some(binary)) => self.prepare_plugin(Verb::Add, binary, self.stdin(plugin, None)),
            _ => Err(io::Error::other("the network has no plugins")),
        }
    }

    /// Runs ADD through the chain, and returns the network's result at the version of its conf. `first` is what [`Self::prepare`] returned.
    ///
    /// # Errors
    /// The error of the plugin that failed. The caller runs the rollback.
    pub fn add(
        &self,
        binaries: &[Binary],
        first: io::Result<ReadyPlugin<'_>>,
        lock: &mut Lock,
        limits: &Limits<'_>,
    ) -> Result<AddResult, CniError> {
        let mut first = Some(first);
        let mut result: Option<AddResult> = None;
        for (plugin, binary) in self.conf.plugins.iter().zip(binaries) {
            let previous = result.as_ref().map(|result| result.to_version(self.conf.version)).transpose()?;
            let ready = first.take().unwrap_or_else(|| {
                self.prepare_plugin(Verb::Add, binary, self.stdin(plugin, previous.as_deref()))
            });
            let outcome = ready
                .and_then(|ready| ready.run(Some(lock), limits.deadline, limits.signals))
                .map_err(|e| self.start_error(plugin, Verb::Add, binary, &e))?;
            self.require_success(plugin, Verb::Add, &outcome)?;
            if outcome.overflow {
                let limit = exec::MAX_STDOUT_BYTES;
                return Err(self.delegate_error(
                    plugin,
                    Verb::Add,
                    CniError::new(code::DECODE, format!("invalid result: more than {limit} bytes")),
                ));
            }
            let parsed = AddResult::parse(&outcome.stdout, self.conf.version)
                .map_err(|error| self.delegate_error(plugin, Verb::Add, error))?;
            crate::host::journal::pass_on(&outcome.stderr);
            result = Some(parsed);
        }
        // A conflist has at least one plugin, so there is a result; at its conf's version it goes on record.
        match result {
            Some(result) => result.into_version(self.conf.version),
            None => Err(CniError::new(code::CONFIG, format!("network {:?} has no plugins", self.conf.name))),
        }
    }
}
