//! One line of a record: `SUM JSON\n`.
//!
//! Written is SipHash-1-3 over the JSON's bytes, sixteen hex digits. Read is also what the first of our programs wrote, CRC-32 in eight
//! digits: a record may be older than the program that has to delete it, and one file may hold lines of both.

use serde::Serialize;

/// CRC-32 as in IEEE 802.3, bits reversed.
const CRC32_POLYNOMIAL: u32 = 0xedb8_8320;

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
    let after = |digits: usize| {
        let (written, json) = line.split_at_checked(digits)?;
        json.strip_prefix(b" ").map(|json| (written, json))
    };
    if let Some((written, json)) = after(16)
        && written == format!("{:016x}", sum(json)).as_bytes()
    {
        return Some(json);
    }
    let (written, json) = after(8)?;
    (written == format!("{:08x}", crc32(json)).as_bytes()).then_some(json)
}

/// Notices a torn or altered line. Not a signature: who can write here is root.
fn sum(json: &[u8]) -> u64 {
    siphasher::sip::SipHasher13::new().hash(json)
}

/// Bit by bit: few records are that old, and a table would be as large as all of this module.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ CRC32_POLYNOMIAL } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sums_are_read_and_the_newer_one_is_written() {
        assert_eq!(checked(b"cbf43926 123456789\n"), Some(&b"123456789"[..]), "the catalogued check value");
        assert_eq!(checked(b"CBF43926 123456789\n"), None, "we never wrote capitals");
        let written = line(&7);
        assert_eq!((written[16], checked(&written)), (b' ', Some(&b"7"[..])));
        for torn in [&b""[..], b"\n", b"cbf43926 123456789", b"cbf43926 12345678\n", b"cbf43926\n"] {
            assert_eq!(checked(torn), None);
        }
    }
}
