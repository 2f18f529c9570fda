//! The secret of one set of agents: what does not bear its mark is not answered, counted or passed on.

use std::fmt;
use std::hash::Hasher as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Bytes of a mark.
pub const MARK: usize = 16;

/// 128 bits for SipHash-2-4, a message authentication code. *Source*: Aumasson and Bernstein, SipHash: a fast short-input PRF.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads 32 hexadecimal digits.
    ///
    /// # Errors
    /// One line, without the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bytes = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        bytes
            .map(|key| Self(key.to_be_bytes()))
            .ok_or_else(|| "a key: expected 32 hexadecimal digits".to_owned())
    }

    /// The mark of a message.
    #[must_use]
    pub fn mark(&self, message: &[u8]) -> [u8; MARK] {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(message);
        hasher.finish128().as_bytes()
    }

    /// A value as one line of JSON behind its mark.
    #[must_use]
    pub fn seal(&self, value: &impl Serialize) -> String {
        let text = serde_json::to_string(value).unwrap_or_default();
        format!("{:032x} {text}\n", u128::from_be_bytes(self.mark(text.as_bytes())))
    }

    /// The value of a sealed line.
    ///
    /// # Errors
    /// One line, if the mark is not that of the text, or the text not such a value.
    pub fn open<T: DeserializeOwned>(&self, line: &str) -> Result<T, String> {
        let (mark, text) = line.trim_end().split_once(' ').ok_or("a line without a mark")?;
        let expected = u128::from_be_bytes(self.mark(text.as_bytes()));
        if u128::from_str_radix(mark, 16) != Ok(expected) {
            return Err("a line with the mark of another key".to_owned());
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_opens_with_its_own_key_only() {
        let key = Key::parse("000102030405060708090a0b0c0d0e0f").expect("a key");
        let line = key.seal(&vec![1, 2, 3]);
        assert_eq!(key.open::<Vec<u32>>(&line), Ok(vec![1, 2, 3]));
        let other = Key::parse("010102030405060708090a0b0c0d0e0f").expect("a key");
        assert!(other.open::<Vec<u32>>(&line).is_err());
        assert!(key.open::<Vec<u32>>(&line.replace('2', "4")).is_err());
        assert!(key.open::<Vec<u32>>("[1,2,3]").is_err());
    }

    #[test]
    fn a_key_is_never_printed() {
        let text = "00ff02030405060708090a0b0c0d0e0f";
        let key = Key::parse(text).expect("a key");
        assert_eq!(format!("{key:?}"), "Key(..)");
        for invalid in ["", "00ff", &text.replace('f', "g"), &format!("+{}", &text[1..])] {
            assert!(Key::parse(invalid).is_err_and(|why| !why.contains("02030405")), "{invalid}");
        }
    }

    /// *Source*: the reference implementation's vectors of SipHash-2-4 with 128 bits.
    #[test]
    fn the_mark_is_that_of_the_paper() {
        let key = Key::parse("000102030405060708090a0b0c0d0e0f").expect("a key");
        assert_eq!(u128::from_be_bytes(key.mark(b"")), 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293);
    }
}
