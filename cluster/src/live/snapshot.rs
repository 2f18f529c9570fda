//! The snapshot of a live cluster, and what happens while it is taken.

use std::collections::BTreeSet;

use kube::Client;
use snapshot::Collector;
use snapshot::model::{CONFIG_MAPS, Kind, Reading, Snapshot, Text, is_named};
use types::command::exit::Exit;
use types::command::problem::Problem;

use super::api::connect::connect;
use super::api::error::{Meaning, problem};
use super::api::list::{ask, list};
use super::api::path::encode;
use super::api::server;
use super::rights;
use crate::cli::access::Access;

/// Reads all objects of these kinds.
///
/// # Errors
/// The exit status and the problem: the kubeconfig cannot be used, or the API server does not answer. A missing right is no error, but what the
/// snapshot says about the kind.
pub(crate) fn gather(
    access: &Access,
    kinds: &BTreeSet<Kind>,
    progress: &mut dyn FnMut(&Event),
) -> Result<Snapshot, (Exit, Problem)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| (Exit::Failed, Problem::new(format!("start the client: {e}"))))?;
    runtime.block_on(async {
        let client = connect(access).await.map_err(|problem| (Exit::BadSettings, problem))?;
        let mut collector = Collector::new();
        read_cluster(&client, &mut collector).await?;
        let missing = rights::find_missing(&client, kinds).await;
        if !missing.is_empty() {
            progress(&Event::MissingRights(missing));
        }
        read(&client, kinds, &mut collector, progress).await?;
        Ok(collector.finish(&[]))
    })
}

/// Reads all objects of these kinds; ConfigMaps last, since DaemonSets say what some of them are called.
async fn read(
    client: &Client,
    kinds: &BTreeSet<Kind>,
    collector: &mut Collector,
    progress: &mut dyn FnMut(&Event),
) -> Result<(), (Exit, Problem)> {
    for kind in kinds.iter().copied().filter(|kind| *kind != Kind::CONFIG_MAP) {
        let listed = list(client, kind, collector, progress).await;
        let reading = listed.map_err(|meaning| problem(&format!("list {}", kind.plural_name()), meaning))?;
        collector.reading(kind, reading);
    }
    if kinds.contains(&Kind::CONFIG_MAP) {
        let reading =
            config_maps(client, collector).await.map_err(|meaning| problem("read ConfigMaps", meaning))?;
        collector.reading(Kind::CONFIG_MAP, reading);
    }
    Ok(())
}

/// Reads what is known of the cluster itself. Every credential may read the version; the UID is nice to have.
async fn read_cluster(client: &Client, collector: &mut Collector) -> Result<(), (Exit, Problem)> {
    let version = server::version(client).await;
    collector.cluster().version =
        version.map_err(|meaning| problem("ask the API server for its version", meaning))?;
    collector.cluster().uid = server::uid(client).await.unwrap_or_default();
    Ok(())
}

