//! `roll pause`, `resume`, `abort`, `skip`, `retry` and `rollback`: requests to a run, which its holder reads.

use migration::drive::status::Holder;
use migration::roll::run::RunRequest;
use serde::Serialize;
use types::command::exit::Exit;

use crate::cli::exit::Failure;
use crate::cli::options::Global;
use crate::live;
use crate::print::{Document, Report};

/// What was asked for, and who takes it up.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestReport {
    /// What.
    #[serde(rename = "asked")]
    pub request: RunRequest,
    /// The run's holder; none if the run has none.
    pub holder: Option<String>,
    /// The same with the times of its Lease.
    #[serde(skip)]
    pub lease_holder: Option<Holder>,
}

/// Asks.
///
/// # Errors
/// There is no run, or a request failed.
pub(crate) fn ask(global: &Global, reason: &str, what: RunRequest) -> Result<RequestReport, Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::from_problem(
            Exit::Usage,
            "--reason is empty; expected why, for the operators who look at the run".to_owned(),
        ));
    }
    let lease_holder = live::ask(&global.access, reason, &what)
        .map_err(|(exit, problem)| Failure::from_problem(exit, problem))?;
    Ok(RequestReport {
        request: what,
        holder: lease_holder.as_ref().map(|holder| holder.name.clone()),
        lease_holder,
    })
}

impl Report for RequestReport {
    fn document(&self) -> Document {
        let mut document = Document::new("Asked of the run");
        document.text(match &self.lease_holder {
            Some(holder) => format!("The run is held by {holder}. It takes this up within seconds; kubectl crossfade status shows what comes of it. A holder that does not renew its Lease is gone: then kubectl crossfade roll --resume takes it up first."),
            None => "No process holds the run. The next holder takes it up first: kubectl crossfade roll --resume".into(),
        });
        document
    }
}
