mod footprints;
mod meanwhile;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use snapshot::Collector;
use snapshot::model::{ALL_KINDS, Reading};

use super::*;
use crate::live::api::test_server::{Answer, RecordedRequest, Server, clock, run};

const MAPS: &str = "/api/v1/namespaces/crossfade/configmaps";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/crossfade/leases";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const AGENT: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node";
const CLEANER: &str = "/apis/apps/v1/namespaces/crossfade-system/daemonsets/crossfade-cleanup";
const CLEANUP_PODS: &str = "/api/v1/namespaces/crossfade-system/pods";
const POOLS: &str = "/apis/crd.projectcalico.org/v1/ippools";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// An API server that keeps objects by their paths, as far as the end of a migration needs one.
#[derive(Clone)]
struct Api {
    /// All calls of the command have one clock.
    clock: Clock,
    objects: Arc<Mutex<BTreeMap<String, Value>>>,
    /// How many writes it still answers; all of them without a number.
    writes: Arc<Mutex<Option<usize>>>,
    /// The right that the credential does not have.
    denied: Arc<Mutex<Option<(&'static str, &'static str)>>>,
    /// What answers before the objects are looked at.
    hook: Arc<Mutex<Option<Hook>>>,
    /// What happens when the command reads the cluster.
    on_gather: Arc<Mutex<Option<OnGather>>>,
    /// How far the clock of the command's machine is ahead.
    ahead: Arc<Mutex<jiff::SignedDuration>>,
    /// What the command says.
    notes: Arc<Mutex<Vec<String>>>,
}

/// What others do, or a test looks at, when the command reads the cluster.
type OnGather = Box<dyn FnOnce() + Send>;

/// Answers a request by its method and path, or changes the objects before it is answered.
type Hook = Box<dyn FnMut(&str, &str, &mut BTreeMap<String, Value>) -> Option<Answer> + Send>;

impl Api {
    fn new() -> Self {
        Self {
            clock: clock(),
            objects: Arc::default(),
            writes: Arc::default(),
            denied: Arc::default(),
            hook: Arc::default(),
            on_gather: Arc::default(),
            ahead: Arc::default(),
            notes: Arc::default(),
        }
    }

    /// Calico by its manifest, and near-misses.
    fn with_calico() -> Self {
        let api = Self::new();
        let definition = |plural: &str, kind: &str| definition("crd.projectcalico.org", plural, kind);
        let template = json!({"template": {"spec": {"containers": [{"name": "calico-node"}]}}});
        for (path, object) in [
            ("/api/v1/namespaces/kube-system", json!({"metadata": {"name": "kube-system"}})),
            (
                AGENT,
                json!({"metadata": {"name": "calico-node", "namespace": "kube-system"}, "spec": template}),
            ),
            (
                "/apis/apps/v1/namespaces/kube-system/deployments/calico-kube-controllers",
                json!({"metadata": {"name": "calico-kube-controllers", "namespace": "kube-system"}}),
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/calico-node",
                json!({"metadata": {"name": "calico-node"}}),
            ),
            (
                "/apis/apiregistration.k8s.io/v1/apiservices/v3.projectcalico.org",
                json!({"metadata": {"name": "v3.projectcalico.org"}, "spec": {"service": {"name": "calico-api"}}}),
            ),
            // An API server makes one for each group of definitions.
            (
                "/apis/apiregistration.k8s.io/v1/apiservices/v1.crd.projectcalico.org",
                json!({"metadata": {"name": "v1.crd.projectcalico.org"}, "spec": {}}),
            ),
            (&format!("{CRDS}/ippools.crd.projectcalico.org"), definition("ippools", "IPPool")),
            (&format!("{CRDS}/ipamblocks.crd.projectcalico.org"), definition("ipamblocks", "IPAMBlock")),
            (
                &format!("{CRDS}/adminnetworkpolicies.policy.networking.k8s.io"),
                json!({"metadata": {"name": "a"}}),
            ),
            (
                &format!("{POOLS}/default"),
                json!({"metadata": {"name": "default"}, "spec": {"cidr": "10.0.0.0/16"}}),
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/calico-node-exporter",
                json!({"metadata": {"name": "x"}}),
            ),
            (
                "/api/v1/namespaces/kube-system/secrets/calico-etcd-secrets",
                json!({"metadata": {"name": "calico-etcd-secrets"}}),
            ),
        ] {
            api.put(path, object);
        }
        api
    }

