//! A run's eyes and hands alone, driven by lines of JSON: for the tests against a real API server, and for looking at it by hand.
//!
//! ```text
//! session KUBECONFIG [SERVER]
//! > {"take":"none"}                                       < {"epoch":1}
//! > {"look":5}                                            < {"nodes":{"b7":"41"},"pods":["x/web-0"],"gates":{..},"epoch":1}
//! > {"patch":{"node":"b7","uid":"..","version":"41","state":"claimed","cordon":true,"fence":true,"desired":"both-old"}}   < "Done"
//! > {"evict":{"namespace":"x","name":"web-0","uid":"1f2e.."}}                                   < "Accepted"
//! > {"save":"text"}                                       < {"hash":"4be1.."}
//! > {"apply":[{..}],"dryRun":true}                                                             < {"exit":0,"objects":[..],"problems":[]}
//! > {"begin":"r-1"}, {"record":1}, {"wish":"why"}, {"note":{..}}, {"census":1}, {"rights":1}, {"wait":5}, {"release":1}
//! ```

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use cluster::{Access, AcquireError, Journal, Outcome, Patience, Session, Settings, apply};
use migration::plan::Plan;
use migration::roll::run::{Run, RunRequest};
use migration::roll::step::{Act, Change, Patch, PodId};
use netpol::convert::CONVERTED_FROM;
use serde_json::{Value, json};
use types::api::step::Step;
use types::policy::Phase;

/// What is driven.
struct Driver {
    access: Access,
    session: Session,
    plan: Plan,
    run: Run,
    journal: Option<Journal>,
}

fn main() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let access =
        Access { kubeconfig: words.next().map(PathBuf::from), server: words.next(), ..Access::default() };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let settings = Settings { pool_labels: vec!["pool".into()], ..Settings::default() };
        let session =
            Session::connect(&access, settings).await.map_err(|(_, problem)| problem.to_string())?;
        let plan = plan()?;
        let run = Run::new("r-0", "0".repeat(64), &plan);
        let mut driver = Driver { access, session, plan, run, journal: None };
        // Lines are read on another thread: watches and renewals go on meanwhile.
        let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        while let Some(line) = lines.recv().await {
            let command: Value = serde_json::from_str(&line).map_err(|e| format!("{line}: {e}"))?;
            let answer = driver.answer(&command).await.unwrap_or_else(|why| json!({ "failed": why }));
            let mut out = std::io::stdout().lock();
            writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(|e| e.to_string())?;
        }
        Ok(())
    })
}

