//! Ordered pairs: every value stays the text it was, keys are seen as Go sees them, a splice changes one value.

use serde_json::Value;
use types::json::raw::{ObjectError, RawObject, raw_string};
use types::json::splice::splice;

/// Keys that some program of ours asks for.
const ASKED: [&str; 8] =
    ["name", "cniVersion", "type", "plugins", "prevResult", "runtimeConfig", "ips", "attach"];

/// Checks any bytes as one JSON object.
pub fn check(data: &[u8]) {
    let object = match RawObject::parse(data) {
        Ok(object) => object,
        Err(why) => return refused(data, &why),
    };
    let text = std::str::from_utf8(data).expect("an object is text");
    let written = pairs(text);
    assert_eq!(shown(&object), written, "every pair, in order, byte for byte");
    assert_eq!(object.is_empty(), written.is_empty());
    let again = RawObject::parse(object.to_raw().get().as_bytes()).expect("what we print is an object");
    assert_eq!(shown(&again), written, "printed and read again");
    let own = written.iter().map(|(key, _)| key.as_str()).filter(|key| key.is_ascii());
    for key in ASKED.into_iter().chain(own.take(8)) {
        assert_eq!(object.get(key).map(|raw| raw.get()), go_get(&written, key), "{key:?} as Go sees it");
        changed(&object, &written, key);
        spliced(text, &written, key);
    }
}

fn refused(data: &[u8], why: &ObjectError) {
    let value = serde_json::from_slice::<Value>(data);
    match (why, value) {
        (ObjectError::Invalid(_), Ok(value)) => panic!("{value} is valid"),
        (ObjectError::Null, value) => assert!(value.is_ok_and(|value| value.is_null())),
        (ObjectError::Other(kind), Ok(value)) => assert_eq!(*kind, kind_of(&value)),
        // The library's own reader stops at a depth that ours does not mind.
        (ObjectError::Invalid(_) | ObjectError::Other(_), Err(_)) => {}
    }
    assert!(!why.to_string().contains('\n'), "one line: {why}");
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::String(_) => "a string",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::Null | Value::Object(_) => "neither",
    }
}

/// A key that is set has one meaning, one that is removed none; all else stays.
fn changed(object: &RawObject, written: &[(String, String)], key: &str) {
    let others: Vec<_> = written.iter().filter(|(name, _)| !same_to_go(name, key)).cloned().collect();
    let mut set = object.clone();
    set.set_str(key, "ours");
    let set = shown(&set);
    assert_eq!(go_get(&set, key), Some("\"ours\""));
    assert_eq!(
        set.iter().filter(|(name, _)| same_to_go(name, key)).count(),
        1,
        "{key:?} has a second meaning"
    );
    let kept: Vec<_> = set.into_iter().filter(|(name, _)| !same_to_go(name, key)).collect();
    assert_eq!(kept, others);
    let mut removed = object.clone();
    removed.remove(key);
    assert_eq!(shown(&removed), others);
}

fn spliced(text: &str, written: &[(String, String)], key: &str) {
    let new = splice(text, &[key], &raw_string("ours")).expect("an object");
    let mut expected = written.to_vec();
    match expected.iter().rposition(|(name, _)| name == key) {
        Some(at) => expected[at].1 = "\"ours\"".into(),
        None => expected.insert(0, (key.into(), "\"ours\"".into())),
    }
    assert_eq!(pairs(&new), expected, "{key:?} spliced into {text}");
    let same = new.bytes().zip(text.bytes()).take_while(|(new, old)| new == old).count();
    let tail = text.bytes().rev().zip(new.bytes().rev()).take_while(|(new, old)| new == old).count();
    let longest =
        written.iter().filter(|(name, _)| name == key).map(|(_, value)| value.len()).max().unwrap_or(0);
    assert!(same + tail + longest >= text.len(), "{key:?}: more than one value changed in {text}");
}

/// The pairs of an object of ours.
pub fn shown(object: &RawObject) -> Vec<(String, String)> {
    object.pairs().map(|(key, value)| (key.to_owned(), value.get().to_owned())).collect()
}

/// What Go's decoder takes for `key`: matched by simple case folding, and the last one.
pub fn go_get<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(name, _)| same_to_go(name, key)).map(|(_, value)| value.as_str())
}

/// Whether Go's decoder takes `name` for the field `key`. *Source*: `encoding/json`, `foldName`; `unicode.SimpleFold` has two letters
/// outside of ASCII that fold into it.
pub fn same_to_go(name: &str, key: &str) -> bool {
    let fold = |text: &str| -> String {
        let folded = text.chars().map(|c| match c {
            '\u{212a}' => 'k',
            '\u{17f}' => 's',
            c => c.to_ascii_lowercase(),
        });
        folded.collect()
    };
    fold(name) == fold(key)
}

/// The pairs of a valid object, cut out of its text without a JSON library.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let bytes = text.as_bytes();
    let mut at = skip_blanks(bytes, 0) + 1;
    let mut pairs = Vec::new();
    loop {
        at = skip_blanks(bytes, at);
        match bytes[at] {
            b'}' => return pairs,
            b',' => at += 1,
            _ => {
                let end = end_of_value(bytes, at);
                let key = serde_json::from_str(&text[at..end]).expect("a key");
                let colon = skip_blanks(bytes, end);
                let value = skip_blanks(bytes, colon + 1);
                at = end_of_value(bytes, value);
                pairs.push((key, text[value..at].to_owned()));
            }
        }
    }
}

fn skip_blanks(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| b" \t\r\n".contains(byte)).count()
}

/// Where the value that begins at `at` ends: strings and brackets are followed, anything else goes on to the next delimiter.
fn end_of_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            _ => {
                while at < bytes.len() && !b",:]} \t\r\n".contains(&bytes[at]) {
                    at += 1;
                }
            }
        }
        if depth == 0 {
            return at;
        }
    }
}
