//! One line of a record: `SUM JSON\n`.
//!
//! The sum is SipHash-1-3 over the JSON's bytes, sixteen hex digits.

use serde::Serialize;

/// One line of a record.
#[must_use]
pub fn line<T: Serialize>(value: &T) -> Vec<u8> {
    // What is passed through verbatim may be spread over lines, and is by every Go plugin. Outside of strings, where JSON
    // allows no line break as it is, one blank is as good as another.
    let json = types::raw::to_raw(value).get().replace(['\n', '\r'], " ");
    format!("{:016x} {json}\n", sum(json.as_bytes())).into_bytes()
}

/// The JSON of a line that is whole and whose sum is right.
pub(super) fn checked(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    let (written, json) = line.split_at_checked(16)?;
    let json = json.strip_prefix(b" ")?;
    (written == format!("{:016x}", sum(json)).as_bytes()).then_some(json)
}

/// Notices a torn or altered line. Not a signature: who can write here is root.
fn sum(json: &[u8]) -> u64 {
    siphasher::sip::SipHasher13::new().hash(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_that_is_torn_or_altered() {
        let written = line(&123_456_789);
        assert_eq!((written[16], checked(&written)), (b' ', Some(&b"123456789"[..])));
        for end in 0..written.len() {
            assert_eq!(checked(&written[..end]), None, "cut at {end}");
            let torn = [&written[..end], b"\n"].concat();
            assert!(end == written.len() - 1 || checked(&torn).is_none(), "cut at {end}, and ended");
        }
        for at in 0..written.len() {
            let mut altered = written.clone();
            altered[at] ^= 1;
            assert_eq!(checked(&altered), None, "altered at {at}");
        }
        assert_eq!(checked(written.to_ascii_uppercase().as_slice()), None, "we never wrote capitals");
    }
}
