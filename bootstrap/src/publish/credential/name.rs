//! The name of this node's Node.
//!
//! In this order: what the credential's certificate says, for the API server lets it write on that Node and no other; what
//! node.json or kubelet's `--hostname-override` says; the hostname, as kubelet takes it. With a cloud's names (an in-tree cloud
//! provider ignores the override) the certificate is the only one of them that is right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use types::command::problem::Problem;

/// How the API server's Node authorizer calls the user of a kubelet.
const USER: &[u8] = b"system:node:";
/// `id-at-commonName` (RFC 5280, appendix A) in DER: an object identifier of three bytes, 2.5.4.3.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// Longest name of a Node: a DNS subdomain (RFC 1123).
const MAX_BYTES: usize = 253;

/// The name of this node's Node, by the certificate (PEM), by what was told, by the hostname.
///
/// # Errors
/// The one that counts is no name of a Node.
pub(crate) fn decide(
    certificate: Option<&[u8]>,
    expected: Option<&str>,
    hostname: &str,
) -> Result<String, Problem> {
    let name = certificate
        .and_then(certificate_name)
        .or_else(|| expected.map(str::to_owned))
        .unwrap_or_else(|| hostname.trim().to_lowercase());
    let valid = !name.is_empty()
        && name.len() <= MAX_BYTES
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && !name.starts_with(['-', '.']);
    if valid {
        Ok(name)
    } else {
        Err(Problem::new(format!("the Node's name: expected a DNS subdomain, found {name:?}"))
            .with_place("node.json, kubelet.nodeName")
            .fix("set kubelet.nodeName in node.json"))
    }
}

/// The Node that the first certificate of a PEM file is of. Its subject's common name is looked for, not its structure: no
/// other name in it begins like a kubelet's.
fn certificate_name(pem: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(pem);
    let body = text.split_once("-----BEGIN CERTIFICATE-----")?.1.split_once("-----END CERTIFICATE-----")?.0;
    let der = STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()?;
    der.windows(COMMON_NAME.len()).enumerate().filter(|(_, window)| *window == COMMON_NAME).find_map(
        |(start, _)| {
            // A string of one of several types, its length in one byte: a common name has 64 at most (RFC 5280, ub-common-name).
            let (length, rest) = der.get(start + COMMON_NAME.len() + 1..)?.split_first()?;
            let name = rest.get(..usize::from(*length))?.strip_prefix(USER)?;
            String::from_utf8(name.to_vec()).ok()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Self-signed, subject `O = system:nodes, CN = system:node:ip-10-0-0-1.ec2.internal`.
    const CERTIFICATE: &str = include_str!("../testdata/node.pem");

    #[test]
    fn who_names_the_node() {
        let certificate = Some(CERTIFICATE.as_bytes());
        let of_the_certificate = "ip-10-0-0-1.ec2.internal";
        for (certificate, expected, hostname, name) in [
            (certificate, Some("told"), "host", of_the_certificate),
            (certificate, None, "host", of_the_certificate),
            (Some(b"no certificate".as_slice()), Some("told"), "host", "told"),
            (None, Some("told"), "host", "told"),
            (None, None, " Host.Example\n", "host.example"),
        ] {
            assert_eq!(decide(certificate, expected, hostname).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name_goes_into_no_address() {
        for bad in ["", "../pods", "a/b", "a b", "Ä", "-a", &"a".repeat(254)] {
            assert!(decide(None, Some(bad), "host").is_err(), "{bad}");
        }
    }
}