    fn put(&self, path: &str, mut object: Value) {
        let mut objects = self.objects.lock().expect("objects");
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{path}").into();
        }
        object["metadata"]["resourceVersion"] = "1".into();
        objects.insert(path.to_owned(), object);
    }

    fn hook(
        &self,
        hook: impl FnMut(&str, &str, &mut BTreeMap<String, Value>) -> Option<Answer> + Send + 'static,
    ) {
        *self.hook.lock().expect("a hook") = Some(Box::new(hook));
    }

    fn change_record(&self, change: impl FnOnce(&mut Value)) {
        self.change(&format!("{MAPS}/crossfade-finish"), |map| {
            let text = map["data"]["finish.json"].as_str().expect("a record");
            let mut record = serde_json::from_str(text).expect("JSON");
            change(&mut record);
            map["data"]["finish.json"] = record.to_string().into();
        });
    }

    /// The clock of the command's machine.
    fn machine(&self) -> Clock {
        let (now, wall, ahead) =
            (self.clock.clone(), self.clock.clone(), *self.ahead.lock().expect("a time"));
        Clock::new(move || now.now(), move || wall.wall() + ahead)
    }

    fn has(&self, path: &str) -> bool {
        self.objects.lock().expect("objects").contains_key(path)
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        change(self.objects.lock().expect("objects").get_mut(path).expect(path));
    }

    /// What is there, without the objects of the end itself.
    fn paths(&self) -> BTreeSet<String> {
        let objects = self.objects.lock().expect("objects");
        objects.keys().filter(|path| !path.starts_with(MAPS) && !path.starts_with(LEASES)).cloned().collect()
    }

    fn server(&self) -> Server {
        let api = self.clone();
        Server::by_rule(move |request| api.answer(request).date(api.clock.wall()))
    }

    fn answer(&self, request: &RecordedRequest) -> Answer {
        let (method, path) = request.line.split_once(' ').expect("a line");
        let path = path.split('?').next().unwrap_or_default();
        assert!(!path.contains("/secrets") && (!path.contains("/pods") || path == CLEANUP_PODS), "{path}");
        if path == REVIEWS {
            let review = request.json()["spec"]["resourceAttributes"].clone();
            let denied = *self.denied.lock().expect("a right");
            let is_denied =
                denied.is_some_and(|(verb, name)| review["verb"] == verb && review["name"] == name);
            return Answer::json(201, &json!({"spec": {}, "status": {"allowed": !is_denied}}));
        }
        if path.ends_with("/selfsubjectreviews") {
            return Answer::refusal(404, "NotFound", "not found");
        }
        if method != "GET" && !path.starts_with(LEASES) {
            let mut writes = self.writes.lock().expect("a number");
            match &mut *writes {
                Some(0) => return Answer::lost(),
                Some(more) => *more -= 1,
                None => {}
            }
        }
        self.served(method, path, request)
    }

    fn served(&self, method: &str, path: &str, request: &RecordedRequest) -> Answer {
        let mut objects = self.objects.lock().expect("objects");
        if let Some(hook) = &mut *self.hook.lock().expect("a hook")
            && let Some(answer) = hook(method, path, &mut objects)
        {
            return answer;
        }
        let missing = || Answer::refusal(404, "NotFound", "not found");
        let conflict = || Answer::refusal(409, "Conflict", "the object has been modified");
        match method {
            "GET" if path == "/api/v1" => Answer::json(200, &json!({"resources": []})),
            "GET" => {
                let items: Vec<Value> = objects
                    .iter()
                    .filter(|(key, _)| {
                        key.strip_prefix(path)
                            .is_some_and(|rest| rest.starts_with('/') && !rest[1..].contains('/'))
                    })
                    .map(|(_, object)| object.clone())
                    .collect();
                let is_list = LISTS.contains(&path.rsplit('/').next().unwrap_or_default())
                    || objects.values().any(|object| resources_of(object).as_deref() == Some(path));
                match objects.get(path) {
                    Some(object) => Answer::json(200, object),
                    None if is_list => {
                        Answer::json(200, &json!({"metadata": {"resourceVersion": "1"}, "items": items}))
                    }
                    None => missing(),
                }
            }
            "POST" => {
                let mut object = request.json();
                let key = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
                if objects.contains_key(&key) {
                    return Answer::refusal(409, "AlreadyExists", "it exists");
                }
                object["metadata"]["resourceVersion"] = "1".into();
                objects.insert(key, object.clone());
                Answer::json(201, &object)
            }
            "PUT" => {
                objects.insert(path.to_owned(), request.json());
                Answer::json(200, &request.json())
            }
            "PATCH" => {
                let Some(object) = objects.get_mut(path) else { return missing() };
                let change = request.json();
                let differs = |key: &str| {
                    !change["metadata"][key].is_null() && change["metadata"][key] != object["metadata"][key]
                };
                if differs("uid") || differs("resourceVersion") {
                    return conflict();
                }
                let version: u64 = object["metadata"]["resourceVersion"]
                    .as_str()
                    .expect("a version")
                    .parse()
                    .expect("a number");
                merge(object, &change);
                object["metadata"]["resourceVersion"] = (version + 1).to_string().into();
                if !change["spec"].is_null() {
                    object["metadata"]["generation"] = version.into();
                    object["status"]["observedGeneration"] = version.into();
                }
                Answer::json(200, object)
            }
            "DELETE" => {
                let Some(object) = objects.get_mut(path) else { return missing() };
                let expected = &request.json()["preconditions"]["uid"];
                assert!(expected.is_string(), "each deletion has a UID: {path}");
                let version = &request.json()["preconditions"]["resourceVersion"];
                // *Source*: Kubernetes, `staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go`: a precondition that is not named holds.
                let is_changed = !version.is_null() && object["metadata"]["resourceVersion"] != *version;
                if object["metadata"]["uid"] != *expected || is_changed {
                    return conflict();
                }
                if object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty()) {
                    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                    return Answer::json(200, object);
                }
                if let Some(resources) = objects.remove(path).and_then(|object| resources_of(&object)) {
                    objects.retain(|key, _| {
                        key.strip_prefix(&resources).is_none_or(|rest| !rest.starts_with('/'))
                    });
                }
                Answer::json(200, &json!({"kind": "Status", "status": "Success"}))
            }
            _ => missing(),
        }
    }
}

