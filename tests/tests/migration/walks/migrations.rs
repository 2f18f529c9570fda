//! docs/walkthrough.md: the operator's side of a migration, with both strategies.

use anyhow::Result;
use lab::kubernetes::manifest;
use lab::walk::Walk;
use serde_json::json;

use crate::place::Place;

const PAGE: &str = "walkthrough.md";
/// The port of each node that leads to its pod of the DaemonSet.
const HOST_PORT: u16 = 30_081;

/// The workloads that the page names; DNS is not on the last node, which is the scout therefore.
fn deploy(place: &Place) -> Result<()> {
    let (api, server) = (&place.api, manifest::server());
    api.namespace("demo")?;
    api.cordon("n3", true)?;
    place.cluster.serve_dns(&[])?;
    api.until_rolled_out("/apis/apps/v1/namespaces/kube-system/deployments/kube-dns")?;
    api.cordon("n3", false)?;
    let mut agent = server.clone();
    agent["containers"][0]["ports"][0]["hostPort"] = json!(HOST_PORT);
    api.create(&[
        manifest::workload("Deployment", "demo", "web", Some(3), &server),
        manifest::workload("StatefulSet", "demo", "db", Some(2), &server),
        manifest::workload("DaemonSet", "demo", "agent", None, &agent),
    ])?;
    for path in ["deployments/web", "statefulsets/db", "daemonsets/agent"] {
        api.until_rolled_out(&format!("/apis/apps/v1/namespaces/demo/{path}"))?;
    }
    Ok(())
}

pub(crate) fn two_migrations_are_made_as_the_page_says() -> Result<()> {
    let mut place = Place::new()?;
    deploy(&place)?;
    place.crossfade()?;
    place.content("probes-are-green.sh")?;
    place.content("old-and-new-reach-each-other.sh")?;
    let mut walk = Walk::with_names(&["HASH", "BRIDGE"]);
    // The run of three passes goes back from its first node: all of them take as long as everything else here.
    for chapter in [
        "Before either of them",
        "The plan",
        "The first node",
        "A node is cordoned meanwhile",
        "Going back",
        "With `bridge`: nodes forward between the networks",
    ] {
        walk.follow(PAGE, Some(chapter), &mut place)?;
    }
    walk.expect_whole(PAGE)
}
