//! The largest packet that passes, by a search with packets.

use std::net::IpAddr;

/// Bytes of an IPv4 header without options, and of an IPv6 header.
#[must_use]
pub const fn ip_header(target: IpAddr) -> u32 {
    if target.is_ipv6() { 40 } else { 20 }
}

/// The smallest packet for which the search looks: what every host takes, by RFC 791 and RFC 8200.
#[must_use]
pub const fn least_mtu(target: IpAddr) -> u32 {
    if target.is_ipv6() { 1280 } else { 576 }
}

/// What became of one packet of a certain size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketOutcome {
    /// It came back whole.
    Passed,
    /// It did not come back.
    Lost,
    /// A host on the way announced that only packets of this size pass.
    Announced(u32),
}

/// The largest packet that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargestPacket {
    /// Its size in bytes; `None` if none of at least `least` passes.
    pub passes: Option<u32>,
    /// Whether a host on the way announced this size to the sender of a packet that fills the interface.
    pub announced: bool,
}

/// Searches between `least` and `mtu` for the largest packet that passes. A lost packet is sent once more.
pub fn find_largest(mtu: u32, least: u32, mut send: impl FnMut(u32) -> PacketOutcome) -> LargestPacket {
    let mut twice = |size| match send(size) {
        PacketOutcome::Lost => send(size),
        sent => sent,
    };
    let (mut low, mut high, mut next) = (least, mtu, mtu);
    let (mut passes, mut announced_size) = (None, None);
    while low <= high {
        match twice(next) {
            PacketOutcome::Passed => {
                passes = Some(next);
                if announced_size == Some(next) || next == mtu {
                    break;
                }
                low = next + 1;
            }
            PacketOutcome::Announced(size) if (low..next).contains(&size) => {
                // A sender adapts only to an announcement for the largest packets. If these are lost, it never tries the announced size.
                announced_size = (next == mtu).then_some(size).or(announced_size);
                (high, next) = (size, size);
                continue;
            }
            PacketOutcome::Announced(_) | PacketOutcome::Lost => high = next - 1,
        }
        next = low + high.saturating_sub(low) / 2;
    }
    LargestPacket { passes, announced: announced_size.is_some() && announced_size == passes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that swallows what is larger than `real`, and announces `says` where it does.
    fn search(mtu: u32, real: u32, announced_mtu: Option<u32>) -> (LargestPacket, usize) {
        let mut tries = 0;
        let largest = find_largest(mtu, 576, |size| {
            tries += 1;
            match (size <= real, announced_mtu) {
                (true, _) => PacketOutcome::Passed,
                (false, Some(announced_size)) => PacketOutcome::Announced(announced_size),
                (false, None) => PacketOutcome::Lost,
            }
        });
        (largest, tries)
    }

    #[test]
    fn the_largest_size_is_found_in_few_tries() {
        for (mtu, real, announced_mtu, passes, announced) in [
            (1450, 1450, None, Some(1450), false),
            (1450, 1449, None, Some(1449), false),
            (1450, 1400, None, Some(1400), false),
            (9000, 576, None, Some(576), false),
            (9000, 575, None, None, false),
            (1450, 1400, Some(1400), Some(1400), true),
            // Who announces too much is not believed.
            (1450, 1300, Some(1400), Some(1300), false),
            (1450, 1300, Some(1450), Some(1300), false),
            (1450, 1300, Some(100), Some(1300), false),
            (576, 576, None, Some(576), false),
        ] {
            let (largest, tries) = search(mtu, real, announced_mtu);
            assert_eq!(largest, LargestPacket { passes, announced }, "{mtu} {real} {announced_mtu:?}");
            assert!(tries <= 30, "{mtu} {real} {announced_mtu:?}: {tries} tries");
        }
    }

    /// The other end of a veth pair swallows what is larger than it takes, and the next hop announces a little less for the rest.
    #[test]
    fn an_announcement_to_smaller_packets_alone_does_not_count() {
        let largest = find_largest(1450, 576, |size| match size {
            1405.. => PacketOutcome::Lost,
            1401..=1404 => PacketOutcome::Announced(1400),
            _ => PacketOutcome::Passed,
        });
        assert_eq!(largest, LargestPacket { passes: Some(1400), announced: false });
    }

    #[test]
    fn one_lost_packet_means_nothing() {
        let mut lost = Some(());
        let largest =
            find_largest(1450, 576, |_| lost.take().map_or(PacketOutcome::Passed, |()| PacketOutcome::Lost));
        assert_eq!(largest.passes, Some(1450));
    }
}
