//! An API server that is away, comes back, or says no.

use std::collections::HashMap;
use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use lab::host::deadline::until;
use lab::kubernetes::{MERGE, PORT, STRATEGIC, User, base};
use serde_json::json;

use crate::publisher::{Credential, Publisher, WITHIN, by_certificate, ready, waiting};
use crate::server::TOKENS;
use crate::subject::{Subject, says};

lab::trials![
    what_was_missed_is_caught_up_with_the_latest_only,
    an_api_server_that_says_no_is_not_asked_for_ever,
    no_annotation_follows_a_condition_that_was_refused,
];

/// A way to the API server that can be cut.
struct Way {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cut: bool,
    next: usize,
    open: HashMap<usize, [TcpStream; 2]>,
}

impl Way {
    fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A failed one is closed, which its client has to learn.
                let _ = forward(client, &shared);
            }
        });
        Ok(Self { address, state })
    }

    /// Breaks every connection, and every new one until it is open again.
    fn set_cut(&self, cut: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cut = cut;
        if cut {
            for stream in state.open.drain().flat_map(|(_, pair)| pair) {
                let _gone = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

fn forward(client: TcpStream, shared: &Arc<Mutex<State>>) -> Result<()> {
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if state.cut {
        return Ok(());
    }
    let server = TcpStream::connect(("127.0.0.1", PORT))?;
    let number = state.next;
    state.next += 1;
    state.open.insert(number, [client.try_clone()?, server.try_clone()?]);
    for (mut from, mut to) in
        [(client.try_clone()?, server.try_clone()?), (server.try_clone()?, client.try_clone()?)]
    {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let _ended = copy(&mut from, &mut to);
            let _gone = to.shutdown(Shutdown::Both);
            shared.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&number);
        });
    }
    Ok(())
}

fn what_was_missed_is_caught_up_with_the_latest_only() -> Result<()> {
    let subject = Subject::registered("outage")?;
    let way = Way::new()?;
    let credential =
        Credential::of_kubelet_at(subject.server, subject.node, &format!("https://{}", way.address))?;
    let mut publisher = Publisher::start(&credential.kubeconfig(), None)?;
    publisher.publish(&ready("old"))?;
    way.set_cut(true);
    publisher.report(&waiting("new"))?;
    publisher.report(&json!({ "event": "Flipped", "message": "old to both-old" }))?;
    until("the journal says that it is away", WITHIN, || {
        Ok((publisher.count_in_journal("unreachable") == 1).then_some(()))
    })?;
    publisher.report(&ready("both-old"))?;
    let since = subject.node()?["metadata"]["resourceVersion"].as_str().context("a version")?.to_owned();
    way.set_cut(false);
    publisher.settle()?;
    ensure!(says(&subject.node()?)[0] == "True", "{}", subject.node()?);
    ensure!(subject.node()?["metadata"]["labels"]["crossfade/phase"] == "both-old", "{}", subject.node()?);
    ensure!(subject.events()?.len() == 1, "{:?}", subject.events()?);
    ensure!(publisher.count_in_journal("unreachable") == 1, "{}", publisher.journal());
    ensure!(publisher.journal().contains("up to date again"), "{}", publisher.journal());
    // Every version since: none says what was true only while it was away.
    let path = format!(
        "/api/v1/nodes?watch=1&timeoutSeconds=1&fieldSelector=metadata.name={}&resourceVersion={since}",
        subject.node
    );
    let mut versions = 0;
    for event in subject.admin.watch(&path)? {
        let object = event?["object"].take();
        ensure!(object["metadata"]["labels"]["crossfade/phase"] != "new", "an old truth: {object}");
        versions += 1;
    }
    ensure!(versions > 0, "the watch saw nothing");
    Ok(())
}

fn an_api_server_that_says_no_is_not_asked_for_ever() -> Result<()> {
    // A token of another kubelet than the Node that it is told is its own.
    let subject = Subject::registered("forbidden")?;
    let before = subject.node()?;
    let user = json!({ "token": TOKENS[0].1 });
    let credential = Credential::new(subject.server, &user, &base())?;
    let mut publisher = Publisher::start(&credential.kubeconfig(), Some(subject.node))?;
    publisher.report(&ready("old"))?;
    until("the journal says that it may not", WITHIN, || {
        Ok((publisher.count_in_journal("forbidden") == 1).then_some(()))
    })?;
    // What happens to that Node meanwhile is no reason to ask again.
    subject.annotate("crossfade/desired", &json!("new"))?;
    ensure!(publisher.desired()? == "new", "it still watches");
    ensure!(publisher.count_in_journal("forbidden") == 1, "{}", publisher.journal());
    let mut after = subject.node()?;
    ensure!(after["metadata"]["annotations"]["crossfade/desired"].take() == "new", "{after}");
    ensure!(after["status"] == before["status"], "{after}");
    ensure!(after["metadata"]["labels"] == before["metadata"]["labels"], "{after}");
    Ok(())
}

/// Else it would name this boot beside a condition of the last one that is still true.
fn no_annotation_follows_a_condition_that_was_refused() -> Result<()> {
    let subject = Subject::registered("without-status")?;
    let stands = json!({ "status": { "conditions": [{ "type": "CrossfadeReady", "status": "True", "reason": "NetworkReady",
        "message": "x", "lastHeartbeatTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z" }]}});
    subject.kubelet.patch(&format!("{}/status", subject.path()), STRATEGIC, &stands)?.object()?;
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let rules = |resources: &[&str]| {
        let verbs = ["get", "list", "watch", "patch", "create"];
        json!([{ "apiGroups": [""], "resources": resources, "verbs": verbs }])
    };
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": subject.node },
        "rules": rules(&["nodes", "events"]) });
    let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": subject.node },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": subject.node },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": subject.node }] });
    subject.admin.create(&format!("{rbac}/clusterroles"), &role)?.object()?;
    subject.admin.create(&format!("{rbac}/clusterrolebindings"), &binding)?.object()?;
    let credential = Credential::new(subject.server, &by_certificate(), &base())?;
    subject.server.identity(User::Component(subject.node))?.write(&credential.certificate())?;

    let mut publisher = Publisher::start(&credential.kubeconfig(), Some(subject.node))?;
    publisher.report(&waiting("new"))?;
    until("the journal says that it may not", WITHIN, || {
        Ok((publisher.count_in_journal("forbidden") == 1).then_some(()))
    })?;
    let node = subject.node()?;
    ensure!(says(&node)[0] == "True", "{node}");
    ensure!(node["metadata"]["annotations"]["crossfade/observed"].is_null(), "{node}");
    ensure!(node["metadata"]["labels"]["crossfade/phase"].is_null(), "{node}");

    let rules = json!({ "rules": rules(&["nodes", "nodes/status", "events"]) });
    subject.admin.patch(&format!("{rbac}/clusterroles/{}", subject.node), MERGE, &rules)?.object()?;
    // The right counts when it is in the API server's cache; until then each report is refused as the first was, and a refused one is not sent again.
    let mut message = String::new();
    until("a report is on the Node", WITHIN, || {
        message.push('.');
        let mut report = waiting("new");
        report["message"] = json!(message);
        publisher.report(&report)?;
        let node = subject.node()?;
        Ok((says(&node)[0] == "False" && node["metadata"]["labels"]["crossfade/phase"] == "new")
            .then_some(()))
    })
}
