//! The rule for a DEL that failed only because the pod's netns is gone: a pure decision.
//!
//! A delegate may fail for ever on a netns that will never come back. cilium-cni up to 1.17.5 deletes the endpoint and then
//! reports `opening netns pinned at PATH: open PATH: no such file or directory`. Runtimes take such words for success. The
//! shim keeps these words from the runtimes, so it has to draw the conclusion itself. Otherwise the pod could never be deleted.
//!
//! The words alone prove nothing: `dial unix /run/agent.sock: connect: no such file or directory` is an agent that is down,
//! and what it holds would leak. So a message counts only if it is a single error, is about a network namespace, and names exactly the path that the
//! delegate got, and no other path. The caller checks before that the netns is gone ([`crate::host::netns::is_gone`]).

use crate::call::reply::CniError;

/// How much a plugin had released before its DEL failed on a missing netns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedStep {
    /// Everything that it keeps, by the plugin's source.
    Released,
    /// An unknown part.
    Unknown,
}

/// Messages that only one CNI writes, and only after it has released everything: the profile, and the text before the path.
/// *Source*: cilium, `plugins/cilium-cni/cmd/cmd.go`, `Del`: the endpoint is deleted before the netns is opened.
const OF_PROFILES: [(&str, &str); 1] = [("cilium", "opening netns pinned at ")];

/// The texts of an error about a path that does not exist: Go's, then Rust's.
const ABSENT: [&str; 2] = [": no such file or directory", ": no such file or directory (os error 2)"];

/// System calls, as errors name them, that are made on a netns before anything is done in it.
const OPERATIONS: [&str; 5] = ["open", "stat", "lstat", "statfs", "failed to statfs"];

/// The longest message that is read, in bytes. One error about one path is far shorter.
const MAX_BYTES: usize = 4096;

/// Decides about the error of a plugin's DEL in a leg of this `profile`; `netns_path` is the CNI_NETNS that the plugin was given, where
/// certainly no netns is. None: the failure is about something else, or may be.
#[must_use]
pub(super) fn only_netns_was_missing(
    profile: &str,
    netns_path: &str,
    error: &CniError,
) -> Option<FailedStep> {
    let about = |text: &str| is_about(text, netns_path);
    let details = error.details.trim();
    if !about(error.msg.trim()) || !(details.is_empty() || about(details)) {
        return None;
    }
    let own_words = OF_PROFILES.iter().any(|(name, words)| {
        *name == profile && without_wrapping(error.msg.trim()).starts_with(&format!("{words}{netns_path}: "))
    });
    Some(if own_words { FailedStep::Released } else { FailedStep::Unknown })
}

/// Whether `text` is one error, about the netns at `netns_path`, which is not there.
fn is_about(text: &str, netns_path: &str) -> bool {
    // Several errors are joined by line ends, and another one of them may matter.
    if text.len() > MAX_BYTES || text.contains(char::is_control) {
        return false;
    }
    let text = without_wrapping(text);
    let lower = text.to_ascii_lowercase();
    // ASCII lower-casing keeps byte offsets.
    let cut = |end: &str| lower.ends_with(end).then(|| &text[..text.len() - end.len()]);
    if let Some(context) = ABSENT.iter().find_map(|end| cut(end)) {
        let operation = text_before_path(context, netns_path).and_then(text_before_operation);
        return operation
            .or_else(|| text_before_path(context, netns_path))
            .is_some_and(|rest| names_netns(rest, netns_path));
    }
    let direct = [": not found", " not found"].iter().find_map(|end| cut(end));
    direct
        .and_then(|context| text_before_path(context, netns_path))
        .is_some_and(|rest| names_netns(rest, netns_path))
}

/// The message without the text that the reference library wraps around every delegate's error.
fn without_wrapping(mut text: &str) -> &str {
    while let Some(rest) = text.strip_prefix("plugin type=\"") {
        let Some((who, error)) = rest.split_once(" failed (delete): ") else { break };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "\"= _.-".contains(c);
        if !who.chars().all(is_plain) {
            break;
        }
        text = error;
    }
    text
}

/// `text` up to the path at its end, which is quoted or stands for itself.
fn text_before_path<'a>(text: &'a str, netns_path: &str) -> Option<&'a str> {
    let quoted = text.strip_suffix(&format!("{netns_path:?}"));
    let before = quoted.or_else(|| text.strip_suffix(netns_path))?;
    before.ends_with(' ').then_some(before)
}

/// `text` up to the system call at its end: `opening netns: open `.
fn text_before_operation(text: &str) -> Option<&str> {
    let (before, operation) = text.trim_end().rsplit_once(": ")?;
    let named = OPERATIONS.iter().any(|candidate| candidate.eq_ignore_ascii_case(operation));
    named.then_some(before)
}

/// Whether these are plain words about a network namespace and, but for `netns_path`, name nothing: no other path, no second error,
/// no peer of a connection.
fn names_netns(words: &str, netns_path: &str) -> bool {
    let lower = words.to_ascii_lowercase();
    let netns_path = netns_path.to_ascii_lowercase();
    let rest = if netns_path.is_empty() { lower } else { lower.replace(&netns_path, "") };
    let speaks_of_it = ["netns", "network namespace", "net ns"].iter().any(|name| rest.contains(name));
    let else_where =
        ["dial", "connect", "socket", "agent", "daemon", "server", "refused", "timeout", "deadline", " and "];
    speaks_of_it
        && !rest.contains(|c: char| "/\\:;,|".contains(c))
        && !else_where.iter().any(|word| rest.contains(word))
}

#[cfg(test)]
mod tests;
