//! The JSON Schemas of what commands answer, derived from the reports' types and kept in `cluster/schema`, from where they are published; a test
//! says when they are not those of today.

mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::snapshot::Header;
use migration::backup::Id;
use migration::backup::decide::{SkippedObject, State as Differs};
use migration::backup::file::{Backup, ClusterId, Reading, Verification};
use migration::drive::status::{Counts, Gate, MovingNode, PoolCounts, Status, WayBack};
use migration::plan::Plan;
use migration::plan::stragglers::{StragglerReason, StragglerReport, Stragglers};
use migration::report::measure::Measurements;
use migration::roll::run::{Bounds, Pause, RunRequest, State, UnenforcedPolicies};
use migration::roll::wait::{Reason, Wait};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::json;
use types::command::exit::Exit;
use types::command::problem::Answer;
use types::command::rule::Explanation;
use types::json::schema::{answer_schema, stale_files, written_schema};
use types::policy::Phase;

use crate::commands::roll::{permit, stragglers, wish};
use crate::commands::{
    check, config, finish, plan, policies, probe, report, requirements, roll, simulate, snapshot, status,
};
use crate::live::{WriteOutcome, WriteReport};

fn written<T: JsonSchema>() -> Schema {
    // A schema that is an object, as all of these are.
    written_schema::<T>().try_into().unwrap_or_default()
}

/// One schema for each command, and those of the files that commands write, by the name of the schema's file.
fn all() -> BTreeMap<&'static str, String> {
    let all = [
        ("ask", answer_schema::<wish::RequestReport>()),
        ("check", answer_schema::<check::CheckReport>()),
        ("check-explain", answer_schema::<Explanation>()),
        ("check-settings", answer_schema::<config::Settings>()),
        ("finish", answer_schema::<finish::FinishReport>()),
        ("measured-file", written::<Measurements>()),
        ("permit", answer_schema::<permit::PermitReport>()),
        ("plan", answer_schema::<plan::PlanReport>()),
        ("plan-file", written::<Plan>()),
        ("policies-backup", answer_schema::<policies::backup::BackupReport>()),
        ("policies-backup-file", written::<Backup>()),
        ("policies-check", answer_schema::<policies::answer::ConversionReport>()),
        ("policies-diff", answer_schema::<policies::diff::DiffReport>()),
        ("policies-observe", answer_schema::<policies::observe::ObserveReport>()),
        ("policies-restore", answer_schema::<policies::restore::RestoreReport>()),
        ("probe", answer_schema::<probe::Answer>()),
        ("report", answer_schema::<report::RunAnswer>()),
        ("requirements", answer_schema::<requirements::RequirementsReport>()),
        ("roll", answer_schema::<roll::Answer>()),
        ("simulate", answer_schema::<simulate::SimulationReport>()),
        ("snapshot", answer_schema::<snapshot::SnapshotReport>()),
        ("snapshot-header", written::<Header>()),
        ("status", answer_schema::<status::StatusReport>()),
        ("stragglers", answer_schema::<stragglers::Answer>()),
    ];
    let text = |schema| serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
    all.into_iter().map(|(name, schema)| (name, text(schema))).collect()
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

