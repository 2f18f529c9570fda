//! Where agents run, and whom each probes: on every node and every other one up to [`FULL`] agents, a sample above it.
//!
//! The sample of an agent is [`STEADY`] targets, taken in turn from each kind in each zone, and [`ROTATING`] others that change with every round, so
//! that in time each agent asks each other one. On an agent that has just come, some [`FOCUS`] others look, too.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::peer::Peer;

/// The most agents that all probe each other.
pub const FULL: usize = 300;
/// Nodes with agents where there are too many for all.
pub const NODES: usize = 300;
/// Targets that stay, of an agent in a sample.
pub const STEADY: usize = 16;
/// Targets that change with each round.
pub const ROTATING: usize = 10;
/// How many agents, on average, probe an agent that has just come.
pub const FOCUS: u64 = 128;
/// How long a round is; milliseconds.
pub const ROUND: u64 = 10_000;

/// A number that any two agents agree on, spread evenly over all.
fn spread(first: u64, second: u64) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(first);
    hasher.write_u64(second);
    hasher.finish()
}

/// The places of at most `most` of `items`, taken in turn from each stratum; within one, by `rank`.
pub fn stratified<T, S: Ord>(
    items: &[T],
    most: usize,
    stratum: impl Fn(&T) -> S,
    rank: impl Fn(&T) -> u64,
) -> BTreeSet<usize> {
    let mut strata: BTreeMap<S, BTreeSet<(u64, usize)>> = BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        let ranked = strata.entry(stratum(item)).or_default();
        ranked.insert((rank(item), place));
        if ranked.len() > most {
            ranked.pop_last();
        }
    }
    let mut chosen = BTreeSet::new();
    while chosen.len() < most && !strata.is_empty() {
        strata.retain(|_, ranked| {
            if chosen.len() < most {
                chosen.extend(ranked.pop_first().map(|(_, place)| place));
            }
            !ranked.is_empty()
        });
    }
    chosen
}

/// The agents that `asker` probes in a round, out of all that are registered. `is_new` says of which agents that they have just come.
#[must_use]
pub fn targets<'a>(
    asker: &Peer,
    peers: &[&'a Peer],
    round: u64,
    is_new: impl Fn(&Peer) -> bool,
) -> Vec<&'a Peer> {
    let others: Vec<&Peer> = peers.iter().copied().filter(|peer| peer.id != asker.id).collect();
    if peers.len() <= FULL {
        return others;
    }
    let mut chosen =
        stratified(&others, STEADY, |peer| (peer.kind, peer.zone.as_str()), |peer| spread(asker.id, peer.id));
    let count = u64::try_from(others.len()).unwrap_or(u64::MAX);
    let rotating = u64::try_from(ROTATING).unwrap_or_default();
    let first = (spread(asker.id, 0) % count + round % count * rotating) % count;
    chosen.extend((first..first + rotating).filter_map(|place| usize::try_from(place % count).ok()));
    // So many of all hashes are below it that FOCUS agents look at each newcomer on average.
    let threshold = (u64::MAX / count).saturating_mul(FOCUS);
    let newcomers =
        others.iter().enumerate().filter(|(_, peer)| is_new(peer) && spread(peer.id, asker.id) <= threshold);
    chosen.extend(newcomers.map(|(place, _)| place));
    chosen.into_iter().filter_map(|place| others.get(place).copied()).collect()
}

#[cfg(test)]
mod tests {
    use types::policy::Phase;

    use super::*;
    use crate::peer::Kind;

    /// Three agents on each node, nodes in three zones, a tenth of them moved.
    fn cluster(nodes: u64) -> Vec<Peer> {
        let kinds = |node: u64| {
            let pod = if node.is_multiple_of(10) { Phase::New } else { Phase::Old };
            [Kind::Host, Kind::Pod(pod), Kind::Pod(pod)]
        };
        let agents = (0..nodes).flat_map(|node| {
            kinds(node).into_iter().enumerate().map(move |(place, kind)| (node, place, kind))
        });
        let peers = agents.enumerate().map(|(number, (node, place, kind))| Peer {
            name: format!("agent-{node}-{place}"),
            node: format!("n{node}"),
            zone: format!("z{}", node % 3),
            kind,
            id: u64::try_from(number).unwrap_or_default() + 1,
            addresses: vec![[10, 0, 0, 1].into()],
            mtu: 1500,
        });
        peers.collect()
    }