/// The kinds that are listed without a definition.
const LISTS: [&str; 7] =
    ["configmaps", "nodes", "apiservices", "daemonsets", "pods", "clusterroles", "clusterrolebindings"];

/// A definition of resources.
fn definition(group: &str, plural: &str, kind: &str) -> Value {
    json!({"metadata": {"name": format!("{plural}.{group}")},
        "spec": {"group": group, "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true}]}})
}

/// Where the resources of a definition are; none for other objects.
fn resources_of(definition: &Value) -> Option<String> {
    let (group, plural) =
        (definition["spec"]["group"].as_str()?, definition["spec"]["names"]["plural"].as_str()?);
    Some(format!("/apis/{group}/v1/{plural}"))
}

/// *Source*: RFC 7396.
fn merge(object: &mut Value, change: &Value) {
    let Some(change) = change.as_object() else { return *object = change.clone() };
    if !object.is_object() {
        *object = json!({});
    }
    let map = object.as_object_mut().expect("an object");
    for (key, value) in change {
        if value.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Files of backups, in memory.
#[derive(Default)]
struct Files(RefCell<BTreeMap<String, Vec<u8>>>);

impl BackupFiles for Files {
    fn load(&self, name: &str) -> Option<Vec<u8>> {
        self.0.borrow().get(name).cloned()
    }

    fn save(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        self.0.borrow_mut().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
}

/// A cluster whose nodes are all done, as it is before the first deletion. Of kinds that the snapshot does not have, every name is looked for.
fn snapshot() -> Snapshot {
    let mut collector = Collector::new();
    for (namespace, name, container) in
        [("kube-system", "calico-node", "calico-node"), ("kube-flannel", "kube-flannel-ds", "kube-flannel")]
    {
        let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": namespace},
            "spec": {"template": {"spec": {"containers": [{"name": container}]}}},
            "status": {"desiredNumberScheduled": 1, "numberReady": 1}});
        collector.value(set).expect("a DaemonSet");
    }
    for plural in ["ippools", "ipamblocks"] {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.crd.projectcalico.org")}});
        collector.value(definition).expect("a definition");
    }
    for kind in ["nodes", "pods", "daemonsets", "customresourcedefinitions"] {
        let kind = ALL_KINDS.iter().find(|row| row.plural == kind).expect("a kind").kind;
        collector.reading(kind, Reading::Read);
    }
    collector.finish(&[])
}

fn config(soak_hours: u32) -> Config {
    let mut config = Config::default();
    config.finish.soak_hours = soak_hours;
    config
}

/// The end of a migration from Calico to Flannel, without a run.
fn inputs(soak_hours: u32) -> FinishInputs {
    FinishInputs {
        config: config(soak_hours),
        snapshot: snapshot(),
        from: Cni::Calico,
        to: Cni::Flannel,
        policies: PolicyComparison::default(),
        last_run: None,
    }
}

/// One call of the command.
async fn called(
    api: &Api,
    files: &dyn BackupFiles,
    soak_hours: u32,
    work: impl AsyncFnOnce(&mut FinishHolder<'_>, &mut dyn FnMut(&str)) -> Result<FinishView, Failure>,
) -> Result<FinishView, Failure> {
    called_with(api, files, inputs(soak_hours), work).await
}

async fn called_with(
    api: &Api,
    files: &dyn BackupFiles,
    inputs: FinishInputs,
    work: impl AsyncFnOnce(&mut FinishHolder<'_>, &mut dyn FnMut(&str)) -> Result<FinishView, Failure>,
) -> Result<FinishView, Failure> {
    let server = api.server();
    let caller = Caller::new(server.client(), api.machine());
    let watcher = caller.with_client(server.client());
    let mut session = Session::open(caller, watcher, Settings::default()).await?;
    let without_mirror = async |holder: &mut FinishHolder<'_>, note: &mut dyn FnMut(&str)| {
        holder.journal = holder.store.journal(WITHOUT_RUN).await?.without_mirror();
        work(holder, note).await
    };
    let mut note = |what: &str| api.notes.lock().expect("notes").push(what.to_owned());
    let lease = FinishLease { session: &mut session, patience: Patience::UntilExpired, files };
    let on_gather = api.on_gather.lock().expect("a hook").take();
    let gather = move || {
        on_gather.into_iter().for_each(|look| look());
        Ok(inputs)
    };
    lease.hold(gather, &mut note, without_mirror).await
}

fn approval(hash: &str, removes: bool) -> Approval {
    Approval { hash: hash.parse().expect("a hash"), removes }
}

/// The hash that finish prints for what is there.
async fn hash(api: &Api, soak_hours: u32) -> String {
    hash_of(api, &inputs(soak_hours)).await
}

async fn hash_of(api: &Api, inputs: &FinishInputs) -> String {
    let scene = inputs.scene();
    let inventory = gather::inventory(&api.server().caller(), &scene, None).await.expect("an inventory");
    FinishPlan::new(&scene, &inventory).hash()
}

async fn confirmed(
    api: &Api,
    files: &dyn BackupFiles,
    soak_hours: u32,
    hash: &str,
    removes: bool,
) -> Result<FinishView, Failure> {
    let approval = approval(hash, removes);
    called(api, files, soak_hours, async |holder, note| holder.apply(&approval, note).await).await
}

fn next_line(view: &FinishView) -> Option<(LineName, LineState)> {
    lines::next(&view.lines).map(|line| (line.line, line.state))
}

/// What stays when Calico goes.
const STAYS: [&str; 5] = [
    "/api/v1/namespaces/kube-system",
    "/api/v1/namespaces/kube-system/secrets/calico-etcd-secrets",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/adminnetworkpolicies.policy.networking.k8s.io",
    "/apis/apiregistration.k8s.io/v1/apiservices/v1.crd.projectcalico.org",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/calico-node-exporter",
];

#[test]
fn a_cluster_is_finished_up_to_the_line_of_no_return_and_then_to_the_end() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        let before = api.paths();
        let view = confirmed(&api, &files, 0, &hash, false).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Removal, LineState::Ready)), "{view:#?}");
        assert_eq!(api.paths(), before, "nothing is deleted without the name of the cluster");
        api.change(AGENT, |agent| {
            assert_eq!(agent["spec"]["template"]["spec"]["nodeSelector"], json!({FENCE: CLOSED}));
        });
        let file = files.0.borrow().values().next().cloned().expect("a backup");
        let file: Value = serde_json::from_slice(&file).expect("JSON");
        let agent =
            file["objects"].as_array().expect("objects").iter().find(|object| object["kind"] == "DaemonSet");
        assert_eq!(agent.expect("the agent")["spec"]["template"]["spec"]["nodeSelector"], Value::Null);
        let view = confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), None, "{view:#?}");
        assert_eq!(api.paths(), STAYS.map(str::to_owned).into());
        let record = view.record.expect("a record");
        assert!(record.is_one_way && record.plan == hash && record.backup.is_some(), "{record:?}");
    });
}

