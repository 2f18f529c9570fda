//! Lists and ranges of addresses in JSON, for readers.

use std::net::IpAddr;

use serde_json::Value;

/// The elements of a list; none where there is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Whether an address is in a range, bit by bit. An address is the range that it is alone.
pub(crate) fn inside(range: &Value, address: IpAddr) -> bool {
    let text = range.as_str().expect("a range");
    let (network, length) =
        text.split_once('/').unwrap_or((text, if text.contains(':') { "128" } else { "32" }));
    let network: IpAddr = network.parse().expect("an address");
    let length: usize = length.parse().expect("a length");
    let bits = |address: IpAddr| -> Vec<bool> {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0)).collect()
    };
    network.is_ipv6() == address.is_ipv6() && bits(network)[..length] == bits(address)[..length]
}
