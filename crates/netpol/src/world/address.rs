//! The addresses of both families, cut where some policy tells them apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use snapshot::Range;

/// Addresses that stand for "anywhere" in documentation, which a person recognises. *Source*: RFC 5737, RFC 3849.
const ANYWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The pieces into which some ranges cut the addresses: no range has a part of a piece.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Where the pieces of IPv4 and of IPv6 begin, in order.
    begins: [Vec<u128>; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Piece {
    pub(super) is_v6: bool,
    first: u128,
    last: u128,
}

impl Pieces {
    pub(super) fn new<'r>(ranges: impl IntoIterator<Item = &'r Range>) -> Self {
        let mut begins = [vec![0], vec![0]];
        for range in ranges {
            let (first, last) = range.ends();
            let rooms = &mut begins[usize::from(range.is_v6())];
            rooms.push(first);
            rooms.extend(last.checked_add(1).filter(|next| *next <= highest_address(range.is_v6())));
        }
        for rooms in &mut begins {
            rooms.sort_unstable();
            rooms.dedup();
        }
        Self { begins }
    }

    /// The piece in which an address lies.
    pub(super) fn piece_of(&self, address: IpAddr) -> Piece {
        let (is_v6, (number, _)) = (address.is_ipv6(), Range::from_address(address).ends());
        let begins = &self.begins[usize::from(is_v6)];
        // The first piece begins with the first address, so there is one before any other.
        self.piece(is_v6, begins.partition_point(|begin| *begin <= number) - 1)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Piece> + '_ {
        [false, true].into_iter().flat_map(move |is_v6| {
            (0..self.begins[usize::from(is_v6)].len()).map(move |place| self.piece(is_v6, place))
        })
    }

    fn piece(&self, is_v6: bool, place: usize) -> Piece {
        let begins = &self.begins[usize::from(is_v6)];
        let last = begins.get(place + 1).map_or_else(|| highest_address(is_v6), |next| next - 1);
        Piece { is_v6, first: begins[place], last }
    }
}

impl Piece {
    pub(super) const fn is_one(self) -> bool {
        self.first == self.last
    }

    /// An address of the piece that is in none of these ranges, which are of any family and in any order; none if they cover it.
    pub(super) fn address_outside(self, ranges: &[Range]) -> Option<IpAddr> {
        let mut used: Vec<_> =
            ranges.iter().filter(|range| range.is_v6() == self.is_v6).map(|range| range.ends()).collect();
        used.sort_unstable();
        let anywhere =
            ANYWHERE.map(|anywhere| Range::from_address(anywhere).ends().0)[usize::from(self.is_v6)];
        let is_free = |number: u128| !used.iter().any(|(first, last)| (*first..=*last).contains(&number));
        if (self.first..=self.last).contains(&anywhere) && is_free(anywhere) {
            return Some(address(self.is_v6, anywhere));
        }
        let mut number = self.first;
        for (first, last) in used {
            if first <= number && number <= last {
                number = last.checked_add(1)?;
            }
        }
        (number <= self.last).then(|| address(self.is_v6, number))
    }

    /// An address that the piece and a range both have.
    pub(super) fn address_in(self, range: Range) -> Option<IpAddr> {
        let (first, last) = range.ends();
        let number = first.max(self.first);
        (range.is_v6() == self.is_v6 && number <= last.min(self.last)).then(|| address(self.is_v6, number))
    }
}

const fn highest_address(is_v6: bool) -> u128 {
    if is_v6 { u128::MAX } else { u32::MAX as u128 }
}

fn address(is_v6: bool, number: u128) -> IpAddr {
    if is_v6 {
        return Ipv6Addr::from(number).into();
    }
    // A number of this family is one of 32 bits.
    Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        Range::read(text).expect("a range").0
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ranges_cut_their_own_family() {
        let pieces = Pieces::new(&[
            range("10.0.0.0/8"),
            range("10.1.0.0/16"),
            range("255.0.0.0/8"),
            range("fd00::/8"),
        ]);
        let count = |is_v6: bool| pieces.all().filter(|piece| piece.is_v6 == is_v6).count();
        assert_eq!((count(false), count(true)), (6, 3));
        assert_eq!(pieces.piece_of(ip("10.0.255.255")), pieces.piece_of(ip("10.0.0.0")));
        assert_ne!(pieces.piece_of(ip("10.0.255.255")), pieces.piece_of(ip("10.1.0.0")));
        assert_ne!(
            pieces.piece_of(ip("10.0.0.1")),
            pieces.piece_of(ip("10.2.0.1")),
            "the range between them cuts"
        );
        assert_eq!(pieces.piece_of(ip("fcff::")), pieces.piece_of(ip("::")));
    }

    #[test]
    fn a_piece_has_an_address_outside_the_taken_ranges() {
        let pieces = Pieces::new(&[range("10.0.0.0/8")]);
        let piece = pieces.piece_of(ip("10.3.4.5"));
        assert_eq!(piece.address_outside(&[]), Some(ip("10.0.0.0")));
        let taken = [range("10.0.0.1/32"), range("10.0.0.0/32"), range("10.0.0.2/31"), range("9.0.0.0/8")];
        assert_eq!(piece.address_outside(&taken), Some(ip("10.0.0.4")));
        assert_eq!(piece.address_outside(&[range("0.0.0.0/0")]), None);
        assert_eq!(pieces.piece_of(ip("11.0.0.0")).address_outside(&taken), Some(ip("203.0.113.1")));
        assert_eq!(pieces.piece_of(ip("::1")).address_outside(&[]), Some(ip("2001:db8::1")));
        assert_eq!(piece.address_in(range("10.9.0.0/16")), Some(ip("10.9.0.0")));
        assert_eq!(piece.address_in(range("11.0.0.0/8")), None);
        assert_eq!(piece.address_in(range("::/0")), None);
    }
}
