//! Words: what serde writes is what people and reports are told.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{from_value, json, to_value};
use types::api::taint::Effect;
use types::node::{CniVersion, Mode, RuntimeKind};
use types::policy::{Attach, Phase, Secondary, Side};
use types::status::{ConfState, Reason};

fn is<T: Serialize + DeserializeOwned + PartialEq + Debug + Copy>(all: &[T], as_str: fn(T) -> &'static str) {
    for value in all {
        assert_eq!(to_value(value).expect("a word"), json!(as_str(*value)));
        assert_eq!(from_value::<T>(json!(as_str(*value))).expect("a word"), *value);
    }
}

#[test]
fn a_word_is_written_as_it_is_said() {
    is(&Side::BOTH, Side::as_str);
    is(&Attach::ALL, Attach::as_str);
    is(&Phase::ALL, Phase::as_str);
    is(&Mode::ALL, Mode::as_str);
    is(&CniVersion::ALL, CniVersion::as_str);
    is(&RuntimeKind::ALL, RuntimeKind::as_str);
    is(&Effect::ALL, Effect::as_str);
    is(&Reason::ALL, Reason::as_str);
    is(&ConfState::ALL, ConfState::as_str);
    is(&[Secondary::Works, Secondary::HostRoute, Secondary::Refused], Secondary::as_str);
}
