//! One user's requests in the API server's own audit log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// How many requests there were, by what they are: `create pods/eviction`. Watches count when they end.
pub type RequestCounts = BTreeMap<String, u64>;

/// An audit event. *Source*: Kubernetes, "kube-apiserver Audit Configuration (v1)".
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    #[serde(default)]
    object_ref: Object,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
}

/// Counts the requests in an audit log, from a byte of it on, and says how long it is now.
///
/// # Errors
/// It cannot be read.
pub fn audited(log: &Path, from: u64) -> Result<(RequestCounts, u64)> {
    use std::io::Seek as _;

    let mut file = File::open(log).with_context(|| format!("{}", log.display()))?;
    file.seek(std::io::SeekFrom::Start(from))?;
    let (mut counts, mut end) = (RequestCounts::new(), from);
    let mut lines = BufReader::new(file);
    let mut line = String::new();
    // A line without its end is still being written.
    while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
        *counts.entry(what(&line)?).or_default() += 1;
        end += line.len() as u64;
        line.clear();
    }
    Ok((counts, end))
}

fn what(line: &str) -> Result<String> {
    let Event { verb, object_ref } = serde_json::from_str(line).with_context(|| line.to_owned())?;
    let Object { resource, subresource } = object_ref;
    let separator = if subresource.is_empty() { "" } else { "/" };
    Ok(format!("{verb} {resource}{separator}{subresource}").trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn requests_are_counted_by_what_they_are_and_only_once() {
        let mut log = tempfile::NamedTempFile::new().expect("a file");
        let evict =
            r#"{"verb":"create","objectRef":{"resource":"pods","subresource":"eviction"},"userAgent":"x"}"#;
        let patch = r#"{"verb":"patch","objectRef":{"resource":"nodes"}}"#;
        write!(log, "{evict}\n{patch}\n{evict}\n{{\"verb\":\"get\"").expect("written");
        let (counts, end) = audited(log.path(), 0).expect("counts");
        let expected = [("create pods/eviction".to_owned(), 2), ("patch nodes".to_owned(), 1)];
        assert_eq!(counts, expected.into());
        writeln!(log, "}}").expect("written");
        let (counts, _) = audited(log.path(), end).expect("counts");
        assert_eq!(counts, [("get".to_owned(), 1)].into());
    }
}
