//! Inputs: valid more often than not, with the oddities that matter, and ways to break them.

mod calls;
mod files;
mod flows;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Bytes that some check takes.
pub(crate) type Inputs = BoxedStrategy<Vec<u8>>;

/// Structured inputs of the check of that name.
pub(crate) fn inputs(name: &str) -> Inputs {
    let text = match name {
        "call" => calls::call(),
        "conf" => prop_oneof![files::conf(), files::runtime_config()].boxed(),
        "confdir" => files::confdir(),
        "error" => calls::error(),
        "flows" => flows::flows(),
        "inventory" => files::inventory(),
        "json" => object(keys(), value()).boxed(),
        "policy" => files::policy(),
        "record" => return files::record(),
        "result" => calls::result(),
        // Throws of the dice are structured by themselves.
        "history" => return vec(any::<u8>(), 0..200).boxed(),
        other => panic!("no inputs for {other}"),
    };
    text.prop_map(String::into_bytes).boxed()
}

/// An input with bytes changed, removed, doubled or put in, cut off, or joined to itself.
pub(crate) fn broken(inputs: impl Strategy<Value = Vec<u8>> + 'static) -> Inputs {
    let at = any::<prop::sample::Index>;
    let edits = vec((at(), at(), 0..7_u8, select(b"\"\\{}[]:,=; \n\t\0/.~@-+0aAsS\xff\xc5".to_vec())), 1..4);
    (inputs, edits)
        .prop_map(|(mut bytes, edits)| {
            for (first, other, what, byte) in edits {
                if bytes.is_empty() {
                    bytes.push(byte);
                }
                let (first, other) = (first.index(bytes.len()), other.index(bytes.len()));
                let (from, to) = (first.min(other), first.max(other));
                match what {
                    0 => bytes[first] = byte,
                    1 => bytes.insert(first, byte),
                    2 => drop(bytes.remove(first)),
                    3 => bytes.truncate(first),
                    4 => drop(bytes.drain(from..to)),
                    5 => bytes[first] ^= 1 << (byte & 7),
                    _ => {
                        let part = bytes[from..to.min(from + 200)].to_vec();
                        bytes.splice(first..first, part);
                    }
                }
            }
            bytes
        })
        .boxed()
}

type Text = BoxedStrategy<String>;

fn one_of(texts: &[&str]) -> Text {
    select(texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).boxed()
}

/// Keys that mean something, in spellings that Go takes for the same and in some that it does not.
fn keys() -> Text {
    let known = one_of(&[
        "name",
        "cniVersion",
        "type",
        "plugins",
        "prevResult",
        "runtimeConfig",
        "ips",
        "attach",
        "capabilities",
        "a",
        "dns",
        "stateDir",
        "both",
        "networks",
        "version",
        "interfaces",
    ]);
    let spelled = (known, any::<u32>()).prop_map(|(key, how)| {
        let spelled = key.char_indices().map(|(at, c)| match (c, how >> (at % 32) & 1) {
            ('s', 1) if how & 1 == 1 => '\u{17f}',
            ('k', 1) => '\u{212a}',
            (c, 1) => c.to_ascii_uppercase(),
            (c, _) => c,
        });
        spelled.collect::<String>()
    });
    prop_oneof![3 => one_of(&["name", "type", "cniVersion", "prevResult"]), 4 => spelled, 1 => ".{0,6}"]
        .boxed()
}

fn string(text: &str) -> String {
    serde_json::to_string(text).expect("text")
}

/// Any JSON value, with numbers that lose their spelling where they are read as numbers.
fn value() -> Text {
    let leaf = prop_oneof![
        one_of(&[
            "null",
            "true",
            "false",
            "1.50",
            "1e3",
            "-0",
            "12345678901234567890123",
            "0.1",
            "\"1.0.0\"",
            "\"bridge\"",
            "[]",
            "{}"
        ]),
        ".{0,8}".prop_map(|text| string(&text)),
        one_of(&["\"\\u0061\"", "\"a\\u0000b\"", "\"\\ud83d\\ude00\"", "\"/x\""]),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|all| format!("[ {} ]", all.join(" ,"))),
            object(keys(), inner),
        ]
    })
    .boxed()
}

fn object(keys: Text, values: Text) -> Text {
    let blanks = one_of(&["", " ", "\n  ", "\t", "\r\n"]);
    vec((keys, values, blanks), 0..6)
        .prop_map(|pairs| {
            let pairs: Vec<_> = pairs
                .into_iter()
                .map(|(key, value, blank)| format!("{blank}{}{blank}:{blank}{value}{blank}", string(&key)))
                .collect();
            format!("{{{}}}", pairs.join(","))
        })
        .boxed()
}

/// An object that has these pairs, each nearly always, with strange ones among them.
fn with(pairs: Vec<(&'static str, Text)>) -> Text {
    let pairs: Vec<_> = pairs
        .into_iter()
        .map(|(key, value)| {
            prop::option::weighted(0.9, value).prop_map(move |value| Some(format!("\"{key}\":{}", value?)))
        })
        .collect();
    let strange = vec((keys(), value()), 0..2);
    (pairs, strange, any::<bool>())
        .prop_map(|(pairs, strange, first)| {
            let mut all: Vec<String> = pairs.into_iter().flatten().collect();
            let strange = strange.into_iter().map(|(key, value)| format!("{}:{value}", string(&key)));
            let at = if first { 0 } else { all.len() };
            all.splice(at..at, strange);
            format!("{{{}}}", all.join(","))
        })
        .boxed()
}

fn list(item: Text, count: std::ops::Range<usize>) -> Text {
    vec(item, count).prop_map(|all| format!("[{}]", all.join(","))).boxed()
}

fn version() -> Text {
    one_of(&[
        "\"0.3.0\"",
        "\"0.3.1\"",
        "\"0.4.0\"",
        "\"1.0.0\"",
        "\"1.1.0\"",
        "\"0.2.0\"",
        "\"\"",
        "\"not found\"",
    ])
}
