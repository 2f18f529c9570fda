//! Takes a snapshot of a live cluster.

use std::collections::BTreeSet;

use kube::Client;
use serde_json::Value;
use types::exit::Exit;
use types::problem::Problem;

use super::connect::connect;
use super::error::{Meaning, problem};
use super::list::{ask, list};
use super::progress::Event;
use super::rights;
use crate::cli::access::Access;
use crate::model::{CONFIG_MAPS, Kind, Reading, Snapshot};
use crate::snapshot::Collector;

/// Reads all objects of these kinds.
///
/// # Errors
/// The exit status and the problem: the kubeconfig cannot be used, or the API server does not answer. A missing right is no error, but what the
/// snapshot says about the kind.
pub fn take(
    access: &Access,
    kinds: &BTreeSet<Kind>,
    progress: &mut dyn FnMut(&Event),
) -> Result<Snapshot, (Exit, Problem)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| (Exit::Failed, Problem::new(format!("start the client: {e}"))))?;
    runtime.block_on(async {
        let client = connect(access).await.map_err(|problem| (Exit::BadSettings, problem))?;
        let mut collector = Collector::new();
        about(&client, &mut collector).await?;
        let missing = rights::missing(&client, kinds).await;
        if !missing.is_empty() {
            progress(&Event::MissingRights(missing));
        }
        for kind in kinds {
            let what = format!("list {}", kind.plural());
            let read = match *kind {
                Kind::CONFIG_MAP => config_maps(&client, &mut collector).await,
                kind => list(&client, kind, &mut collector, progress).await,
            };
            let reading = read.map_err(|meaning| problem(&what, meaning))?;
            collector.reading(*kind, reading);
        }
        Ok(collector.finish(&[]))
    })
}

/// Reads what is known of the cluster itself. Every credential may read the version; the UID is nice to have.
async fn about(client: &Client, collector: &mut Collector) -> Result<(), (Exit, Problem)> {
    let mut ignored = |_| {};
    let version = ask(client, "/version", &mut ignored).await;
    let version = version.map_err(|meaning| problem("ask the API server for its version", meaning))?;
    let text = |json: &str, pointer: &str| {
        let value: Value = serde_json::from_str(json).ok()?;
        value.pointer(pointer)?.as_str().map(str::to_owned)
    };
    collector.cluster().version = text(&version, "/gitVersion");
    if let Ok(namespace) = ask(client, "/api/v1/namespaces/kube-system", &mut ignored).await {
        collector.cluster().uid = text(&namespace, "/metadata/uid");
    }
    Ok(())
}

/// Reads the ConfigMaps of CNIs by name: a right to list them all would reach everything that applications keep in theirs.
async fn config_maps(client: &Client, collector: &mut Collector) -> Result<Reading, Meaning> {
    for (namespace, name) in CONFIG_MAPS {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
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
