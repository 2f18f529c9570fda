//! docs/migrate-in-place.md, and the pages that it leads through.

use anyhow::{Result, ensure};
use lab::install::package;
use lab::kubernetes::api::condition;
use lab::kubernetes::manifest;
use lab::walk::Walk;
use serde_json::json;

use crate::place::Place;

pub(crate) const PAGE: &str = "migrate-in-place.md";
/// The port of each node that leads to its pod of the DaemonSet.
const HOST_PORT: u16 = 30_082;

/// What runs in the cluster: a Deployment on the first node, one on the others, and a DaemonSet.
pub(crate) fn deploy(place: &Place) -> Result<()> {
    let api = &place.api;
    api.namespace("web")?;
    // DNS is elsewhere, so that the first node's pods are those that the page names.
    api.cordon("n1", true)?;
    place.cluster.serve_dns(&[])?;
    let mut back = manifest::server();
    back["affinity"] = manifest::apart_from("app", "back");
    api.create(&[manifest::workload("Deployment", "web", "back", Some(2), &back)])?;
    for path in ["kube-system/deployments/kube-dns", "web/deployments/back"] {
        api.until_rolled_out(&format!("/apis/apps/v1/namespaces/{path}"))?;
    }
    api.cordon("n1", false)?;
    let mut here = manifest::server();
    // Where the first node may not be, another one will do.
    let first = json!([{ "key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"] }]);
    here["affinity"] = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution":
        [{ "weight": 100, "preference": { "matchExpressions": first } }] } });
    let mut agent = manifest::server();
    agent["containers"][0]["ports"][0]["hostPort"] = json!(HOST_PORT);
    api.create(&[
        manifest::workload("Deployment", "web", "front", Some(2), &here),
        manifest::workload("DaemonSet", "web", "agent", None, &agent),
        manifest::budget("web", "front", &json!({ "minAvailable": 1 }), api)?,
    ])?;
    for path in ["deployments/front", "daemonsets/agent"] {
        api.until_rolled_out(&format!("/apis/apps/v1/namespaces/web/{path}"))?;
    }
    Ok(())
}

pub(crate) fn a_cluster_whose_nodes_stay_is_moved_as_the_page_says() -> Result<()> {
    let mut place = Place::new()?;
    deploy(&place)?;
    let mut walk = Walk::with_names(&["HASH"]);
    through(&mut walk, &mut place)?;
    [PAGE, "move-pods.md", "cleanup.md", "graduate.md"].iter().try_for_each(|page| walk.expect_whole(page))
}

fn through(walk: &mut Walk, place: &mut Place) -> Result<()> {
    for chapter in ["Before you begin", "The new CNI", "One node, there"] {
        walk.follow(PAGE, Some(chapter), place)?;
    }
    serves_its_host_port(place)?;
    walk.follow(PAGE, Some("10. Bring the pods back"), place)?;
    move_pods(walk, place)?;
    walk.follow(PAGE, Some("11. Take Crossfade off the node"), place)?;
    for at in 0..3 {
        place.go_to(at);
        for step in [
            "3. Put Crossfade's files on the first node",
            "4. Install Crossfade under the running pods",
            "5. Start `watch`",
            "6. Let the new agent write its conf",
        ] {
            walk.follow(PAGE, Some(step), place)?;
        }
    }
    for chapter in ["All nodes", "17. Look once more", "18. Let the new CNI stand alone"] {
        walk.follow(PAGE, Some(chapter), place)?;
    }
    ends(walk, place)
}

/// The port of the first node leads to its pod of the DaemonSet, which the new network has now.
fn serves_its_host_port(place: &Place) -> Result<()> {
    let node = &place.cluster.workers[0].node;
    let line = format!(
        "exec 3<>/dev/tcp/{}/{HOST_PORT} && printf 'GET /etc/hostname HTTP/1.0\r\n\r\n' >&3 && cat <&3",
        node.address()
    );
    let answer = place.cluster.workers[1].node.run(&["bash", "-c", &line])?;
    ensure!(answer.contains("agent-"), "{answer:?} is no answer of web/agent");
    Ok(())
}

/// Crossfade and Flannel leave each node, by another page or order of pages each.
fn ends(walk: &mut Walk, place: &mut Place) -> Result<()> {
    let (graduate, cleanup) = ((PAGE, "19. Let Crossfade leave"), (PAGE, "20. Clean up after the old CNI"));
    let nodes =
        [[graduate, cleanup], [("graduate.md", "Steps"), cleanup], [graduate, ("cleanup.md", "Steps")]];
    for (at, pages) in nodes.into_iter().enumerate() {
        place.go_to(at);
        pages.into_iter().try_for_each(|(page, chapter)| walk.follow(page, Some(chapter), place))?;
    }
    Ok(())
}

/// docs/move-pods.md on the first node, which has come back to the old network and does so again. Beside the pods of the other page it has a
/// bare pod.
fn move_pods(walk: &mut Walk, place: &mut Place) -> Result<()> {
    let (api, node) = (&place.api, place.cluster.workers[0].node.clone());
    api.namespace("tools")?;
    api.create(&[manifest::pod("tools", "shell", &manifest::server_on("n1"))])?;
    let shell = "/api/v1/namespaces/tools/pods/shell";
    api.until(shell, "is Ready", |pod| condition(pod, "Ready") == "True")?;
    package::run(&node, &["policy", "set", "new", "--require-ready"])?;
    walk.follow("move-pods.md", Some("Steps"), place)?;
    place.api.client.delete(shell)?.object()?;
    place.api.until_gone(shell)?;
    walk.follow(PAGE, Some("10. Bring the pods back"), place)
}
