//! The parties of a world that are no pods, by all addresses for which they stand.

use std::collections::HashMap;
use std::net::IpAddr;

use super::address::{Piece, Pieces};
use super::build::pieces;
use super::mention::Mentions;
use super::parties::Parties;
use super::{Cluster, World};

/// Where the nodes of a world are, and the endpoints outside of its cluster. One party stands for all of one sort whose addresses no policy tells apart.
#[derive(Debug)]
pub struct AddressIndex {
    pieces: Pieces,
    nodes: HashMap<Piece, usize>,
    outside: HashMap<Piece, usize>,
}

impl AddressIndex {
    /// Of the world that was made of this cluster and these mentions.
    #[must_use]
    pub fn new(world: &World, cluster: &Cluster, mentions: &Mentions) -> Self {
        let pieces = pieces(cluster, mentions);
        let by_piece = |parties: &Parties| {
            let all = parties.numbers().filter_map(|number| Some((number, world.party(number)?.address)));
            all.map(|(number, address)| (pieces.piece_of(address), number)).collect()
        };
        let (nodes, outside) = (by_piece(world.nodes()), by_piece(world.outside_parties()));
        Self { pieces, nodes, outside }
    }

    /// The party that stands for a node at this address.
    #[must_use]
    pub fn node(&self, address: IpAddr) -> Option<usize> {
        self.nodes.get(&self.pieces.piece_of(address)).copied()
    }

    /// The party that stands for an endpoint outside of the cluster at this address.
    #[must_use]
    pub fn outside(&self, address: IpAddr) -> Option<usize> {
        self.outside.get(&self.pieces.piece_of(address)).copied()
    }
}
