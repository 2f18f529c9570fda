//! A range of addresses: a network address and a prefix length.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// A range of addresses without host bits. Two ranges of one family are disjoint, or one contains the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range(IpNetwork);

impl Range {
    /// Reads `ADDRESS/LENGTH`; host bits are cleared. The second value is false if there were some.
    ///
    /// # Errors
    /// Why the text is no range.
    pub fn read(text: &str) -> Result<(Self, bool), String> {
        let network = types::cidr::parse(text)?;
        Ok((Self::from(network), network.ip() == network.network()))
    }

    #[must_use]
    pub fn from_address(address: IpAddr) -> Self {
        Self(IpNetwork::from(address))
    }

    /// Addresses of IPv6.
    #[must_use]
    pub fn is_v6(self) -> bool {
        self.0.is_ipv6()
    }

    /// The prefix length.
    #[must_use]
    pub fn length(self) -> u8 {
        self.0.prefix()
    }

    /// The first and the last address, as numbers.
    #[must_use]
    pub fn ends(self) -> (u128, u128) {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        (number(self.0.network()), number(self.0.broadcast()))
    }

    /// The two halves of the range; none of a single address.
    #[must_use]
    pub fn halves(self) -> Option<[Self; 2]> {
        let length = self.length() + 1;
        let first = IpNetwork::new(self.0.network(), length).ok()?;
        let last = IpNetwork::new(self.0.broadcast(), length).ok()?;
        Some([Self::from(first), Self::from(last)])
    }

    /// The range whose two halves these are.
    pub fn with_other_half(self, other: Self) -> Option<Self> {
        let length = self.length().checked_sub(1).filter(|_| self.length() == other.length())?;
        let whole = Self::from(IpNetwork::new(self.0.network(), length).ok()?);
        (self != other && whole.contains(self) && whole.contains(other)).then_some(whole)
    }

    /// The range of twice the size that contains this one.
    pub fn widen(self) -> Option<Self> {
        let length = self.length().checked_sub(1)?;
        IpNetwork::new(self.0.network(), length).ok().map(Self::from)
    }

    /// Every address of `other` is in this range.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        let ((first, last), (other_first, other_last)) = (self.ends(), other.ends());
        self.is_v6() == other.is_v6() && first <= other_first && other_last <= last
    }

    /// Some address is in both ranges: one of them contains the other.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// How many bits an address has.
    #[must_use]
    pub fn bits(self) -> u8 {
        if self.is_v6() { 128 } else { 32 }
    }

    /// The range of this length in which the address of this number is; none if the family has no such number or length.
    #[must_use]
    pub fn from_start(first: u128, length: u8, is_v6: bool) -> Option<Self> {
        let address: IpAddr =
            if is_v6 { IpAddr::V6(first.into()) } else { IpAddr::V4(u32::try_from(first).ok()?.into()) };
        ipnetwork::IpNetwork::new(address, length).ok().map(Self::from)
    }

    /// The address at this place in the range; none if the range is smaller.
    #[must_use]
    pub fn address(self, position: u128) -> Option<IpAddr> {
        let (first, last) = self.ends();
        let number = first.checked_add(position).filter(|number| *number <= last)?;
        Some(if self.is_v6() {
            IpAddr::V6(number.into())
        } else {
            IpAddr::V4(u32::try_from(number).ok()?.into())
        })
    }
}

impl From<IpNetwork> for Range {
    fn from(network: IpNetwork) -> Self {
        // A prefix length that was read once is valid.
        Self(IpNetwork::new(network.network(), network.prefix()).unwrap_or(network))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared_and_told() {
        // The text of the proposal of Calico to Antrea prints this block; its route table shows 10.10.6.64/26.
        let (range, is_exact) = Range::read("10.10.6.72/26").expect("a range");
        assert_eq!((range.to_string().as_str(), is_exact), ("10.10.6.64/26", false));
        assert_eq!(Range::read("10.10.6.64/26").expect("a range"), (range, true));
        assert!(Range::read("10.10.6.64").is_err());
    }

    #[test]
    fn a_range_has_two_halves() {
        let halves = |text| {
            Range::read(text).expect("a range").0.halves().map(|both| both.map(|item| item.to_string()))
        };
        assert_eq!(halves("0.0.0.0/0"), Some(["0.0.0.0/1".into(), "128.0.0.0/1".into()]));
        assert_eq!(halves("fd00::/127"), Some(["fd00::/128".into(), "fd00::1/128".into()]));
        assert_eq!(halves("10.0.0.1/32"), None);
    }

    #[test]
    fn a_range_contains_smaller_ones_of_its_family() {
        let range = |text| Range::read(text).expect("a range").0;
        assert!(range("10.0.0.0/8").contains(range("10.1.0.0/16")));
        assert!(!range("10.1.0.0/16").contains(range("10.0.0.0/8")));
        assert!(range("fd00::/120").contains(range("fd00::40/122")));
        assert!(!range("::/0").contains(range("10.0.0.0/8")));
    }

    #[test]
    fn ranges_overlap_if_one_contains_the_other() {
        let range = |text| Range::read(text).expect("a range").0;
        for (item, other, expected) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/9", "10.128.0.0/9", false),
            ("0.0.0.0/0", "::/0", false),
        ] {
            assert_eq!(range(item).overlaps(range(other)), expected, "{item} {other}");
            assert_eq!(range(other).overlaps(range(item)), expected, "{other} {item}");
        }
    }
}
