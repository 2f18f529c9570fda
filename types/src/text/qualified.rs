//! The spelling of keys and values of labels and taints.
//!
//! No character that is allowed here means anything to systemd, to a shell or to kubelet's lists: no blank, quote, `$`, `%`,
//! backslash or comma gets through, so Crossfade writes keys and values without quotes everywhere.
//!
//! *Source*: `apimachinery/pkg/util/validation/validation.go`: `IsQualifiedName`, `IsDNS1123Subdomain`, `IsValidLabelValue`.

/// The longest name, and the longest value, in bytes.
const MAX_NAME: usize = 63;
/// The longest prefix of a key, in bytes.
const MAX_PREFIX: usize = 253;

/// Checks a key by the syntax of qualified names: `name` or `prefix/name`.
///
/// # Errors
/// The expected syntax.
pub fn key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix
        && !is_subdomain(prefix)
    {
        return Err(format!(
            "expected a DNS name before the `/`, at most {MAX_PREFIX} of a-z, 0-9, `-` and `.`, found {prefix:?}"
        ));
    }
    if name.is_empty() || !is_name(name) {
        return Err(format!(
            "expected a name of 1 to {MAX_NAME} letters, digits, `-`, `_` or `.` with a letter or digit at both ends, found {name:?}"
        ));
    }
    Ok(())
}

/// Checks a value by the syntax of label values. An empty value is valid.
///
/// # Errors
/// The expected syntax.
pub fn value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_name(value) {
        return Ok(());
    }
    Err(format!(
        "expected a value of at most {MAX_NAME} letters, digits, `-`, `_` or `.` with a letter or digit at both ends, found {value:?}"
    ))
}

fn is_name(text: &str) -> bool {
    let end = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= MAX_NAME
        && end(text.bytes().next())
        && end(text.bytes().next_back())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

fn is_subdomain(text: &str) -> bool {
    let is_lower = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= MAX_PREFIX
        && text.split('.').all(|label| {
            let end = |c: Option<u8>| c.is_some_and(is_lower);
            end(label.bytes().next())
                && end(label.bytes().next_back())
                && label.bytes().all(|c| is_lower(c) || c == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values() {
        let (name, long) = ("n".repeat(63), "n".repeat(64));
        let prefix = format!("{}.{}", "p".repeat(126), "p".repeat(126));
        for good in ["a", "A-b_c.d", "x.y/Z", "node.cilium.io/agent-not-ready", &name, &format!("{prefix}/a")]
        {
            assert_eq!(key(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a/b/c",
            "-a",
            "a-",
            "X.y/z",
            "x_y/z",
            "x..y/z",
            "-x/y",
            "a b",
            "a,b",
            "a=b",
            "a:b",
            "a\"",
            "a'",
            "a$b",
            "a%b",
            "a\\b",
            "ä",
            &long,
            &format!("p{prefix}p/a"),
        ] {
            assert!(key(bad).is_err(), "{bad}");
        }
        for good in ["", "true", "a.B_c-1", &name] {
            assert_eq!(value(good), Ok(()), "{good}");
        }
        for bad in
            ["-", "a/b", " ", "a b", "a,b", "a=b", "\"a\"", "'a'", "$a", "%a", "a\\", "a\n", "ü", &long]
        {
            assert!(value(bad).is_err(), "{bad}");
        }
    }
}