/// A node's pod is ready from the second look on, and each node is asked only after the one before it.
#[test]
fn nodes_that_stay_are_cleaned_after_the_removal() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let observed =
            json!({"bootId": "b", "phase": "new", "attached": {"new": 0, "others": []}}).to_string();
        let node = |name: &str| {
            json!({"metadata": {"name": name, "annotations": {"crossfade/observed": observed}},
                "status": {"nodeInfo": {"bootID": "b"}, "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        for name in ["a", "b"] {
            api.put(&format!("/api/v1/nodes/{name}"), node(name));
        }
        let hash = hash(&api, 0).await;
        let view = confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        let line = lines::next(&view.lines).expect("a line");
        assert_eq!((line.line, line.state), (LineName::Nodes, LineState::Waits), "{line:?}");
        assert!(line.help.contains("kubectl apply -f deploy/cleanup.yaml"), "{line:?}");

        let (api, files) = (Api::with_calico(), Files::default());
        for name in ["a", "b"] {
            api.put(&format!("/api/v1/nodes/{name}"), node(name));
        }
        api.put(CLEANER, json!({"metadata": {"name": "crossfade-cleanup", "namespace": "crossfade-system"}}));
        let mut looks = 0;
        api.hook(move |_, path, objects| {
            let label = |name: &str| objects[&format!("/api/v1/nodes/{name}")]["metadata"]["labels"]["crossfade/cleanup"].clone();
            if path != CLEANUP_PODS {
                return None;
            }
            let (a, b) = (label("a"), label("b"));
            assert!(a == "done" || b.is_null(), "{a} {b}");
            looks += 1;
            let pod = |(name, label): (&str, Value)| {
                let ready = if looks % 2 == 0 { "True" } else { "False" };
                (label == "requested").then(|| json!({"metadata": {"name": format!("p-{name}"), "labels": {"app.kubernetes.io/name": "crossfade-cleanup"}},
                    "spec": {"nodeName": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
            };
            let items: Vec<Value> = [("a", a), ("b", b)].into_iter().filter_map(pod).collect();
            Some(Answer::json(200, &json!({"metadata": {"resourceVersion": "1"}, "items": items})))
        });
        let hash = self::hash(&api, 0).await;
        let view = confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), None, "{view:#?}");
        for name in ["a", "b"] {
            api.change(&format!("/api/v1/nodes/{name}"), |node| {
                assert_eq!(node["metadata"]["labels"], json!({"crossfade/cleanup": "done"}));
            });
        }
        let notes = api.notes.lock().expect("notes").clone();
        let cleaned: Vec<&String> = notes.iter().filter(|note| note.starts_with("nodes: ")).collect();
        assert_eq!(
            cleaned,
            [
                "nodes: Node/a: is asked to clean up",
                "nodes: Node/a: is clean",
                "nodes: Node/b: is asked to clean up",
                "nodes: Node/b: is clean"
            ]
        );
    });
}

/// The program ends after each of its writes once, and is called again.
#[test]
fn a_program_that_was_killed_at_any_write_comes_to_the_same_end() {
    run(async {
        for writes in 0.. {
            let (api, files) = (Api::with_calico(), Files::default());
            let hash = hash(&api, 0).await;
            *api.writes.lock().expect("a number") = Some(writes);
            let first = confirmed(&api, &files, 0, &hash, true).await;
            let is_whole = first.is_ok_and(|view| next_line(&view).is_none());
            *api.writes.lock().expect("a number") = None;
            // Its Lease expires.
            let view = confirmed(&api, &files, 0, &hash, true).await.expect("it goes on");
            assert_eq!(next_line(&view), None, "after {writes} writes: {view:#?}");
            assert_eq!(api.paths(), STAYS.map(str::to_owned).into(), "after {writes} writes");
            if is_whole {
                assert!(writes > 10, "{writes}");
                return;
            }
        }
    });
}

#[test]
fn the_soak_lasts_and_the_fence_comes_back_off() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 24).await;
        let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)));
        let view =
            called(&api, &files, 24, async |holder, note| holder.undo(note).await).await.expect("undone");
        assert_eq!(view.record.as_ref().and_then(|record| record.fenced_at.clone()), None);
        api.change(AGENT, |agent| {
            assert_eq!(agent["spec"]["template"]["spec"]["nodeSelector"], json!({}));
        });
        let view = confirmed(&api, &files, 24, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Soak, LineState::Waits)), "it begins anew");
    });
}

