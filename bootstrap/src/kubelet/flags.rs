//! Flags on kubelet's command line.

use crate::systemd::unit::Word;

/// One occurrence of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlagValue<'w> {
    pub value: &'w str,
    /// The variable that it comes from.
    pub variable: Option<&'w str>,
}

/// Every occurrence of the flag `name` (without dashes) that takes a value, in order: `--name=value`, `--name value`, and `_` for `-`.
/// What follows a `--` is no flag.
///
/// *Source*: `spf13/pflag`, `parseArgs`; `component-base/cli/flag`, `WordSepNormalizeFunc`.
#[must_use]
pub(crate) fn values<'w>(words: &'w [Word], name: &str) -> Vec<FlagValue<'w>> {
    let mut all = Vec::new();
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        let Some(flag) = word.text.strip_prefix("--") else {
            continue;
        };
        if flag.is_empty() {
            break;
        }
        let (spelt, value) = flag.split_once('=').map_or((flag, None), |(spelt, value)| (spelt, Some(value)));
        if spelt.replace('_', "-") != name {
            continue;
        }
        let value = value.or_else(|| words.next().map(|next| next.text.as_str()));
        all.extend(value.map(|value| FlagValue { value, variable: word.variable.as_deref() }));
    }
    all
}

/// Whether a flag that is true or false is given as false at last. *Source*: Go's `strconv.ParseBool`.
#[must_use]
pub(crate) fn is_off(words: &[Word], name: &str) -> bool {
    let mut is_false = false;
    for word in words {
        let Some(flag) = word.text.strip_prefix("--") else {
            continue;
        };
        let (spelt, value) = flag.split_once('=').unwrap_or((flag, "true"));
        if spelt.replace('_', "-") == name {
            is_false = matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False");
        }
    }
    is_false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Word> {
        line.split(' ').map(|text| Word { text: text.into(), variable: None }).collect()
    }

    #[test]
    fn every_form_of_a_flag() {
        for (line, expected) in [
            ("k --config=/a", &["/a"][..]),
            ("k --config /a --config=/b", &["/a", "/b"]),
            ("k --config= --x", &[""]),
            ("k --config-dir=/d", &[]),
            ("k -config=/a config=/b", &[]),
            ("k --v=2 -- --config=/a", &[]),
            ("k --config", &[]),
            ("--config=/program", &[]),
        ] {
            let line = words(line);
            let config_values: Vec<&str> = values(&line, "config").iter().map(|flag| flag.value).collect();
            assert_eq!(config_values, expected, "{line:?}");
        }
        let line = words("k --node_labels=a=b");
        assert_eq!(values(&line, "node-labels")[0].value, "a=b");
    }

    #[test]
    fn the_last_word_of_a_switch_counts() {
        for (line, is_false) in [
            ("k", false),
            ("k --register-node", false),
            ("k --register-node=false", true),
            ("k --register_node=false --register-node=true", false),
        ] {
            assert_eq!(is_off(&words(line), "register-node"), is_false, "{line}");
        }
    }
}
