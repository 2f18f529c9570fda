//! Addresses with a prefix length, in the form that every CNI reads.

use ipnetwork::IpNetwork;

/// Reads `ADDRESS/LENGTH`, host bits kept.
///
/// An address without a length, or with a netmask, is an error: Go programs cannot read it (`net.ParseCIDR`), so neither a delegate's result nor a
/// policy may have it.
///
/// # Errors
/// Why the text is invalid.
pub fn parse(text: &str) -> Result<IpNetwork, String> {
    let length = text.split_once('/').map(|(_, length)| length).unwrap_or_default();
    if length.is_empty() || length.len() > 3 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("expected ADDRESS/LENGTH".into());
    }
    text.parse().map_err(|e| format!("{e}; expected ADDRESS/LENGTH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_decimal_length_is_one() {
        for good in ["10.0.0.5/24", "0.0.0.0/0", "fd00::5/128", "::ffff:10.0.0.5/120"] {
            assert_eq!(parse(good).map(|network| network.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "10.0.0.5",
            "10.0.0.5/",
            "10.0.0.5/33",
            "10.0.0.5/255.0.0.0",
            "10.0.0.5/+8",
            "010.0.0.5/8",
            "fe80::1%0/64",
            "",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
