//! How the words of the settings are given on a command line. Their types know nothing of command lines.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use types::node::{CniVersion, Mode};

/// Where the runtime reads confs. That it reads none of ours only node.json can say.
pub(super) fn mode() -> impl TypedValueParser<Value = Mode> {
    let words =
        [(Mode::Shared, "In its usual directory, our conf first"), (Mode::Private, "In a directory of ours")];
    one_of(words.map(|(mode, help)| (mode, mode.as_str(), help)).into())
}

/// The version of our conf.
pub(super) fn cni_version() -> impl TypedValueParser<Value = CniVersion> {
    let words = [
        (CniVersion::V100, "Without STATUS and GC"),
        (CniVersion::V110, "With STATUS polling and the runtime's GC"),
    ];
    one_of(words.map(|(version, help)| (version, version.as_str(), help)).into())
}

/// One of these words: what it means, how it is spelt, and its line of help.
fn one_of<T: Copy + Send + Sync + 'static>(
    words: Vec<(T, &'static str, &'static str)>,
) -> impl TypedValueParser<Value = T> {
    let values: Vec<_> = words.iter().map(|(_, word, help)| PossibleValue::new(*word).help(*help)).collect();
    PossibleValuesParser::new(values).try_map(move |text: String| {
        let meant = words.iter().find(|(_, word, _)| *word == text).map(|(meant, _, _)| *meant);
        meant.ok_or_else(|| std::io::Error::other("no such word"))
    })
}