/// The agents of Calico write into their Nodes when they end.
#[test]
fn the_soak_does_not_begin_with_nodes_as_they_were_before_the_fence() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let observed =
            json!({"bootId": "b", "phase": "new", "attached": {"new": 0, "others": []}}).to_string();
        let conditions =
            json!([{"type": "Ready", "status": "True"}, {"type": "NetworkUnavailable", "status": "True"}]);
        api.put(
            "/api/v1/nodes/a",
            json!({"metadata": {"name": "a", "annotations": {"crossfade/observed": observed}},
                "status": {"nodeInfo": {"bootID": "b"}, "conditions": conditions}}),
        );
        let hash = hash(&api, 0).await;
        let view = confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::NodeState, LineState::Waits)), "{view:#?}");
        assert!(api.has(AGENT));
    });
}

/// A disk that loses the end of a file.
struct BadDisk(Files);

impl BackupFiles for BadDisk {
    fn load(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = self.0.load(name)?;
        bytes.pop();
        Some(bytes)
    }

    fn save(&self, name: &str, bytes: &[u8]) -> Result<(), Problem> {
        self.0.save(name, bytes)
    }
}

#[test]
fn a_backup_that_does_not_read_back_stops_the_command_before_the_fence() {
    run(async {
        let (api, files) = (Api::with_calico(), BadDisk(Files::default()));
        let hash = hash(&api, 0).await;
        let agent = api.objects.lock().expect("objects").get(AGENT).cloned();
        let (exit, problem) = confirmed(&api, &files, 0, &hash, true).await.expect_err("another file");
        let name = files.0.0.borrow().keys().next().cloned().expect("a file");
        assert_eq!((exit, problem.what), (Exit::Failed, format!("{name} is not what was written")));
        assert!(problem.fix.contains("--backup DIR"), "{}", problem.fix);
        assert_eq!(api.objects.lock().expect("objects").get(AGENT).cloned(), agent);
        api.change_record(|record| assert!(record["backup"].is_null(), "{record}"));
    });
}

