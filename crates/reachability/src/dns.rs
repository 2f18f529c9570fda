//! A DNS query, of which any answer counts.
//!
//! *Source*: RFC 1035, section 4.

/// Bytes of a message's header.
const HEADER: usize = 12;
/// Header flags: recursion desired.
const RECURSE: [u8; 2] = [1, 0];
/// The bit of an answer, in the third byte.
const ANSWER: u8 = 0x80;
/// A query for an IPv4 address, of the Internet.
const TYPE_A_CLASS_IN: [u8; 4] = [0, 1, 0, 1];
/// Longest label of a name, in bytes.
const MAX_LABEL: usize = 63;

/// The query for the address of `name`. Labels that are too long or empty are left out: the answer says that there is no such name, and any answer
/// counts.
#[must_use]
pub fn query(id: [u8; 2], name: &str) -> Vec<u8> {
    let mut message = [&id[..], &RECURSE, &[0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.').filter(|label| (1..=MAX_LABEL).contains(&label.len())) {
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(TYPE_A_CLASS_IN);
    message
}

/// Whether a message answers the query `id`, whatever it says.
#[must_use]
pub fn is_answer(id: [u8; 2], message: &[u8]) -> bool {
    message.len() >= HEADER && message[..2] == id && message[2] & ANSWER != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_spelt_as_the_rfc_says() {
        assert_eq!(
            query([7, 9], "a.bc."),
            *b"\x07\x09\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x02bc\x00\x00\x01\x00\x01"
        );
        assert_eq!(query([7, 9], &"x".repeat(64)).len(), HEADER + 5);
    }

    #[test]
    fn only_an_answer_to_this_very_query_counts() {
        let answer = |id: [u8; 2], flags: u8| [&id[..], &[flags], &[3, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        assert!(is_answer([1, 2], &answer([1, 2], 0x81)), "no such name is an answer, too");
        assert!(!is_answer([1, 2], &answer([1, 3], 0x81)), "another query's");
        assert!(!is_answer([1, 2], &answer([1, 2], 0x01)), "a query");
        assert!(!is_answer([1, 2], &answer([1, 2], 0x81)[..11]), "torn");
    }
}
