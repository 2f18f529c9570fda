//! Messages that Linux 6.18 wrote for connections in a network namespace of their own.

use netpol::flows::record;
use netpol::flows::{Flow, FlowEnd, Record};
use netpol::traffic::{Detail as FlowDetail, ICMP, ICMPV6, Kind, TCP, UDP};

use super::*;

/// TCP to the address of a Service, whose pod is 10.244.1.3.
const SERVICE: &str = "020000003400018014000180080001000af40102080002000a60000a1c000280050001000600000006000200a7cd000006000300005000003400028014000180080001000af40103080002000af401021c0002800500010006000000060002001f90000006000300a7cd000008000300000001ae080008000000000008000c00a7c679f108000b0000000001080007000006977f300004802c0001800500010003000000050002000a000000050003000a00000006000400230000000600050023000000";
/// UDP over IPv6, without an answer.
const UDP_V6: &str = "0a0000004c0001802c00018014000300fd00000000000000000000000000000214000400fd0000000000000000000000000000031c0002800500010011000000060002001770000006000300003500004c0002802c00018014000300fd00000000000000000000000000000314000400fd0000000000000000000000000000021c0002800500010011000000060002000035000006000300177000000800030000000008080008000000000008000c00f584594c08000b0000000001080007000000001d";
/// An echo request.
const PING: &str = "020000003c00018014000180080001000af40102080002000af401032400028005000100010000000600040000070000050005000800000005000600000000003c00028014000180080001000af40103080002000af40102240002800500010001000000060004000007000005000500000000000500060000000000080003000000018a080008000000000008000c003ea9957908000b0000000001080007000000001d";
/// An echo request over IPv6.
const PING_V6: &str = "0a000000540001802c00018014000300fd00000000000000000000000000000214000400fd00000000000000000000000000000324000280050001003a000000060007000009000005000800800000000500090000000000540002802c00018014000300fd00000000000000000000000000000314000400fd00000000000000000000000000000224000280050001003a000000060007000009000005000800810000000500090000000000080003000000000a080008000000000008000c00ab462d5508000b0000000001080007000000001d";
/// GRE, which has keys in the place of ports.
const GRE: &str = "020000003400018014000180080001000af40102080002000af401031c000280050001002f000000060002000000000006000300000000003400028014000180080001000af40103080002000af401021c000280050001002f000000060002000000000006000300000000000800030000000188080008000000000008000c00087a4e5008000b0000000001080007000000001d";
/// ESP, which has neither.
const ESP: &str = "020000002400018014000180080001000af40102080002000af401030c00028005000100320000002400028014000180080001000af40103080002000af401020c00028005000100320000000800030000000188080008000000000008000c0022b91fe408000b00000000010800070000000257";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn line(hex: &str) -> String {
    parse(&bytes(hex)).expect("a connection").to_string()
}

#[test]
fn messages_of_the_kernel_are_printed_as_conntrack_prints_them() {
    for (hex, expected) in [
        (
            SERVICE,
            "ipv4 2 tcp 6 src=10.244.1.2 dst=10.96.0.10 sport=42957 dport=80 src=10.244.1.3 dst=10.244.1.2 sport=8080 dport=42957",
        ),
        (
            UDP_V6,
            "ipv6 10 udp 17 src=fd00::2 dst=fd00::3 sport=6000 dport=53 src=fd00::3 dst=fd00::2 sport=53 dport=6000",
        ),
        (
            PING,
            "ipv4 2 icmp 1 src=10.244.1.2 dst=10.244.1.3 type=8 code=0 src=10.244.1.3 dst=10.244.1.2 type=0 code=0",
        ),
        (
            PING_V6,
            "ipv6 10 icmpv6 58 src=fd00::2 dst=fd00::3 type=128 code=0 src=fd00::3 dst=fd00::2 type=129 code=0",
        ),
        (
            GRE,
            "ipv4 2 gre 47 src=10.244.1.2 dst=10.244.1.3 sport=0 dport=0 src=10.244.1.3 dst=10.244.1.2 sport=0 dport=0",
        ),
        (ESP, "ipv4 2 unknown 50 src=10.244.1.2 dst=10.244.1.3 src=10.244.1.3 dst=10.244.1.2"),
    ] {
        assert_eq!(line(hex), expected);
    }
}

/// The reader of `kubectl crossfade policies observe --flows`.
#[test]
fn the_lines_are_read_as_the_flows_that_they_are() {
    let end = |address: &str| FlowEnd::Address(address.parse().expect("an address"), None);
    let (v4, v6) = (["10.244.1.2", "10.244.1.3"], ["fd00::2", "fd00::3"]);
    for (hex, [source, destination], protocol, detail, source_port) in [
        (SERVICE, v4, TCP, FlowDetail::Port(8080), Some(42957)),
        (UDP_V6, v6, UDP, FlowDetail::Port(53), Some(6000)),
        (PING, v4, ICMP, FlowDetail::Message(8, 0), None),
        (PING_V6, v6, ICMPV6, FlowDetail::Message(128, 0), None),
        (GRE, v4, 47, FlowDetail::None, None),
        (ESP, v4, 50, FlowDetail::None, None),
    ] {
        let expected = Flow {
            source: end(source),
            destination: end(destination),
            kind: Kind { protocol, detail, source: source_port },
            has_translated_source: false,
            time: Some("2026-03-01T10:00:00Z".into()),
        };
        let line = format!("[1772359200] {}", line(hex));
        assert_eq!(record::parse(&line), Ok(Record::Flow(expected)), "{line}");
    }
}

#[test]
fn a_connection_is_of_a_pod_that_is_an_end_before_or_behind_the_translation() {
    let connection = parse(&bytes(SERVICE)).expect("a connection");
    for (address, is_end) in
        [("10.244.1.2", true), ("10.96.0.10", true), ("10.244.1.3", true), ("10.244.1.4", false)]
    {
        let addresses = [address.parse().expect("an address")].into();
        assert_eq!(connection.has_any(&addresses), is_end, "{address}");
    }
}

#[test]
fn a_message_that_is_torn_is_no_connection() {
    for hex in [SERVICE, UDP_V6, PING] {
        let message = bytes(hex);
        let whole = parse(&message);
        for length in 0..message.len() {
            let torn = parse(&message[..length]);
            assert!(torn.is_none() || torn == whole, "{length} bytes: {torn:?}");
        }
    }
}

#[test]
fn a_kernel_without_conntrack_and_a_missing_right_are_told_apart() {
    for (errno, words) in [
        (Errno::EINVAL, "this kernel has no conntrack"),
        (Errno::EPROTONOSUPPORT, "this kernel has no conntrack"),
        (Errno::EPERM, "which takes CAP_NET_ADMIN: Operation not permitted"),
    ] {
        let failure = failure(&io::Error::from_raw_os_error(errno as i32));
        let what = &failure.problems[0].what;
        assert!(what.contains(words), "{errno}: {what}");
    }
}
