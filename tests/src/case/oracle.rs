//! An independent reader of the shim's replies: the `cni-plugin` crate's own types.
//!
//! The crate was written by others, against the specification, years before the shim: what it reads out of a reply is
//! not our own opinion of it. It is unmaintained, and this table names where it is stricter or blinder than the
//! specification, so that its limits are not taken for the shim's:
//!
//! - It knows neither STATUS nor GC, and no error code of ours; it is only shown what ADD, VERSION and failures print.
//! - It knows 0.4.0 and 1.0.x. The `version` that an address carries before 1.0.0, and what 1.1.0 added to interfaces and
//!   routes (`mtu`, `socketPath`, `pciID`, `advmss`, `priority`, `table`, `scope`), it drops without a word: an oracle
//!   for what it reads, not for what is absent. Unknown fields at the top are kept, below they are lost.
//! - `dns` and each interface's `sandbox` are obligatory to it, though optional in the specification (Go leaves an empty
//!   one out): where they are absent, they are filled in as empty before it reads.
//! - `details` is obligatory to it in an error, and so is `cniVersion`, which Go's own errors never have. Both are
//!   obligatory in the specification too, so they are not filled in: a shim that leaves them out does not pass.
//! - It reads `msg` by reference, which fails on any text with an escaped character if read from bytes; it is read from
//!   the parsed tree instead.
//! - MAC addresses must be in the form with colons or hyphens, addresses may have host bits.

use anyhow::{Context, Result};
use cni_plugin::reply::{ErrorReply, SuccessReply, VersionReply};
use serde::Deserialize;
use serde_json::{Value, json};

/// A reply, as the `cni-plugin` crate understands it.
#[derive(Debug, Clone)]
pub enum Reply {
    /// The result of ADD.
    Success(Box<SuccessReply>),
    /// The answer to VERSION: the versions that are supported, as they came.
    Version(Vec<String>),
    Error {
        /// The CNI version it was written for.
        cni_version: String,
        code: i32,
        /// The short text.
        msg: String,
        /// The long text.
        details: String,
    },
}

/// Reads the one JSON document a plugin wrote to stdout.
///
/// # Errors
/// The crate's types refuse it, or there is more or less than one document.
pub fn read_reply(stdout: &[u8]) -> Result<Reply> {
    let mut document: Value = serde_json::from_slice(stdout)
        .with_context(|| format!("one JSON document expected: {}", stdout.escape_ascii()))?;
    if document.get("code").is_some() {
        let reply =
            ErrorReply::deserialize(&document).with_context(|| format!("read as an error: {document}"))?;
        return Ok(Reply::Error {
            cni_version: reply.cni_version.to_string(),
            code: reply.code,
            msg: reply.msg.to_owned(),
            details: reply.details,
        });
    }
    if document.get("supportedVersions").is_some() {
        let reply =
            VersionReply::deserialize(&document).with_context(|| format!("read as versions: {document}"))?;
        let versions = reply.supported_versions.iter();
        return Ok(Reply::Version(versions.map(ToString::to_string).collect()));
    }
    fill_in(&mut document);
    let reply =
        SuccessReply::deserialize(&document).with_context(|| format!("read as a result: {document}"))?;
    Ok(Reply::Success(Box::new(reply)))
}

/// Empty values for what only the crate demands.
fn fill_in(document: &mut Value) {
    let Some(top) = document.as_object_mut() else {
        return;
    };
    top.entry("dns").or_insert_with(|| json!({}));
    let interfaces = top.get_mut("interfaces").and_then(Value::as_array_mut);
    for interface in interfaces.into_iter().flatten().filter_map(Value::as_object_mut) {
        interface.entry("sandbox").or_insert_with(|| json!(""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success(text: &str) -> SuccessReply {
        match read_reply(text.as_bytes()) {
            Ok(Reply::Success(reply)) => *reply,
            other => panic!("{text} was read as {other:?}"),
        }
    }

    #[test]
    fn a_result_without_the_optional_parts_is_read() {
        let reply = success(
            r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cali1"},{"name":"eth0","sandbox":"/n"}],
                "ips":[{"address":"10.1.0.5/24","gateway":"10.1.0.1","interface":1}],"vendor":7}"#,
        );
        assert_eq!(reply.interfaces[1].sandbox.to_str(), Some("/n"));
        assert_eq!(reply.ips[0].address.to_string(), "10.1.0.5/24");
        assert_eq!(reply.ips[0].interface, Some(1));
        assert_eq!(reply.specific["vendor"], 7);
    }

    #[test]
    fn an_error_with_quotes_in_it_is_read() {
        let text = r#"{"cniVersion":"1.0.0","code":11,"msg":"network \"old\"","details":"a\nb"}"#;
        match read_reply(text.as_bytes()) {
            Ok(Reply::Error { code, msg, details, .. }) => {
                assert_eq!((code, msg.as_str(), details.as_str()), (11, "network \"old\"", "a\nb"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn versions_are_read() {
        let text = br#"{"cniVersion":"1.1.0","supportedVersions":["0.3.0","1.1.0"]}"#;
        match read_reply(text) {
            Ok(Reply::Version(versions)) => assert_eq!(versions, ["0.3.0", "1.1.0"]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        for text in [
            "",
            "null",
            r#"{"cniVersion":"1.0.0","ips":[{"address":"10.1.0.5"}]} {}"#,
            r#"{"cniVersion":"1.0.0","ips":[{"address":"nowhere"}]}"#,
            r#"{"cniVersion":"1.0.0","ips":[{"gateway":"10.1.0.1"}]}"#,
            r#"{"ips":[]}"#,
            r#"{"cniVersion":"1","ips":[]}"#,
            r#"{"code":7,"msg":"no version","details":""}"#,
            r#"{"cniVersion":"1.0.0","code":"7","msg":"a code in words","details":""}"#,
        ] {
            assert!(read_reply(text.as_bytes()).is_err(), "{text} was read");
        }
    }
}
