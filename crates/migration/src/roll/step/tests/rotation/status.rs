//! What `status` shows of a rotation.

use super::*;
use crate::drive::status::{PoolCounts, status};

impl Rotation {
    /// The counts of its pool, and the nodes that are silent.
    fn counts(&mut self) -> (PoolCounts, Vec<Text>) {
        self.memory.observe(&self.world, &self.run);
        let order = Order::new(&self.plan);
        let nodes = Nodes::new(&self.world, &self.run, &order);
        let mut status = status(&View::new(&self.world, &self.memory, &self.run, &nodes), &[]);
        assert_eq!(status.pools.len(), 1, "{:?}", status.pools);
        (status.pools.remove(0), status.silent)
    }
}

/// All nodes, the old ones, those that may go, those that have gone, that arrive, and that are proven.
fn numbers(counts: &PoolCounts) -> [u32; 6] {
    [counts.nodes, counts.old, counts.permitted, counts.gone, counts.arriving, counts.proven]
}

/// Old nodes never report, and the operator need not look why. A new node that does not report is named.
#[test]
fn status_counts_what_goes_and_comes_in_each_pool() {
    let mut rotation = Rotation::new("permit");
    rotation.ask(&["a"]);
    rotation.go_for(30);
    let (counts, silent) = rotation.counts();
    assert_eq!(numbers(&counts), [4, 4, 1, 0, 0, 0]);
    assert_eq!((&*counts.pool, counts.method, silent), ("blue", Method::Permit, vec![]));

    rotation.lose("a");
    rotation.gain("e", Node { is_ready: false, ..old("uid-e") });
    let (counts, silent) = rotation.counts();
    assert_eq!(numbers(&counts), [4, 3, 0, 1, 1, 0]);
    assert_eq!(silent, ["e".into()]);

    let mut fresh = new("uid-e");
    fresh.observed.as_mut().expect("a report").image = Some("5f2c".into());
    rotation.gain("e", fresh);
    rotation.go_for(30);
    let (counts, silent) = rotation.counts();
    assert_eq!((counts.arriving, counts.proven, silent), (0, 1, vec![]));
    assert_eq!(counts.describe_images(), "5f2c (1), none (3)");
}

/// Cilium's operator sets the taint again and again, so the wait names the setting.
#[test]
fn a_node_of_the_earlier_image_under_the_taint_of_cilium_names_the_setting() {
    let mut rotation = turned("permit", new);
    rotation.ask(&["f"]);
    rotation.go_for(90);
    let first = rotation.permitted().first().map(|name| (*name).to_owned()).expect("a node that may go");
    rotation.lose(&first);
    rotation.gain("x", Node { taints: vec!["node.cilium.io/agent-not-ready".into()], ..old("uid-x") });
    let decided = rotation.go_for(30);
    let arriving = wait(&decided, Reason::Arriving, "Node/x").expect("a wait");
    assert!(arriving.help.starts_with("operator.setNodeTaints=false"), "{arriving:?}");
    rotation.world.node("x").taints.clear();
    rotation.world.node("x").is_ready = false;
    let decided = rotation.go_for(5);
    let arriving = wait(&decided, Reason::Arriving, "Node/x").expect("a wait");
    assert!(arriving.help.starts_with("kubectl describe node x"), "{arriving:?}");
}