    fn draw<'a>(peers: &[&'a Peer], asker: &Peer, round: u64) -> Vec<&'a Peer> {
        targets(asker, peers, round, |_| false)
    }

    #[test]
    fn up_to_a_hundred_nodes_everyone_asks_everyone() {
        let cluster = cluster(100);
        let peers: Vec<&Peer> = cluster.iter().collect();
        let pairs: usize = peers.iter().map(|asker| draw(&peers, asker, 0).len()).sum();
        assert_eq!(pairs, 89_700);
        assert!(draw(&peers, peers[0], 0).iter().all(|peer| peer.id != peers[0].id));
    }

    /// The arithmetic at 1,000 and at 5,000 nodes: agents on so many nodes of every zone, so many packets of each, every kind in every zone asked.
    #[test]
    fn a_sample_is_as_large_as_stated() {
        for nodes in [1_000, 5_000] {
            let names: Vec<u64> = (0..nodes).collect();
            let places = stratified(&names, NODES, |node| node % 3, |node| spread(*node, 0));
            assert_eq!(places.len(), NODES);
            let zones: Vec<usize> =
                (0..3).map(|zone| places.iter().filter(|node| *node % 3 == zone).count()).collect();
            assert_eq!(zones, [100, 100, 100]);
            let cluster = cluster(nodes);
            let is_chosen = |place: &usize| places.contains(&(place / 3));
            let peers: Vec<&Peer> =
                (0..cluster.len()).filter(is_chosen).map(|place| &cluster[place]).collect();
            let mut askers: BTreeMap<u64, usize> = BTreeMap::new();
            for asker in &peers {
                let targets = draw(&peers, asker, 3);
                assert!((STEADY..=STEADY + ROTATING).contains(&targets.len()), "{} targets", targets.len());
                let strata: BTreeSet<_> =
                    targets.iter().map(|peer| (peer.kind, peer.zone.as_str())).collect();
                assert_eq!(strata.len(), 9, "three kinds in three zones");
                targets.iter().for_each(|peer| *askers.entry(peer.id).or_default() += 1);
            }
            // Agents of a kind that is rare in its zone are asked by more.
            let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
            peers.iter().for_each(|peer| *sizes.entry((peer.kind, peer.zone.as_str())).or_default() += 1);
            for peer in &peers {
                let share = peers.len() * STEADY / (9 * sizes[&(peer.kind, peer.zone.as_str())]);
                let count = askers[&peer.id];
                assert!(
                    count <= 2 * (share + ROTATING) + 10,
                    "{nodes} nodes: {} is asked by {count}, expected {share}",
                    peer.name
                );
            }
            assert_eq!(askers.len(), peers.len(), "every agent is asked");
        }
    }

    #[test]
    fn in_time_each_agent_asks_each_other_one() {
        let cluster = cluster(320);
        let peers: Vec<&Peer> = cluster.iter().collect();
        let rounds = peers.len().div_ceil(ROTATING) as u64;
        let targets: BTreeSet<u64> =
            (0..rounds).flat_map(|round| draw(&peers, peers[7], round)).map(|peer| peer.id).collect();
        assert_eq!(targets.len(), peers.len() - 1);
    }

    #[test]
    fn many_look_on_an_agent_that_has_just_come() {
        let cluster = cluster(320);
        let peers: Vec<&Peer> = cluster.iter().collect();
        let newcomer = peers[234].id;
        let is_asked_by = |asker: &&&Peer| {
            targets(asker, &peers, 0, |peer| peer.id == newcomer).iter().any(|peer| peer.id == newcomer)
        };
        let askers = peers.iter().filter(is_asked_by).count();
        assert!((90..200).contains(&askers), "{askers} askers");
    }
}
