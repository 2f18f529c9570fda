//! The acts of `kubectl-crossfade` during a run, on a real API server and with the rights of `deploy/cluster/rbac-operator.yaml` alone: the Lease, patches
//! of Nodes, evictions, and the objects that keep a run.
//!
//! There is one Lease and one run in a cluster, so that all of it is one case, in the order of a run.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use lab::host::scratch::Scratch;
use lab::kubernetes::{Client, User, base};
use serde_json::{Value, json};

use crate::cluster::operator::Operator;
use crate::server;

lab::trials![a_run_acts_once_and_only_on_what_it_saw];

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/acting/pods";
/// Of no object.
const OTHER_UID: &str = "11111111-2222-3333-4444-555555555555";

/// The example `session` of the crate `cluster`, driven by lines; ended on drop.
pub(crate) struct Session {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _dir: Scratch,
}

impl Session {
    pub(crate) fn new(user: User<'_>) -> Result<Self> {
        let own = std::env::current_exe().context("this program")?;
        let program = own.ancestors().nth(2).context("the target directory")?.join("examples/session");
        let dir = Scratch::new("session")?;
        let kubeconfig = dir.join("kubeconfig");
        std::fs::write(&kubeconfig, server()?.kubeconfig(user)?.to_string())?;
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("USER", "tester")
            .env("XDG_STATE_HOME", dir.path())
            .arg(kubeconfig)
            .arg(base());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the example session")?;
        let commands = child.stdin.take().context("stdin")?;
        let answers = BufReader::new(child.stdout.take().context("stdout")?).lines();
        Ok(Self { child, commands, answers, _dir: dir })
    }

    /// What it answers to a command.
    pub(crate) fn say(&mut self, command: &Value) -> Result<Value> {
        writeln!(self.commands, "{command}")?;
        let line = self.answers.next().with_context(|| format!("no answer to {command}"))??;
        serde_json::from_str(&line).with_context(|| line.clone())
    }

    /// It answers this to a command.
    fn says(&mut self, command: &Value, expected: &Value) -> Result<()> {
        let answer = self.say(command)?;
        ensure!(answer == *expected, "{command}: {answer}, expected {expected}");
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn a_run_acts_once_and_only_on_what_it_saw() -> Result<()> {
    let admin = server()?.admin()?;
    grant(&admin)?;
    let mut holder = Session::new(User::Component("acting"))?;
    holder.says(&json!({"rights": 1}), &json!([]))?;
    lease(&mut holder, person(&admin)?)?;
    nodes(&admin, &mut holder)?;
    evictions(&admin, &mut holder)?;
    objects(&admin, &mut holder)?;
    holder.says(&json!({"release": 1}), &json!("released"))?;
    let lease =
        admin.get("/apis/coordination.k8s.io/v1/namespaces/crossfade/leases/crossfade-run")?.object()?;
    let spec = &lease["spec"];
    ensure!(spec["holderIdentity"] == "" && spec["leaseTransitions"] == 2, "{spec}");
    Ok(())
}

/// The manifest, and its roles for the user of this case.
fn grant(admin: &Client) -> Result<()> {
    let file = lab::build::dist::workspace().join("deploy/cluster/rbac-operator.yaml");
    let text = std::fs::read_to_string(file)?;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    for document in text.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document)?;
        let path = match object["kind"].as_str() {
            Some("Namespace") => "/api/v1/namespaces".to_owned(),
            Some("ClusterRole") => format!("{rbac}/clusterroles"),
            _ => format!("{rbac}/namespaces/crossfade/roles"),
        };
        let answer = admin.create(&path, &object)?;
        // Another case may have made the namespace.
        if answer.status != 409 {
            answer.object()?;
        }
    }
    for (kind, role, path) in [
        ("ClusterRoleBinding", "ClusterRole", format!("{rbac}/clusterrolebindings")),
        ("RoleBinding", "Role", format!("{rbac}/namespaces/crossfade/rolebindings")),
    ] {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": "acting" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "crossfade-operator" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "acting" }],
        });
        admin.create(&path, &binding)?.object()?;
    }
    Ok(())
}