/// Reads the ConfigMaps of CNIs by name, and those that a DaemonSet mounts by such a name and a hash: a right to list them all would reach everything that applications keep in theirs.
async fn config_maps(client: &Client, collector: &mut Collector) -> Result<Reading, Meaning> {
    let mut names: BTreeSet<(Text, Text)> =
        CONFIG_MAPS.map(|(namespace, name)| (namespace.into(), name.into())).into();
    let mounted = collector.mounted_config_maps();
    names.extend(mounted.filter(|(_, name)| CONFIG_MAPS.iter().any(|(_, pattern)| is_named(name, pattern))));
    for (namespace, name) in names {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{}", encode(&name));
        match ask(client, &path, &mut |_| {}).await {
            Ok(text) => {
                let value = serde_json::from_str(&text).map_err(|e| Meaning::Failed(e.to_string()))?;
                collector.value(value).map_err(Meaning::Failed)?;
            }
            Err(Meaning::NotFound) => {}
            Err(Meaning::Forbidden(why)) => return Ok(Reading::Forbidden(why)),
            Err(other) => return Err(other),
        }
    }
    Ok(Reading::Read)
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Before anything is read: rights that the credential does not have, each as a verb and what it is for.
    MissingRights(Vec<String>),
    /// A page of a kind arrived.
    Page {
        kind: Kind,
        /// How many objects of it have arrived.
        objects: usize,
        /// How many are still to come, where the API server says it.
        remaining: Option<usize>,
    },
    /// All objects of a kind are here.
    Done { kind: Kind, objects: usize },
    /// A request failed and is made again.
    Again { kind: Kind, why: String },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::live::api::test_server::{self, Answer, Server};

    /// A cluster with an agent of Antrea that mounts this ConfigMap; nothing else is in it.
    fn take_snapshot(mounted: &'static str, is_allowed: bool) -> (Snapshot, Vec<String>) {
        test_server::run(async {
            let server = Server::by_rule(move |request| {
                let path = request.line.trim_start_matches("GET ");
                if path.starts_with("/apis/apps/v1/daemonsets") {
                    let volumes =
                        [mounted, "unrelated"].map(|name| json!({"name": "c", "configMap": {"name": name}}));
                    let spec = json!({"template": {"spec": {"containers": [{"name": "antrea-agent"}], "volumes": volumes}}});
                    let agent = json!({"metadata": {"name": "antrea-agent", "namespace": "kube-system"}, "spec": spec});
                    return Answer::json(
                        200,
                        &json!({"kind": "DaemonSetList", "metadata": {}, "items": [agent]}),
                    );
                }
                match path.strip_prefix("/api/v1/namespaces/kube-system/configmaps/") {
                    Some(name) if name == mounted && !is_allowed => {
                        Answer::refusal(403, "Forbidden", &format!("cannot get {name}"))
                    }
                    Some(name) if name == mounted => {
                        let meta = json!({"name": name, "namespace": "kube-system"});
                        let data = json!({"antrea-agent.conf": "tunnelType: vxlan"});
                        Answer::json(
                            200,
                            &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}),
                        )
                    }
                    _ => Answer::refusal(404, "NotFound", "not found"),
                }
            });
            let kinds = [Kind::CONFIG_MAP, Kind::DAEMON_SET].into();
            let mut collector = Collector::new();
            read(&server.client(), &kinds, &mut collector, &mut |_| {}).await.expect("read");
            (collector.finish(&[]), server.lines())
        })
    }

    #[test]
    fn a_config_map_with_a_hash_in_its_name_is_found_by_the_agent_that_mounts_it() {
        let (snapshot, requests) = take_snapshot("antrea-config-5ct9ktdt77", true);
        let name = snapshot.config_map("antrea-config").map(|object| object.name().to_owned());
        assert_eq!(name.as_deref(), Some("antrea-config-5ct9ktdt77"));
        assert!(snapshot.knows(Kind::CONFIG_MAP));
        assert!(!requests.iter().any(|line| line.contains("unrelated")), "{requests:?}");
        assert_eq!(requests.len(), 1 + CONFIG_MAPS.len() + 1);
    }

    #[test]
    fn a_server_without_pods_is_no_api_server() {
        test_server::run(async {
            let server = Server::by_rule(|_| Answer::refusal(404, "NotFound", "not found"));
            let read = |kind: Kind| {
                let client = server.client();
                async move { read(&client, &[kind].into(), &mut Collector::new(), &mut |_| {}).await }
            };
            let (_, problem) = read(Kind::POD).await.expect_err("pods are of the core");
            assert!(problem.what.starts_with("list pods: "), "{problem:?}");
            read(Kind::IP_POOL).await.expect("a cluster without Calico");
            read(Kind::SERVICE_CIDR).await.expect("an older cluster");
        });
    }

    #[test]
    fn a_config_map_that_may_not_be_read_is_forbidden_and_named() {
        let (snapshot, _) = take_snapshot("antrea-config-5ct9ktdt77", false);
        let Some(Reading::Forbidden(why)) = snapshot.readings.get(&Kind::CONFIG_MAP) else {
            panic!("{:?}", snapshot.readings)
        };
        assert!(why.contains("antrea-config-5ct9ktdt77"), "{why}");
    }
}