/// A plan without nodes, for what looks need of one.
fn plan() -> Result<Plan, String> {
    serde_json::from_value(json!({
        "version": 1, "cluster": "c", "from": "calico", "to": "cilium", "strategy": "double", "settings": "s", "start": "old",
        "passes": ["both-old", "both-new", "new"], "waves": [], "leftOut": [], "pools": [], "limits": {}, "pods": {},
        "gates": [{"name": "server", "source": "apiServer", "everySeconds": 15, "freshSeconds": 60}],
        "dns": {"namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "policies": [], "networks": {"old": [], "new": []}, "agents": [], "unenforced": [], "waivers": [],
    }))
    .map_err(|e| e.to_string())
}

impl Driver {
    async fn answer(&mut self, command: &Value) -> Result<Value, String> {
        let (verb, object) = command.as_object().and_then(|all| all.iter().next()).ok_or("a command")?;
        let text = object.as_str().unwrap_or_default();
        let describe = |(_, problem): (_, types::command::problem::Problem)| problem.to_string();
        let store = self.session.store();
        Ok(match verb.as_str() {
            "take" => self.take(text).await?,
            "release" => self.session.release().await.map(|()| json!("released")).map_err(describe)?,
            "look" => self.look(object).await?,
            "rights" => json!(self.session.missing_rights().await),
            "patch" => outcome(self.session.act(&self.patch(object)?).await),
            "evict" => outcome(self.session.act(&Act::Evict(pod(object))).await),
            "delete" => outcome(self.session.act(&Act::Delete(pod(object))).await),
            "census" => outcome(self.session.act(&Act::Census).await),
            "save" => {
                json!({ "hash": store.save_plan(text.as_bytes(), "make it shorter").await.map_err(describe)? })
            }
            "plan" => {
                let (hash, bytes) = store.plan(&text.parse()?).await.map_err(describe)?;
                json!({ "hash": hash, "text": String::from_utf8_lossy(&bytes) })
            }
            "begin" => {
                let hash = object["plan"].as_str().map_or_else(|| "0".repeat(64), str::to_owned);
                let run = Run::new(object["id"].as_str().unwrap_or(text), hash, &self.plan);
                let begun = store.begin(&run).await.map_err(describe)?;
                self.run = run;
                json!(begun.version)
            }
            "takeUp" => {
                json!(self.session.take_up().and_then(Result::ok).map(|stored| stored.new_wishes().count()))
            }
            "record" => {
                self.run.wish = object.as_u64().unwrap_or(0);
                outcome(self.session.act(&Act::Record(Box::new(self.run.clone()))).await)
            }
            "wish" => json!(store.wish("tester", text, &RunRequest::Pause).await.map_err(describe)?),
            "note" => self.note(object).await?,
            "apply" => self.apply(object, command["dryRun"] == true)?,
            "wait" => {
                tokio::time::sleep(Duration::from_secs(object.as_u64().unwrap_or(0))).await;
                json!("waited")
            }
            other => return Err(format!("no such command: {other}")),
        })
    }

    /// Policies of this program's, as `convert --apply` writes them. The call has a runtime of its own, and so a thread.
    fn apply(&self, objects: &Value, dry_run: bool) -> Result<Value, String> {
        let (access, objects) = (self.access.clone(), objects.as_array().cloned().unwrap_or_default());
        let call = move || apply(&access, &objects, CONVERTED_FROM, dry_run, &mut |_| {});
        let applied = std::thread::spawn(call).join().map_err(|_| "it panicked")?;
        Ok(match applied {
            Ok(done) => {
                json!({ "exit": done.exit, "objects": done.objects, "problems": done.problems })
            }
            Err((exit, problems)) => json!({ "exit": exit, "problems": problems }),
        })
    }

    async fn take(&mut self, patience: &str) -> Result<Value, String> {
        let patience = match patience {
            "force" => Patience::Force,
            "wait" => Patience::UntilExpired,
            _ => Patience::None,
        };
        match self.session.take_lease(patience, std::future::pending(), &mut |_, _| {}).await {
            Ok(epoch) => Ok(json!({ "epoch": epoch })),
            Err(AcquireError::Held(holder)) => Ok(json!({ "held": holder.name })),
            Err(AcquireError::Failed(_, problem)) => Err(problem.to_string()),
            Err(AcquireError::Interrupted) => Err("interrupted".to_owned()),
        }
    }

    async fn look(&mut self, seconds: &Value) -> Result<Value, String> {
        let at_most = Duration::from_secs(seconds.as_u64().unwrap_or(5));
        let world =
            self.session.look(&self.run, &self.plan, at_most).await.map_err(|blind| blind.to_string())?;
        let nodes: Value =
            world.nodes.iter().map(|(name, node)| (name.to_string(), json!(&*node.version))).collect();
        let pods: Vec<String> = world.pods.values().map(migration::roll::world::Pod::title).collect();
        let gates: Value = world
            .verdicts
            .iter()
            .map(|(name, verdict)| (name.clone(), json!(format!("{:?}", verdict.color))))
            .collect();
        Ok(json!({ "nodes": nodes, "pods": pods, "gates": gates, "epoch": world.epoch }))
    }

    /// A patch on what is known of the Node.
    fn patch(&self, object: &Value) -> Result<Act, String> {
        let name = object["node"].as_str().ok_or("a node")?;
        let version = object["version"].as_str().ok_or("a version")?;
        let step = |state: &Value| -> Result<Step, String> {
            let step = json!({"run": self.run.id, "plan": "0", "epoch": 1, "claim": "c", "to": "both-old", "state": state});
            serde_json::from_value(step).map_err(|e| e.to_string())
        };
        Ok(Act::Patch(Box::new(Patch {
            node: name.into(),
            uid: object["uid"].as_str().unwrap_or_default().into(),
            version: version.into(),
            step: match &object["state"] {
                Value::Null => Change::Keep,
                Value::Bool(_) => Change::Remove,
                state => Change::Set(step(state)?),
            },
            desired: object["desired"].as_str().and_then(Phase::parse),
            cordon: object["cordon"].as_bool(),
            fence: object["fence"].as_bool(),
            lifts_readiness: false,
            undisturbed: None,
            lifecycle: std::collections::BTreeMap::new(),
        })))
    }

    async fn note(&mut self, line: &Value) -> Result<Value, String> {
        if self.journal.is_none() {
            let journal = self
                .session
                .store()
                .journal(&self.run.id)
                .await
                .map_err(|(_, problem)| problem.to_string())?;
            self.journal = Some(journal);
        }
        let journal = self.journal.as_mut().ok_or("a journal")?;
        journal.note(line).map_err(|problem| problem.to_string())?;
        journal.flush(true).await.map_err(|(_, problem)| problem.to_string())?;
        Ok(json!("noted"))
    }
}

fn pod(object: &Value) -> PodId {
    let text = |key: &str| object[key].as_str().unwrap_or_default().into();
    PodId { namespace: text("namespace"), name: text("name"), uid: text("uid"), node: "".into(), owner: None }
}

/// What became of an act, in a word.
fn outcome(outcome: Outcome) -> Value {
    json!(match outcome {
        Outcome::Pod(_, answer) => format!("{answer:?}"),
        Outcome::Counted(census) => format!("{:?}", census.running),
        other => format!("{other:?}"),
    })
}
