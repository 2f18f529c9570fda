//! Changes between two reads or two calls, by people, programs and clocks.

use migration::cni::support::Cni;
use serde_json::{Value, json};

use super::*;

const RECORD: &str = "/api/v1/namespaces/crossfade/configmaps/crossfade-finish";
const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles/calico-node";

async fn undone(api: &Api, files: &Files) -> Result<FinishView, Failure> {
    called(api, files, 24, async |holder, tell| holder.undo(tell).await).await
}

/// What the command shows without a flag.
async fn viewed(api: &Api, files: &Files) -> Result<FinishView, Failure> {
    called(api, files, 24, async |holder, tell| {
        let session =
            Session::open(holder.caller().clone(), holder.caller().clone(), Settings::default()).await?;
        view_session(&session, holder.scene, tell).await
    })
    .await
}

/// A cluster in its soak.
async fn soaking() -> (Api, Files, String) {
    let (api, files) = (Api::with_calico(), Files::default());
    let hash = hash(&api, 24).await;
    let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
    assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)));
    (api, files, hash)
}

fn is_open(api: &Api) -> bool {
    let mut is_open = false;
    api.change(AGENT, |agent| is_open = agent["spec"]["template"]["spec"]["nodeSelector"][FENCE].is_null());
    is_open
}

fn record(api: &Api) -> Record {
    let mut parsed = None;
    api.change_record(|record| parsed = serde_json::from_value(record.clone()).ok());
    parsed.expect("a record")
}

/// The holder of the Lease; empty if it has none.
fn lease_holder(api: &Api) -> String {
    let objects = api.objects.lock().expect("objects");
    let lease = objects.iter().find(|(path, _)| path.starts_with(LEASES)).map(|(_, lease)| lease);
    lease.and_then(|lease| lease["spec"]["holderIdentity"].as_str()).unwrap_or_default().to_owned()
}

/// What decides an act is of a time in which no run changes it.
#[test]
fn the_cluster_is_read_once_the_lease_is_held() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 24).await;
        let (reading, holders) = (api.clone(), Arc::<Mutex<Vec<String>>>::default());
        let seen_holders = holders.clone();
        *api.on_gather.lock().expect("a hook") = Some(Box::new(move || {
            seen_holders.lock().expect("holders").push(lease_holder(&reading));
        }));
        confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        let holders = holders.lock().expect("holders").clone();
        assert!(holders.len() == 1 && !holders[0].is_empty(), "{holders:?}");
    });
}

/// Without what the cluster has nothing is decided, and the Lease is free again.
#[test]
fn a_cluster_that_cannot_be_read_is_left_as_it_is() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 24).await;
        *api.on_gather.lock().expect("a hook") = Some(Box::new(|| panic!("no answer")));
        let (exit, problem) = confirmed(&api, &files, 24, &hash, true).await.expect_err("unread");
        assert_eq!(exit, Exit::Failed);
        assert!(problem.what.contains("was not read to its end"), "{problem:?}");
        assert!(is_open(&api) && !api.has(RECORD) && files.0.borrow().is_empty());
        assert_eq!(lease_holder(&api), "");
    });
}

#[test]
fn a_run_that_began_after_the_cluster_was_read_ends_the_call() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 24).await;
        let run = json!({"version": 1, "id": "r-1", "plan": "p", "from": "new", "targets": ["old"], "pass": 1, "state": "running"});
        api.put(&format!("{MAPS}/crossfade-run"), json!({"data": {"run.json": run.to_string()}}));
        let (exit, problem) = confirmed(&api, &files, 24, &hash, true).await.expect_err("outrun");
        assert_eq!(exit, Exit::TryLater);
        assert!(problem.what.contains("run r-1 began"), "{problem:?}");
        assert!(is_open(&api) && !api.has(RECORD) && files.0.borrow().is_empty());
    });
}

/// After a whole removal, the team moves on to another CNI with the same record in the cluster.
#[test]
fn the_record_of_another_migration_counts_as_none() {
    run(async {
        for (key, value) in [("to", "cilium"), ("from", "canal"), ("cluster", "another")] {
            let (api, files, hash) = soaking().await;
            undone(&api, &files).await.expect("undone");
            api.change_record(|record| {
                record[key] = value.into();
                record["isOneWay"] = true.into();
                record["fencedAt"] = "2020-01-01T00:00:00Z".into();
                record["backup"] = "0".repeat(64).into();
            });
            let view = viewed(&api, &files).await.expect("viewed");
            assert_eq!(
                (view.record, lines::next(&view.lines).map(|line| line.line)),
                (None, Some(LineName::Backup))
            );
            let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
            assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)), "{key}");
            let record = record(&api);
            assert!(
                !record.is_one_way
                    && record.is_of("uid-/api/v1/namespaces/kube-system", Cni::Calico, Cni::Flannel),
                "{record:?}"
            );
            undone(&api, &files).await.expect("there is a way back");
        }
    });
}

