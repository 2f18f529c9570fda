//! Draws what pods request, and what nodes offer.

use migration::workload::capacity::Request;

use crate::cluster::truth::Truth;
use crate::draw::random::Random;

/// What pods request, in thousandths of a core and in MiB.
const SIZES: [(u128, u128); 4] = [(0, 0), (100, 64), (250, 128), (500, 512)];
/// Thousandths of a byte in a MiB.
const MIB: u128 = 1000 << 20;

pub(super) fn draw(random: &mut Random, truth: &mut Truth) {
    for workload in &mut truth.workloads {
        let (cpu, memory) = random.pick(&SIZES).copied().unwrap_or_default();
        workload.blueprint.request = Request { cpu, memory: memory * MIB, ..Request::POD };
    }
    let is_daemon = |kind: &str| kind == "DaemonSet";
    let sum = |times: &dyn Fn(u128, bool) -> u128| {
        let all = truth.workloads.iter().map(|controller| &controller.blueprint);
        all.fold(Request::default(), |sum, blueprint| {
            let times = times(blueprint.replicas.into(), is_daemon(&blueprint.owner.kind));
            sum + blueprint.request.times(times)
        })
    };
    let (moves, stays) = (
        sum(&|replicas, is_daemon| if is_daemon { 0 } else { replicas }),
        sum(&|_, is_daemon| u128::from(is_daemon)),
    );
    // Some clusters are too full from the beginning: no margin was planned there. Pieces of room are of use if some of the largest fit into them.
    let (percent, spare) = if random.chance(150) { (100, 1) } else { (115, 2) };
    let others = truth.nodes.len().saturating_sub(1).max(1) as u128;
    let (cpu, memory) = SIZES[SIZES.len() - 1];
    for node in &mut truth.nodes {
        // How many pods fit was drawn before.
        let share = |sum: u128, largest: u128| (sum * percent / 100).div_ceil(others) + spare * largest;
        node.room.cpu = share(moves.cpu + stays.cpu * others / 9, cpu);
        node.room.memory = share(moves.memory + stays.memory * others / 9, memory * MIB);
        node.api.offers = node.room + stays;
    }
}
