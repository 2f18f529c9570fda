//! The JSON Schemas of what commands answer, derived from the reports' types and kept in `bootstrap/schema`, from where they are
//! published; a test says when they are not those of today.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use convergence::doctor::report::Diagnosis;
use schemars::JsonSchema;
use types::command::rule::Explanation;
use types::json::schema::{answer_schema, stale_files};

use crate::change::outcome::ChangeReport;
use crate::commands::attachments::AttachmentsReport;
use crate::commands::attachments::connections::ConnectionsReport;
use crate::commands::boot::explain;
use crate::commands::cleanup::report::CleanupReport;
use crate::commands::graduate::report::GraduateReport;
use crate::commands::move_pods::report::MoveReport;
use crate::commands::status::{self, Status};
use crate::commands::{policy, render};
use crate::image::{bake, seal, selftest};
use crate::watch;

fn schema<R: JsonSchema>() -> String {
    serde_json::to_string_pretty(&answer_schema::<R>()).expect("JSON") + "\n"
}

/// One schema for each command, by the name of its file.
fn all() -> BTreeMap<&'static str, String> {
    [
        ("attachments", schema::<AttachmentsReport>()),
        ("attachments-connections", schema::<ConnectionsReport>()),
        ("bake", schema::<bake::BakeReport>()),
        ("boot", schema::<ChangeReport>()),
        ("cleanup", schema::<CleanupReport>()),
        ("move-pods", schema::<MoveReport>()),
        ("doctor", schema::<Diagnosis>()),
        ("doctor-explain", schema::<Explanation>()),
        ("explain", schema::<explain::BootExplanation>()),
        ("gate", schema::<ChangeReport>()),
        ("graduate", schema::<GraduateReport>()),
        ("install", schema::<ChangeReport>()),
        ("place", schema::<ChangeReport>()),
        ("policy-check", schema::<policy::PolicyReport>()),
        ("policy-explain", schema::<policy::explain::PolicyExplanation>()),
        ("policy-set", schema::<ChangeReport>()),
        ("policy-show", schema::<policy::PolicyReport>()),
        ("prove", schema::<watch::prove::ProofReport>()),
        ("render", schema::<render::RenderReport>()),
        ("retract", schema::<ChangeReport>()),
        ("seal", schema::<seal::report::SealReport>()),
        ("selftest", schema::<selftest::SelftestReport>()),
        ("status", schema::<Status>()),
        ("status-reported", schema::<status::reported::ReportedStatus>()),
        ("sweep", schema::<ChangeReport>()),
        ("uninstall", schema::<ChangeReport>()),
        ("watch", schema::<watch::Round>()),
    ]
    .into()
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema")
}

/// `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn schemas_are_those_of_today() {
    let stale = stale_files(&dir(), &all()).expect("the directory of schemas");
    assert!(stale.is_empty(), "look at the reports, then UPDATE_GOLDEN=1: {stale:?}");
}
