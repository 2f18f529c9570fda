//! Questions and answers as bytes, alike over UDP and TCP. An answer is as long as its question, so agents amplify nothing.

use crate::key::{Key, MARK};

/// Begins every frame: the name and the version of this format.
const MAGIC: [u8; 4] = *b"cfp1";
/// Bytes of a frame without padding.
pub const LENGTH: usize = 32 + MARK;

/// A question or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub is_answer: bool,
    /// In a question: whether its sender has lately heard questions of the agent it asks.
    pub is_heard: bool,
    /// Counts up for each stream.
    pub sequence: u64,
    /// The agent that asks.
    pub asker: u64,
    /// The agent that is asked, 0 where a Service is.
    pub target: u64,
}

impl Frame {
    /// The frame with padding to `length` bytes, or to [`LENGTH`] if that is more.
    #[must_use]
    pub fn encode(&self, key: &Key, length: usize) -> Vec<u8> {
        let length = length.max(LENGTH);
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = u8::from(self.is_answer);
        bytes[5] = u8::from(self.is_heard);
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.asker.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.target.to_be_bytes());
        let mark = key.mark(&bytes[..32]);
        bytes[32..LENGTH].copy_from_slice(&mark);
        bytes
    }

    /// The frame that `bytes` begin with, if its mark is right.
    #[must_use]
    pub fn decode(key: &Key, bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..32)?;
        if header[..4] != MAGIC || *bytes.get(32..LENGTH)? != key.mark(header) {
            return None;
        }
        let number = |at: usize| {
            let part: Option<[u8; 8]> = header.get(at..at + 8).and_then(|part| part.try_into().ok());
            part.map(u64::from_be_bytes)
        };
        Some(Self {
            is_answer: header[4] != 0,
            is_heard: header[5] != 0,
            sequence: number(8)?,
            asker: number(16)?,
            target: number(24)?,
        })
    }

    /// The answer to this question.
    #[must_use]
    pub const fn answer(self) -> Self {
        Self { is_answer: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let key = Key::parse(&"1".repeat(32)).expect("a key");
        let frame = Frame { is_answer: false, is_heard: true, sequence: 7, asker: u64::MAX, target: 3 };
        for length in [0, LENGTH, 1400] {
            let bytes = frame.encode(&key, length);
            assert_eq!(bytes.len(), length.max(LENGTH));
            assert_eq!(Frame::decode(&key, &bytes), Some(frame));
        }
        let answer = Frame { is_answer: true, ..frame };
        assert_eq!(Frame::decode(&key, &frame.answer().encode(&key, 0)), Some(answer));
    }

    #[test]
    fn a_frame_that_was_changed_is_none() {
        let key = Key::parse(&"1".repeat(32)).expect("a key");
        let frame = Frame { is_answer: false, is_heard: true, sequence: 7, asker: 1, target: 3 };
        let bytes = frame.encode(&key, 0);
        for place in 0..LENGTH {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(Frame::decode(&key, &changed), None, "byte {place}");
        }
        let mut later_format = bytes.clone();
        later_format[3] = b'2';
        let mark = key.mark(&later_format[..32]);
        later_format[32..LENGTH].copy_from_slice(&mark);
        assert_eq!(Frame::decode(&key, &later_format), None);
        assert_eq!(Frame::decode(&key, &bytes[..LENGTH - 1]), None);
        assert_eq!(Frame::decode(&Key::parse(&"2".repeat(32)).expect("a key"), &bytes), None);
    }
}