/// How a holder's name begins: the user that the API server knows, or the environment's where it has no SelfSubjectReview (before Kubernetes 1.28).
fn person(admin: &Client) -> Result<&'static str> {
    let group = admin.get("/apis/authentication.k8s.io/v1")?.object()?;
    let has_review = group["resources"]
        .as_array()
        .is_some_and(|all| all.iter().any(|resource| resource["name"] == "selfsubjectreviews"));
    Ok(if has_review { "acting@" } else { "unverified:tester@" })
}

fn lease(holder: &mut Session, person: &str) -> Result<()> {
    let mut other = Session::new(User::Component("acting"))?;
    other.says(&json!({"take": "none"}), &json!({"epoch": 1}))?;
    let held = holder.say(&json!({"take": "none"}))?;
    ensure!(held["held"].as_str().is_some_and(|name| name.starts_with(person)), "{held}");
    holder.says(&json!({"take": "force"}), &json!({"epoch": 2}))?;
    // Its next renewal meets a conflict; until then, its Lease looks fresh to it.
    other.says(&json!({"wait": 12}), &json!("waited"))?;
    let barred = other.say(&json!({"evict": {"namespace": "x", "name": "y", "uid": OTHER_UID}}))?;
    ensure!(
        barred
            .as_str()
            .is_some_and(|message| message.starts_with(&format!("Barred(\"the Lease is lost: {person}"))),
        "{barred}"
    );
    Ok(())
}

fn nodes(admin: &Client, holder: &mut Session) -> Result<()> {
    let taint =
        json!({ "key": "x", "value": "y", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z" });
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "acting" }, "spec": { "taints": [taint] } });
    let created = admin.create(NODES, &node)?.object()?;
    let uid = created["metadata"]["uid"].clone();
    let version = |holder: &mut Session| -> Result<Value> {
        Ok(holder.say(&json!({"look": 5}))?["nodes"]["acting"].clone())
    };
    let last_version = version(holder)?;
    let claim = |version: &Value| {
        json!({"patch": {"node": "acting", "uid": uid, "version": version, "state": "claimed", "cordon": true, "fence": true,
            "desired": "both-old"}})
    };
    holder.says(&claim(&last_version), &json!("Done"))?;
    let claimed = admin.get(&format!("{NODES}/acting"))?.object()?;
    let fence = json!({ "key": "crossfade/earlier", "effect": "PreferNoSchedule" });
    let taints = claimed["spec"]["taints"].as_array().context("taints")?;
    ensure!(taints.contains(&taint) && taints.contains(&fence), "{taints:?}");
    ensure!(claimed["spec"]["unschedulable"] == true, "{}", claimed["spec"]);
    let annotations = &claimed["metadata"]["annotations"];
    ensure!(annotations["crossfade/desired"] == "both-old", "{annotations}");
    let step = annotations["crossfade/step"].as_str().unwrap_or_default();
    ensure!(step.contains("\"state\":\"claimed\""), "{annotations}");
    // The answer of the patch is known before any watch tells of it.
    ensure!(version(holder)? == claimed["metadata"]["resourceVersion"], "an own write is not known");
    // Another client changes the Node first; the session has not looked since.
    let label = json!({ "metadata": { "labels": { "faster": "1" } } });
    let now = version(holder)?;
    admin.patch(&format!("{NODES}/acting"), lab::kubernetes::MERGE, &label)?.object()?;
    holder.says(&claim(&now), &json!("Changed"))?;
    let free = version(holder)?;
    let release = json!({"patch": {"node": "acting", "uid": uid, "version": free, "state": false, "cordon": false, "fence": false}});
    holder.says(&release, &json!("Done"))?;
    let released = admin.get(&format!("{NODES}/acting"))?.object()?;
    let is_free = released["spec"]["unschedulable"].is_null()
        && released["metadata"]["annotations"]["crossfade/step"].is_null();
    ensure!(
        is_free
            && released["spec"]["taints"]
                .as_array()
                .is_some_and(|all| all.contains(&taint) && !all.contains(&fence)),
        "{released:#}"
    );
    // Another Node of the same name.
    let last = version(holder)?;
    admin.delete(&format!("{NODES}/acting"))?.object()?;
    holder.says(&claim(&last), &json!("Gone"))?;
    admin.create(NODES, &node)?.object()?;
    holder.says(&claim(&last), &json!("Changed"))
}

