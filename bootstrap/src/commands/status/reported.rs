//! `status --reported`: for a pod that is to be ready when its node is, and has nothing of the node but the report.

use serde::Serialize;

use super::Watched;
use crate::cli::Global;
use crate::cli::exit::Exit;
use crate::cli::print::{Page, Report};
use crate::node::paths::{Root, STATUS};
use crate::node::status_file::{self, StatusFile};

/// What `watch` reports, and nothing else.
///
/// *Shape*: `{"version":1,"ready":false,"watch":{..},"problem":".."}`; `watch` as in [`super::Status`], and none while nobody reports;
/// `problem` says why the node is not ready, or why that is not known.
#[derive(Debug, Serialize)]
pub struct Reported {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    watch: Option<Watched>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Reads the report of `watch` alone: policy, confs and records need not be here.
#[must_use]
pub fn reported(global: &Global) -> Reported {
    let (watch, problem) = match status_file::read(&Root::new(&global.root).at(STATUS)) {
        StatusFile::Absent => (None, Some("no watch has run in this boot".to_owned())),
        StatusFile::Unreadable(why) => (None, Some(why)),
        StatusFile::Fresh(document) => (Some(Watched { document, stale: None }), None),
        StatusFile::Stale(document, why) => (Some(Watched { document, stale: Some(why.clone()) }), Some(why)),
    };
    let ready = problem.is_none() && watch.as_ref().is_some_and(|watch| watch.document.ready);
    Reported { ready, watch, problem }
}

impl Report for Reported {
    fn human(&self) -> Page {
        let mut text = Page::new();
        if let Some(Watched { document, .. }) = &self.watch {
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
}
