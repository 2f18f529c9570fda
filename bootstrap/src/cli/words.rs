//! The words of the settings as values of a command line. Their types know nothing of command lines.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use types::node::{CniVersion, Mode};
use types::policy::{Phase, Side};

/// Where the runtime reads confs. Only node.json can say that the node has no conf of Crossfade's.
pub(super) fn mode() -> impl TypedValueParser<Value = Mode> {
    let words = [
        (Mode::Shared, "The runtime's usual directory, where Crossfade's conf sorts first"),
        (Mode::Private, "A directory of Crossfade's alone, for a node that boots with Crossfade"),
    ];
    choice_parser(words.map(|(mode, help)| (mode, mode.as_str(), help)).into())
}

/// The CNI version of Crossfade's conf.
pub(super) fn cni_version() -> impl TypedValueParser<Value = CniVersion> {
    let words = [
        (CniVersion::V100, "The runtime calls neither STATUS nor GC"),
        (CniVersion::V110, "The runtime polls STATUS, and CRI-O calls GC"),
    ];
    choice_parser(words.map(|(version, help)| (version, version.as_str(), help)).into())
}

/// One of these words: what it means, how it is spelt, and its line of help.
fn choice_parser<T: Copy + Send + Sync + 'static>(
    words: Vec<(T, &'static str, &'static str)>,
) -> impl TypedValueParser<Value = T> {
    let values: Vec<_> = words.iter().map(|(_, word, help)| PossibleValue::new(*word).help(*help)).collect();
    PossibleValuesParser::new(values).try_map(move |text: String| {
        let meant = words.iter().find(|(_, word, _)| *word == text).map(|(meant, _, _)| *meant);
        meant.ok_or_else(|| std::io::Error::other("no such word"))
    })
}

/// A phase of a policy.
pub(super) fn phase(text: &str) -> Result<Phase, String> {
    Phase::parse(text).ok_or_else(|| format!("expected one of {}", Phase::ALL.map(Phase::as_str).join(", ")))
}

/// One of the two networks.
pub(super) fn side(text: &str) -> Result<Side, String> {
    Side::parse(text).ok_or_else(|| "expected old or new".to_owned())
}

/// A key and a value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Pods, by their namespace and their name.
pub(super) fn pod_glob(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(text.to_owned())
        }
        _ => Err("expected NAMESPACE/NAME, in which * stands for any text".into()),
    }
}

/// The socket of a runtime, or `none`.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    let is_path = path.starts_with('/') && path.len() > 1;
    if is_path || text == "none" {
        Ok(text.to_owned())
    } else {
        Err("expected unix:///PATH, an absolute path, or none".into())
    }
}
