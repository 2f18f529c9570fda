//! `status --reported`: for a pod that is to be ready when its node is, and has nothing of the node but the report.

use convergence::node::agent::status_file::{NOT_READY, StatusFile};
use convergence::node::paths::STATUS;
use convergence::report::{Page, Report};
use serde::Serialize;
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::WatchReport;
use crate::cli::Global;
use crate::host::root::Root;
use crate::node::agent::status_file;

/// What to do where no `watch` of this boot reports.
const UNREPORTED: &str = "start watch: systemctl start crossfade-watch, or the DaemonSet's pod on this node";

/// Only the report of `watch`.
///
/// *Shape*: `{"version":1,"ready":false,"watch":{..}}`; `watch` as in [`super::Status`], and absent while no `watch` reports. A problem
/// says why the node is not ready, or why its readiness is unknown.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ReportedStatus {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<WatchReport>,
    #[serde(skip)]
    problem: Option<String>,
}

/// Reads the report of `watch` alone: policy, confs and records need not be here.
#[must_use]
pub(crate) fn read_reported(global: &Global) -> ReportedStatus {
    let (watch, problem) = match status_file::read(&Root::new(&global.root).join(STATUS)) {
        StatusFile::Absent => (None, Some("no watch has run in this boot".to_owned())),
        StatusFile::Unreadable(why) => (None, Some(why)),
        StatusFile::Fresh(document) => (Some(WatchReport { document, stale: None }), None),
        StatusFile::Stale(document, why) => {
            (Some(WatchReport { document, stale: Some(why.clone()) }), Some(why))
        }
    };
    let ready = problem.is_none() && watch.as_ref().is_some_and(|watch| watch.document.ready);
    ReportedStatus { ready, watch, problem }
}

impl Report for ReportedStatus {
    fn human(&self) -> Page {
        let mut text = Page::new();
        if let Some(WatchReport { document, .. }) = &self.watch {
            let _ = writeln!(text, "{}: {}", document.reason, document.message);
        }
        if let Some(problem) = &self.problem {
            let _ = writeln!(text, "problem: {problem}");
        }
        text
    }

    fn exit(&self) -> Exit {
        if self.ready { Exit::Done } else { Exit::No }
    }

    fn problems(&self) -> Vec<Problem> {
        let unknown =
            self.problem.iter().map(|why| Problem::new(why.as_str()).with_place(STATUS).fix(UNREPORTED));
        let watched = self.watch.iter().filter(|watch| watch.stale.is_none() && !self.ready);
        let not_ready = watched.map(|WatchReport { document, .. }| {
            Problem::new(format!("{}: {}", document.reason, document.message))
                .with_place(STATUS)
                .fix(NOT_READY)
        });
        unknown.chain(not_ready).collect()
    }
}
