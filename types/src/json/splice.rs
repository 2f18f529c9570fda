//! Changes one value of a JSON file and no other byte, because people write and read these files.

use serde_json::value::RawValue;

use crate::json::raw::{ObjectError, Spans, object_text, raw_string};

/// The text of an object with `value` at the end of a path of keys.
///
/// A missing key is inserted in front of the others, spelled exactly so.
///
/// # Errors
/// [`NotObject`] if `text`, or a value on the path, is no object.
pub fn splice(text: &str, path: &[&str], value: &RawValue) -> Result<String, ObjectError> {
    let [key, rest @ ..] = path else {
        return Ok(value.get().to_owned());
    };
    object_text(text.as_bytes())?;
    let spans: Spans<'_> = serde_json::from_str(text).map_err(|e| ObjectError::Invalid(e.to_string()))?;
    let (start, end, new) = match spans.0.iter().rev().find(|(name, _)| name == key) {
        Some((_, old)) => {
            // A borrowed raw value is a part of the text it was read from.
            let start = old.get().as_ptr().addr() - text.as_ptr().addr();
            (start, start + old.get().len(), splice(old.get(), rest, value)?)
        }
        None => {
            let start = text.find('{').map_or(0, |brace| brace + 1);
            let comma = if spans.0.is_empty() { "" } else { "," };
            let value = splice("{}", rest, value)?;
            (start, start, format!("{}: {value}{comma}", raw_string(key).get()))
        }
    };
    Ok(format!("{}{new}{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splice_changes_one_value_and_no_other_byte() {
        let value = raw_string("z");
        for (text, expected) in [
            ("{\n  \"a\": 1,\n  \"b\": [ ]\n}\n", "{\n  \"a\": \"z\",\n  \"b\": [ ]\n}\n"),
            ("{\n  \"b\": 1\n}", "{\"a\": \"z\",\n  \"b\": 1\n}"),
            ("{}", "{\"a\": \"z\"}"),
            ("{\"\\u0061\":null}", "{\"\\u0061\":\"z\"}"),
        ] {
            assert_eq!(splice(text, &["a"], &value).expect(text), expected);
        }
        for (text, expected) in [
            ("{ \"a\": { \"b\": 1 } }", "{ \"a\": { \"b\": \"z\" } }"),
            ("{ \"c\": 1 }", "{\"a\": {\"b\": \"z\"}, \"c\": 1 }"),
        ] {
            assert_eq!(splice(text, &["a", "b"], &value).expect(text), expected);
        }
        assert!(splice("{\"a\": 1}", &["a", "b"], &value).is_err());
        assert!(splice("[]", &["a"], &value).is_err());
    }
}