/// A pod that runs, as far as the API server knows.
fn pod(admin: &Client, name: &str, app: &str) -> Result<Value> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": app } },
        "spec": { "nodeName": "acting", "containers": [{ "name": "c", "image": "i" }] },
    });
    let created = admin.create(PODS, &pod)?.object()?;
    let ready =
        json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    admin.patch(&format!("{PODS}/{name}/status"), lab::kubernetes::STRATEGIC, &ready)?.object()?;
    Ok(json!({ "namespace": "acting", "name": name, "uid": created["metadata"]["uid"] }))
}

/// A budget that lets so many pods of an app go. No controller is there to count them.
fn budget(admin: &Client, name: &str, app: &str, allowed: u32) -> Result<String> {
    let version = if server()?.programs().minor() < 21 { "v1beta1" } else { "v1" };
    let path = format!("/apis/policy/{version}/namespaces/acting/poddisruptionbudgets");
    let budget = json!({
        "apiVersion": format!("policy/{version}"), "kind": "PodDisruptionBudget", "metadata": { "name": name },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": app } } },
    });
    admin.create(&path, &budget)?.object()?;
    let status = json!({ "status": { "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 1 + allowed,
        "desiredHealthy": 1, "expectedPods": 1 + allowed } });
    admin.patch(&format!("{path}/{name}/status"), lab::kubernetes::MERGE, &status)?.object()?;
    Ok(format!("{path}/{name}"))
}

fn evictions(admin: &Client, holder: &mut Session) -> Result<()> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "acting" } });
    admin.create("/api/v1/namespaces", &namespace)?.object()?;
    let (free, kept, twice) =
        (pod(admin, "free", "free")?, pod(admin, "kept", "kept")?, pod(admin, "twice", "twice")?);
    let bare = pod(admin, "bare", "bare")?;
    budget(admin, "none", "kept", 0)?;
    budget(admin, "one", "twice", 1)?;
    budget(admin, "two", "twice", 1)?;
    let other = |pod: &Value| json!({ "namespace": "acting", "name": pod["name"], "uid": OTHER_UID });
    let terminating = |name: &str| -> Result<bool> {
        let pod = admin.get(&format!("{PODS}/{name}"))?.object()?;
        Ok(!pod["metadata"]["deletionTimestamp"].is_null())
    };
    // The promise of the UID: kube's own request for an eviction would delete the pod here.
    holder.says(&json!({"evict": other(&free)}), &json!("Gone"))?;
    holder.says(&json!({"delete": other(&bare)}), &json!("Gone"))?;
    ensure!(!terminating("free")? && !terminating("bare")?, "a pod with another UID was taken");
    holder.says(&json!({"evict": free}), &json!("Accepted"))?;
    holder.says(&json!({"delete": bare}), &json!("Accepted"))?;
    ensure!(terminating("free")? && terminating("bare")?, "a pod stays");
    holder.says(&json!({"evict": kept}), &json!("Budget(None)"))?;
    holder.says(&json!({"evict": twice}), &json!("TwoBudgets"))?;
    let gone = json!({ "namespace": "acting", "name": "unknown", "uid": OTHER_UID });
    holder.says(&json!({"evict": gone}), &json!("Gone"))?;
    // An eviction by a late UID has its price: the budget counts it although it did not happen.
    let paid = pod(admin, "paid", "paid")?;
    let path = budget(admin, "paid", "paid", 1)?;
    holder.says(&json!({"evict": other(&paid)}), &json!("Gone"))?;
    let disruptions = admin.get(&path)?.object()?["status"]["disruptionsAllowed"].clone();
    ensure!(disruptions == 0, "a failed precondition no longer costs: {disruptions}");
    let counted = holder.say(&json!({"census": 1}))?;
    ensure!(counted.as_str().is_some_and(|all| all.contains("\"acting\": ")), "{counted}");
    Ok(())
}