#[test]
fn nothing_comes_back_once_the_removal_has_begun() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        let (exit, problem) = called(&api, &files, 0, async |holder, note| holder.undo(note).await)
            .await
            .expect_err("too late");
        assert_eq!(exit, Exit::No);
        assert!(problem.what.contains("the removal has begun"), "{problem:?}");
    });
}

#[test]
fn a_plan_that_is_not_what_is_there_changes_nothing() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        api.put(&format!("{POOLS}/later"), json!({"metadata": {"name": "later"}}));
        let before = api.paths();
        let (exit, problem) = confirmed(&api, &files, 0, &hash, true).await.expect_err("another plan");
        assert_eq!((exit, problem.place.as_str()), (Exit::No, "--confirm"));
        assert_eq!(api.paths(), before);
        assert!(files.0.borrow().is_empty() && !api.has(&format!("{MAPS}/crossfade-finish")));
    });
}

#[test]
fn rights_are_asked_for_before_anything_is_changed() {
    run(async {
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        *api.denied.lock().expect("a right") = Some(("delete", "calico-node"));
        let before = api.objects.lock().expect("objects").get(AGENT).cloned();
        let (exit, problem) = confirmed(&api, &files, 0, &hash, true).await.expect_err("no rights");
        assert_eq!(exit, Exit::Failed);
        let named =
            "delete clusterroles.rbac.authorization.k8s.io, delete daemonsets.apps kube-system/calico-node";
        assert_eq!(problem.what, format!("rights are missing: {named}"));
        assert!(problem.fix.contains("rbac-finish.yaml"), "{problem:?}");
        assert_eq!(api.objects.lock().expect("objects").get(AGENT).cloned(), before);
        assert!(files.0.borrow().is_empty());
    });
}

