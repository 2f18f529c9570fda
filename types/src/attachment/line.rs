//! One line of a record: `SUM JSON\n`.
//!
//! The sum is SipHash-1-3 over the JSON's bytes, sixteen hex digits.

use serde::Serialize;

/// Formats an [`Intent`](super::Intent) or an [`Event`](super::Event) as one line of a record.
#[must_use]
pub fn line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut json = Box::<str>::from(crate::json::raw::to_raw(value)).into_boxed_bytes();
    // Every Go plugin spreads its result over lines, and the record holds it verbatim. JSON has line breaks only between tokens, where
    // any white space means the same.
    for byte in json.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    [format!("{:016x} ", sum(&json)).as_bytes(), &json, b"\n"].concat()
}

/// The JSON of a line; none if the line is torn or its sum is wrong.
pub(super) fn check(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (written, json) = line.split_at_checked(16)?;
    let json = json.strip_prefix(b" ")?;
    (written == format!("{:016x}", sum(json)).as_bytes()).then_some(json)
}

/// The checksum by which a reader notices a torn or altered line. It is no signature, because only root can write records.
fn sum(json: &[u8]) -> u64 {
    siphasher::sip::SipHasher13::new().hash(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_that_is_torn_or_altered() {
        let written = line(&123_456_789);
        assert_eq!((written[16], check(&written)), (b' ', Some(&b"123456789"[..])));
        for end in 0..written.len() {
            assert_eq!(check(&written[..end]), None, "cut at {end}");
            let torn = [&written[..end], b"\n"].concat();
            assert!(end == written.len() - 1 || check(&torn).is_none(), "cut at {end}, and ended");
        }
        for index in 0..written.len() {
            let mut altered = written.clone();
            altered[index] ^= 1;
            assert_eq!(check(&altered), None, "altered at {index}");
        }
        assert_eq!(check(written.to_ascii_uppercase().as_slice()), None, "we never wrote capitals");
    }
}