fn objects(admin: &Client, holder: &mut Session) -> Result<()> {
    let maps = "/api/v1/namespaces/crossfade/configmaps";
    let hash = holder.say(&json!({"save": "a plan"}))?["hash"].clone();
    let text = hash.as_str().context("a hash")?;
    holder.says(&json!({"save": "a plan"}), &json!({ "hash": hash }))?;
    for prefix in [text, &text[..12]] {
        holder.says(&json!({"plan": prefix}), &json!({ "hash": hash, "text": "a plan" }))?;
    }
    let plan = format!("{maps}/crossfade-plan-{}", &text[..12]);
    let other = json!({ "binaryData": { "plan.json.gz": "" } });
    ensure!(admin.patch(&plan, lab::kubernetes::MERGE, &other)?.status == 422, "a plan can be changed");
    let begun = holder.say(&json!({"begin": { "id": "r-1", "plan": text }}))?;
    ensure!(begun.is_string(), "{begun}");
    ensure!(
        admin.get(&plan)?.object()?["metadata"]["labels"]["crossfade/run"] == "r-1",
        "the plan bears no run"
    );
    let again = holder.say(&json!({"begin": "r-2"}))?;
    ensure!(again["failed"].as_str().is_some_and(|message| message.contains("run r-1")), "{again}");
    // The watch tells of the run; another session asks something of it; the holder records what it has taken up.
    holder.say(&json!({"look": 5}))?;
    holder.says(&json!({"record": 0}), &json!("Changed"))?;
    holder.says(&json!({"takeUp": 1}), &json!(0))?;
    holder.says(&json!({"record": 0}), &json!("Done"))?;
    let mut other = Session::new(User::Component("acting"))?;
    other.says(&json!({"wish": "lunch"}), &json!(1))?;
    other.says(&json!({"wish": "dinner"}), &json!(2))?;
    holder.says(&json!({"record": 0}), &json!("Changed"))?;
    while holder.say(&json!({"takeUp": 1}))? != 2 {
        holder.say(&json!({"look": 60}))?;
    }
    holder.says(&json!({"record": 2}), &json!("Done"))?;
    let managers =
        admin.get(&format!("{maps}/crossfade-run"))?.object()?["metadata"]["managedFields"].to_string();
    ensure!(managers.contains("\"crossfade\"") && managers.contains("\"crossfade-wish\""), "{managers}");
    for at in 0..3 {
        holder.says(&json!({"note": { "at": at }}), &json!("noted"))?;
    }
    let journal = admin.get(&format!("{maps}/crossfade-journal-r-1-0001"))?.object()?;
    ensure!(journal["data"]["journal.jsonl"] == "{\"at\":0}\n{\"at\":1}\n{\"at\":2}\n", "{journal:#}");
    forged(admin, holder)
}

/// A plan that was not approved and a run that goes by it, both written with the one right to write ConfigMaps: its gate's command never runs.
fn forged(admin: &Client, holder: &mut Session) -> Result<()> {
    let looker = Operator::new(User::Component("acting"))?;
    let trace = looker.scratch.join("trace");
    let file = lab::build::dist::workspace().join("cluster/tests/fixtures/plan-three/plan.json");
    let mut plan: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    ensure!(plan["gates"][3]["name"] == "bridge", "{plan:#}");
    plan["gates"][3]["source"]["command"] = json!(["/bin/touch", trace]);
    let hash = holder.say(&json!({"save": plan.to_string()}))?["hash"].clone();
    let path = "/api/v1/namespaces/crossfade/configmaps/crossfade-run";
    let stored = admin.get(path)?.object()?;
    let mut run: Value = serde_json::from_str(stored["data"]["run.json"].as_str().context("a run")?)?;
    run["plan"] = hash.clone();
    let change = json!({ "data": { "run.json": run.to_string() } });
    admin.patch(path, lab::kubernetes::MERGE, &change)?.object()?;
    let hash = hash.as_str().context("a hash")?;
    for (words, status) in [
        (&["status"][..], Some(0)),
        (&["roll"], Some(0)),
        (&["roll", "--plan", hash, "--dry-run"], Some(0)),
        // It is the plan of another cluster, for a start.
        (&["roll", "--resume"], Some(78)),
    ] {
        let (ended, answer, message) = looker.answer(words)?;
        ensure!(ended == status, "{words:?}: {message} {answer:#}");
        ensure!(!trace.exists(), "{words:?} ran the command of a plan that was not approved");
    }
    Ok(())
}