/// What only a live cluster answers, each with every key that it may have.
#[test]
fn answers_about_a_run_are_as_the_schemas_say() {
    let pause = || Pause { operator: "alice@laptop".into(), why: "lunch".into() };
    let counts = Counts { all: 2, done: 1, in_transit: 1, ..Counts::default() };
    let status = |state: State, to: Option<Phase>| Status {
        run: "r".into(),
        plan: "0123456789ab".into(),
        pass: 1,
        passes_left: 2,
        restarts_left: 1,
        from: Phase::Old,
        to,
        is_final: true,
        way_back: Some(WayBack { stay: 1, in_place: 1, replaced: 0, held: 0 }),
        state,
        holder: Some("bob@bastion".into()),
        held_since: Some("2026-01-01T00:00:00Z".into()),
        renewed_at: Some("2026-01-01T00:00:10Z".into()),
        nodes: counts.clone(),
        zones: [("eu-1a".into(), counts.clone())].into(),
        pools: vec![PoolCounts {
            pool: "blue".into(),
            images: [("5f2c".into(), 2)].into(),
            ..PoolCounts::default()
        }],
        attached: [(Phase::Old, 3), (Phase::BothOld, 4)].into(),
        silent: vec!["c".into()],
        moving: vec![MovingNode {
            node: "a".into(),
            state: types::api::step::State::Moving,
            to: Phase::BothOld,
            remaining: Some(1),
            attached: None,
        }],
        skipped: [("Namespace/batch".into(), "its jobs may wait".into())].into(),
        unenforced: vec![UnenforcedPolicies::new(
            "NetworkPolicy",
            vec!["new"],
            (0..13).map(|index| format!("NetworkPolicy/x/{index}")),
        )],
        gates: vec![Gate { name: "dns".into(), color: "green", why: String::new() }],
        waits: vec![Wait::new("Node/a", Reason::NodeSilent, "a does not answer")],
    };
    for (state, to) in [
        (State::Running, Some(Phase::BothOld)),
        (State::Paused(pause()), Some(Phase::BothOld)),
        (State::Stopped(pause()), Some(Phase::BothOld)),
        (State::Done, None),
    ] {
        holds("status", &status::StatusReport(status(state.clone(), to)));
        let acts = json!([{"act": "census"}, {"act": "record", "pass": 1, "to": to}, {"act": "patch", "node": "a", "cordon": true}]);
        holds("roll", &json!({"status": status(state, to), "acts": acts}));
    }
    let survey = StragglerReport {
        stragglers: vec![Stragglers {
            owner: "Deployment/default/web".into(),
            because: StragglerReason::Attached,
            pods: vec!["default/web-1".into()],
            nodes: vec!["a".into()],
            images: vec!["5f2c".into()],
            fix: "kubectl -n default rollout restart deployment web".into(),
        }],
        unnamed: [("a".into(), 2)].into(),
    };
    holds("stragglers", &stragglers::StragglersReport { phase: Phase::New, report: survey });
    for request in [
        RunRequest::Pause,
        RunRequest::PauseNow,
        RunRequest::Resume(Bounds::default()),
        RunRequest::Abort(Phase::Old),
        RunRequest::Skip("a".into()),
    ] {
        holds("ask", &wish::RequestReport { request, holder: None, lease_holder: None });
    }
}

/// What only a live cluster answers about policies, each with every key that it may have.
#[test]
fn answers_about_policies_are_as_the_schemas_say() {
    let about = || ClusterId { uid: "u".into(), api_server: "v1.30.0".into() };
    let read = Reading::Read { api_version: "projectcalico.org/v3".into(), objects: 1 };
    let kinds =
        [("tiers.projectcalico.org".to_owned(), read), ("tiers.crd.antrea.io".into(), Reading::NotServed {})];
    let saved = policies::backup::BackupReport {
        file: "policies.json".into(),
        hash: "4be1".into(),
        is_new: true,
        cluster: about(),
        objects: 1,
        kinds: kinds.into(),
    };
    holds("policies-backup", &saved);
    let tier = json!({"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "a"}});
    let backup = Backup::new(about(), saved.kinds, vec![tier.clone()]).expect("a backup");
    let file = serde_json::from_slice(&backup.bytes()).expect("JSON");
    let schema = serde_json::from_str(&all()["policies-backup-file"]).expect("JSON");
    assert!(jsonschema::validate(&schema, &file).is_ok(), "{file:#}");

    let id = || Id::read(&tier).expect("an object");
    for became in [
        WriteOutcome::WouldCreate,
        WriteOutcome::WouldReplace,
        WriteOutcome::AwaitsTier,
        WriteOutcome::Unchanged,
        WriteOutcome::Created,
        WriteOutcome::Replaced,
        WriteOutcome::NotWritten,
        WriteOutcome::Unknown,
    ] {
        let written = WriteReport { object: id(), outcome: became, added: vec!["spec.order".into()] };
        let skipped = |state| SkippedObject { object: id(), state, why: "Calico makes it".into() };
        let restored = policies::restore::RestoreReport {
            file: "policies.json".into(),
            hash: "4be1".into(),
            verified: Verification::Nothing,
            cluster: about(),
            dry_run: false,
            equal: 1,
            objects: vec![written],
            skipped: vec![skipped(Differs::Missing), skipped(Differs::Different)],
            extra: vec![id()],
            problems: Vec::new(),
            exit: Exit::Done,
        };
        holds("policies-restore", &restored);
    }
}

fn holds<R: Serialize>(name: &str, report: &R) {
    let schema: serde_json::Value = serde_json::from_str(&all()[name]).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let answer =
        serde_json::to_value(Answer { version: 1, ok: true, problems: Vec::new(), report }).expect("JSON");
    let wrong: Vec<String> = validator.iter_errors(&answer).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{name}: {wrong:#?}\n{answer:#}");
}
