//! Multus between the runtime and a stub, to compare with: the same job by the plugin that most clusters use for it.
//!
//! Without a kubeconfig, it asks no API server and attaches the delegates of its conf.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::call::{Attachment, Call};
use super::workshop::{Workshop, plugin_conf};
use crate::host::scratch;

/// A binary of Multus, with the networks that it delegates to.
pub(super) struct Multus {
    program: PathBuf,
    bin: PathBuf,
    conf: Value,
}

impl Multus {
    /// Multus in front of these networks; none if no binary was given.
    ///
    /// # Errors
    /// The binary cannot be read.
    pub(super) fn before(
        workshop: &Workshop,
        binary: Option<&Path>,
        label: &str,
        networks: &[&Value],
    ) -> Result<Option<Multus>> {
        let Some(binary) = binary else { return Ok(None) };
        let program = workshop.disk.join("multus/multus");
        if !program.exists() {
            scratch::install(binary, &program)
                .with_context(|| format!("{} is to be a binary of Multus", binary.display()))?;
        }
        let delegates: Vec<Value> = networks.iter().map(|network| plugin_conf(network)).collect();
        let conf = json!({
            "cniVersion": "1.0.0",
            "name": "multus",
            "type": "multus",
            "cniDir": workshop.scratch(&format!("multus-{label}")),
            "delegates": delegates,
        });
        Ok(Some(Multus { program, bin: workshop.stubs.path().to_owned(), conf }))
    }

    /// A call of it for one attachment.
    ///
    /// # Errors
    /// No scratch file.
    pub(super) fn call(&self, verb: &str, attachment: &Attachment) -> Result<Call> {
        let mut call = Call::new(&self.program, verb, &self.bin, &self.conf)?;
        call.attachment(attachment);
        Ok(call)
    }
}