#[test]
fn a_recorded_plan_that_cannot_be_read_is_made_anew() {
    run(async {
        let (api, files, hash) = soaking().await;
        let plan = format!("{MAPS}/crossfade-plan-{}", canon::shorten_hash(&hash));
        api.objects.lock().expect("objects").remove(&plan).expect("a plan");
        let view = viewed(&api, &files).await.expect("viewed");
        assert_eq!(view.plan.hash(), hash);
        assert!(api.notes.lock().expect("notes").iter().any(|note| note.contains("no plan of this cluster")));
        let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)));
        assert!(api.has(&plan));
    });
}

/// Others can write the record: it names a plan that a person approved for another pair of CNIs.
#[test]
fn a_plan_of_another_migration_is_not_carried_out() {
    run(async {
        let (api, files, _) = soaking().await;
        for change in [
            |plan: &mut FinishPlan| plan.from = Cni::Canal,
            |plan: &mut FinishPlan| plan.to = Cni::Cilium,
            |plan: &mut FinishPlan| plan.cluster = "another".into(),
        ] {
            let mut plan = viewed(&api, &files).await.expect("viewed").plan;
            change(&mut plan);
            plan.delete.clear();
            let other = Store::new(api.server().caller()).save_plan(&plan.bytes(), "").await.expect("saved");
            api.change_record(|record| record["plan"] = other.clone().into());
            let (exit, problem) = confirmed(&api, &files, 24, &other, true).await.expect_err("another");
            assert_eq!(exit, Exit::Failed);
            assert!(problem.what.contains("of another migration"), "{problem:?}");
        }
    });
}

#[test]
fn a_backup_that_was_lost_is_written_anew() {
    run(async {
        let (api, files, hash) = soaking().await;
        let lost = std::mem::take(&mut *files.0.borrow_mut());
        let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)));
        assert!(!lost.is_empty() && *files.0.borrow() == lost);
    });
}

/// The first deletion was refused: there is no way back recorded, and all is there.
#[test]
fn the_fence_comes_off_as_long_as_nothing_is_deleted() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        api.hook(|method, _, _| {
            let message = "admission webhook \"guard.example\" denied the request: not today";
            (method == "DELETE").then(|| Answer::refusal(403, "Forbidden", message))
        });
        let (_, problem) = confirmed(&api, &files, 0, &hash, true).await.expect_err("refused");
        assert!(
            problem.what.contains("an admission policy refused it: admission webhook \"guard.example\""),
            "{problem:?}"
        );
        assert!(!problem.fix.contains("rbac"), "{problem:?}");
        assert!(record(&api).is_one_way && !is_open(&api));
        undone(&api, &files).await.expect("undone");
        assert!(!record(&api).is_one_way && is_open(&api));
    });
}

#[test]
fn a_fence_that_a_manager_has_is_taken_back_there() {
    run(async {
        let (api, files, _) = soaking().await;
        api.change(AGENT, |agent| {
            let owner =
                json!([{"apiVersion": "operator.tigera.io/v1", "kind": "Installation", "name": "default"}]);
            agent["metadata"]["ownerReferences"] = owner;
        });
        let (exit, problem) = undone(&api, &files).await.expect_err("the operator has it");
        assert_eq!(exit, Exit::No);
        assert!(problem.fix.contains("kubectl patch installation default"), "{problem:?}");
        assert!(problem.fix.contains(r#"{"crossfade/fence":null}"#), "{problem:?}");
        assert!(!is_open(&api) && record(&api).fenced_at.is_some());
    });
}

/// Its controller counts pods that end and begin.
#[test]
fn an_agent_is_fenced_and_opened_while_its_status_changes() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 24).await;
        let mut version = 100;
        api.hook(move |method, path, objects| {
            if method == "PATCH" && path == AGENT {
                version += 100;
                objects.get_mut(path).expect("an agent")["metadata"]["resourceVersion"] =
                    version.to_string().into();
            }
            None
        });
        let view = confirmed(&api, &files, 24, &hash, false).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)));
        undone(&api, &files).await.expect("undone");
        assert!(is_open(&api));
    });
}

/// The program ends after each of its writes once.
#[test]
fn an_agent_is_never_open_in_a_soak_that_goes_on() {
    run(async {
        for writes in 0.. {
            let (api, files, _) = soaking().await;
            *api.writes.lock().expect("a number") = Some(writes);
            let is_whole = undone(&api, &files).await.is_ok();
            let fenced_at = record(&api).fenced_at;
            assert!(!is_open(&api) || fenced_at.is_none(), "after {writes} writes: {fenced_at:?}");
            if is_whole {
                assert!(writes > 1 && is_open(&api), "{writes}");
                return;
            }
        }
    });
}

#[test]
fn a_machine_whose_clock_is_ahead_does_not_shorten_the_soak() {
    run(async {
        let (api, files, hash) = soaking().await;
        *api.ahead.lock().expect("a time") = jiff::SignedDuration::from_hours(48);
        let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)));
        tokio::time::sleep(Duration::from_hours(25)).await;
        let view = confirmed(&api, &files, 24, &hash, false).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Removal, LineState::Ready)));
    });
}