#[test]
fn an_object_that_is_made_anew_is_left_and_a_finalizer_is_named() {
    run(async {
        let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/calico-node";
        let (api, files) = (Api::with_calico(), Files::default());
        let hash = hash(&api, 0).await;
        confirmed(&api, &files, 0, &hash, false).await.expect("carried out");
        api.put(role, json!({"metadata": {"name": "calico-node", "uid": "another"}}));
        let view = confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        assert_eq!(next_line(&view), Some((LineName::Removal, LineState::Refused)));
        assert!(api.has(role) && api.has(AGENT), "nor is anything before it deleted");

        let (api, files) = (Api::with_calico(), Files::default());
        api.change(role, |role| role["metadata"]["finalizers"] = json!(["tigera.io/cni-protector"]));
        let hash = self::hash(&api, 0).await;
        let view = confirmed(&api, &files, 0, &hash, true).await.expect("carried out");
        let line = lines::next(&view.lines).expect("a line");
        assert_eq!((line.line, line.state), (LineName::Removal, LineState::Waits));
        assert!(line.evidence[0].contains("keeps its finalizers: tigera.io/cni-protector"), "{line:?}");
        api.change(role, |role| {
            assert_eq!(
                role["metadata"]["finalizers"],
                json!(["tigera.io/cni-protector"]),
                "it is not stripped"
            );
        });
    });
}
