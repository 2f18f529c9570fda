//! The text of an error: that of a DEL never holds the words that a runtime takes for success, whatever is quoted in it.

use serde_json::{Value, json};
use shim::call::reply::CniError;
use shim::call::version::error_object;
use types::json::raw::RawObject;
use types::text::quote::quote;

/// What containerd's library looks for, as `strings.Contains` does; any case is refused all the same.
const MEANS_SUCCESS: [&str; 2] = ["not found", "no such file or directory"];

/// Checks any bytes as a delegate's error, and as text that we quote.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (msg, details) = text.split_once('\n').unwrap_or((&text, ""));
    fit_for_del(CniError::new(5, msg).details(details));
    fit_for_del(CniError::new(5, "x").details(msg).details(details));
    // As a delegate's own answer: itself, and with what JSON allows to be escaped.
    if let Some(error) = RawObject::parse(data).ok().and_then(|object| error_object(&object)) {
        assert!(error.code != 0);
        fit_for_del(error);
    }
    let escaped: String = msg.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let object = format!(r#"{{"code":7,"msg":"{escaped}","details":{}}}"#, json!(details));
    let error = error_object(&RawObject::parse(object.as_bytes()).expect("an object")).expect("an error");
    assert_eq!((error.code, &*error.msg, &*error.details), (7, msg, details));
    assert!(!error.log.contains(msg) || msg.len() < 12, "a delegate's words are not for the log");
    fit_for_del(error);
    quoted(data);
}

/// Holds when the error, as DEL reports it, says the same and has none of the words.
pub fn fit_for_del(error: CniError) {
    let clean = error.clone().to_del_error();
    let reply: Value = serde_json::from_str(&clean.to_json("1.0.0")).expect("one JSON document");
    let [msg, details] = ["msg", "details"].map(|key| reply[key].as_str().expect("text").to_owned());
    // As the reference library prints it, which is the text that a runtime searches.
    let message = if details.is_empty() { msg.clone() } else { format!("{msg}; {details}") };
    for words in MEANS_SUCCESS {
        assert!(!message.to_ascii_lowercase().contains(words), "{message:?} means success");
    }
    for (clean, own) in [(&msg, &error.msg), (&details, &error.details)] {
        let unchanged =
            clean.chars().zip(own.chars()).all(|(clean, own)| clean == own || (clean, own) == ('-', ' '));
        assert!(unchanged && clean.len() == own.len(), "{own:?} became {clean:?}");
    }
    assert_eq!((clean.code, &clean.log), (error.code, &error.log));
}

/// Foreign text in a message: one line, bounded.
fn quoted(data: &[u8]) {
    for max in [0, 1, 16, 512] {
        let shown = quote(data, max);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        // A byte that is no text becomes a replacement character of three.
        assert!(shown.len() <= 3 * max + 3, "{max}: {} bytes", shown.len());
    }
}