#[test]
fn an_agent_that_was_opened_in_between_soaks_anew() {
    run(async {
        let (api, files, hash) = soaking().await;
        let began = record(&api).fenced_at;
        tokio::time::sleep(Duration::from_hours(25)).await;
        api.change(AGENT, |agent| agent["metadata"]["generation"] = 7.into());
        api.change(AGENT, |agent| agent["status"]["observedGeneration"] = 7.into());
        let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)));
        assert_ne!(record(&api).fenced_at, began);
    });
}

/// Without its time, a soak would end at once or never.
#[test]
fn an_api_server_that_says_no_time_begins_no_soak() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 24).await;
        let answering = api.clone();
        let server = Server::by_rule(move |request| answering.answer(request));
        let caller = Caller::new(server.client(), api.machine());
        let watcher = caller.with_client(server.client());
        let mut session = Session::open(caller, watcher, Settings::default()).await.expect("a session");
        let approval = approval(&hash, true);
        let work = async |holder: &mut FinishHolder<'_>, tell: &mut dyn FnMut(&str)| {
            holder.apply(&approval, tell).await
        };
        let lease = FinishLease { session: &mut session, patience: Patience::UntilExpired, files: &files };
        let held = lease.hold(|| Ok(inputs(24)), &mut |_| {}, work).await;
        let (exit, problem) = held.expect_err("no time");
        assert_eq!(exit, Exit::Failed);
        assert!(problem.what.contains("no header Date"), "{problem:?}");
    });
}

/// What is deleted is what the backup has.
#[test]
fn an_object_that_changes_before_its_deletion_is_looked_at_again() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        let mut is_first = true;
        api.hook(move |method, path, objects| {
            if method == "DELETE" && path == ROLE && std::mem::take(&mut is_first) {
                let role = objects.get_mut(path).expect("a role");
                role["metadata"]["resourceVersion"] = "9".into();
                role["rules"] = json!([{"verbs": ["get"]}]);
            }
            None
        });
        let view = confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), None, "{view:#?}");
        let notes = api.notes.lock().expect("notes").clone();
        let roles: Vec<&String> =
            notes.iter().filter(|note| note.contains("ClusterRole/calico-node:")).collect();
        assert!(roles[0].ends_with("changed or made anew meanwhile, and was not deleted"), "{roles:?}");
        assert!(roles[1].ends_with(": deleted") && roles.len() == 2, "{roles:?}");
        let backup = record(&api).backup.expect("a backup");
        let file = String::from_utf8(files.0.borrow()[&backup::file_name(&backup)].clone()).expect("text");
        assert!(file.contains(r#""verbs":["get"]"#), "the backup has the role as it was deleted");
    });
}

#[test]
fn what_went_by_itself_is_not_called_deleted() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        api.hook(|method, path, objects| {
            if method == "DELETE" && path == ROLE {
                objects.remove(path);
            }
            None
        });
        confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        let notes = api.notes.lock().expect("notes").clone();
        assert!(
            notes.contains(&"removal: ClusterRole/calico-node: it was gone already".to_owned()),
            "{notes:?}"
        );
    });
}

#[test]
fn nothing_more_is_deleted_once_a_person_interrupts() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        confirmed(&api, &files, 0, &hash, false).await.expect("carried out");
        let before = api.paths();
        called(&api, &files, 0, async |holder, tell| {
            let record = holder.record.clone().expect("a record");
            let plan = approved(&holder.store, &record).await?;
            let inventory = gather::inventory(holder.caller(), holder.scene.scene, Some(&plan)).await?;
            holder.interrupt.set();
            holder.remove(&plan, &inventory, tell).await?;
            Ok(holder.view(Vec::new(), &inventory))
        })
        .await
        .expect("ended in order");
        assert_eq!(api.paths(), before);
    });
}

/// A manager takes the fence back within the moment, again and again.
#[test]
fn an_act_without_effect_is_given_up() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 24).await;
        let patches = Arc::new(Mutex::new(0));
        let count = patches.clone();
        api.hook(move |method, path, objects| {
            if method != "PATCH" || path != AGENT {
                return None;
            }
            *count.lock().expect("a number") += 1;
            Some(Answer::json(200, &objects[path]))
        });
        let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Fence, LineState::Refused)));
        assert_eq!(*patches.lock().expect("a number"), TRIES);
        assert!(
            lines::next(&view.lines)
                .is_some_and(|line| line.evidence.iter().any(|text| text.contains("nothing has changed")))
        );
    });
}

/// An object that changes with every look has a new backup with every look.
#[test]
fn a_backup_of_what_does_not_stand_still_is_given_up() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 24).await;
        let mut number = 0;
        api.hook(move |method, path, objects| {
            if method == "GET" && path == ROLE {
                number += 1;
                objects.get_mut(path).expect("a role")["rules"] = Value::from(number);
            }
            None
        });
        let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Backup, LineState::Refused)));
        assert!(files.0.borrow().len() <= TRIES as usize && is_open(&api));
    });
}
