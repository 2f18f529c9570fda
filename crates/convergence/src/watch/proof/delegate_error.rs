//! The part of a delegate's error that `watch` may publish.
//!
//! A plugin's message may hold a token, and the result of a proof goes into status.json, the Node's condition, Events and the journal,
//! which other people read. So of a plugin's error only network, plugin, verb and code are published, as in the journal of the plugin
//! `crossfade`. A file that only root may read keeps the whole answer, which `prove` writes.

use serde_json::Value;
use shim::attachment::conflist::Conflist;
use shim::call::reply::code;

/// Why `verb` failed, by the error that `crossfade` printed; none is not an error of it.
#[must_use]
pub fn public(verb: &str, reply: &Value, list: &Conflist) -> Option<String> {
    let (number, msg) = (reply["code"].as_u64()?, reply["msg"].as_str()?);
    let from =
        |plugin: &&str| msg.starts_with(&format!("network {:?} plugin {plugin:?} ({verb}): ", list.name));
    if let Some(plugin) = list.plugins.iter().map(|plugin| plugin.plugin_type.as_str()).find(from) {
        return Some(format!("{verb}: network {:?} plugin {plugin:?} failed with code {number}", list.name));
    }
    // Another plugin's, one that a plugin started, or a result that is quoted.
    if msg.contains("plugin ") || number == u64::from(code::DECODE) {
        return Some(format!("{verb}: network {:?} failed with code {number}", list.name));
    }
    Some(format!("{verb}: {msg} (code {number})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_of_a_plugin_are_left_out_and_ours_are_told() {
        let conf = json!({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"one"},{"type":"two"}]});
        let list = Conflist::from_resolved(&types::json::raw::to_raw(&conf)).expect("a conf");
        for (code, msg, expected) in [
            (
                11,
                r#"network "n" plugin "two" (ADD): canary"#,
                r#"ADD: network "n" plugin "two" failed with code 11"#,
            ),
            (11, r#"network "n" plugin "three" (ADD): canary"#, r#"ADD: network "n" failed with code 11"#),
            (11, r#"network "n" plugin "two" (DEL): canary"#, r#"ADD: network "n" failed with code 11"#),
            (6, "invalid result: canary", r#"ADD: network "n" failed with code 6"#),
            (101, r#"network "n": no plugs"#, r#"ADD: network "n": no plugs (code 101)"#),
        ] {
            let reply = json!({"code": code, "msg": msg, "details": "canary"});
            assert_eq!(public("ADD", &reply, &list).as_deref(), Some(expected), "{msg}");
        }
        assert_eq!(public("ADD", &Value::Null, &list), None);
    }
}
