//! The JSON Schemas of what commands answer, derived from the reports' types and kept in `bootstrap/schema`, from where they are
//! published; a test says when they are not those of today.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use types::schema::{of_answer, stale};

use crate::change::outcome::Changed;
use crate::commands::attachments::Listed;
use crate::commands::boot::explain;
use crate::commands::cleanup::report::Cleaned;
use crate::commands::graduate::report::Graduated;
use crate::commands::restart_pods::report::Restarted;
use crate::commands::status::Status;
use crate::commands::{policy, render, status};
use crate::doctor::report::Diagnosis;
use crate::image::{bake, seal, selftest};
use crate::watch;

fn schema<R: JsonSchema>() -> String {
    serde_json::to_string_pretty(&of_answer::<R>()).expect("JSON") + "\n"
}

/// One schema for each command, by the name of its file.
fn all() -> BTreeMap<&'static str, String> {
    [
        ("attachments", schema::<Listed>()),
        ("bake", schema::<bake::Baked>()),
        ("boot", schema::<Changed>()),
        ("cleanup", schema::<Cleaned>()),
        ("restart-pods", schema::<Restarted>()),
        ("doctor", schema::<Diagnosis>()),
        ("explain", schema::<explain::Explained>()),
        ("gate", schema::<Changed>()),
        ("graduate", schema::<Graduated>()),
        ("install", schema::<Changed>()),
        ("place", schema::<Changed>()),
        ("policy-check", schema::<policy::Shown>()),
        ("policy-explain", schema::<policy::explain::Explained>()),
        ("policy-set", schema::<Changed>()),
        ("policy-show", schema::<policy::Shown>()),
        ("prove", schema::<watch::prove::Proved>()),
        ("render", schema::<render::Rendered>()),
        ("retract", schema::<Changed>()),
        ("seal", schema::<seal::report::Sealed>()),
        ("selftest", schema::<selftest::Tested>()),
        ("status", schema::<Status>()),
        ("status-reported", schema::<status::Reported>()),
        ("sweep", schema::<Changed>()),
        ("uninstall", schema::<Changed>()),
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
    let stale = stale(&dir(), &all()).expect("the directory of schemas");
    assert!(stale.is_empty(), "look at the reports, then UPDATE_GOLDEN=1: {stale:?}");
}
