//! One probe or answer on the wire: 40 bytes, the same over UDP and TCP.
//!
//! ```text
//! 0  magic "XFP1"   4  kind (1 probe, 2 answer), then three zero bytes
//! 8  nonce          16 sequence number   24 CLOCK_MONOTONIC at sending   32 identity of the answering pod, 0 in a probe
//! ```
//!
//! Numbers are big-endian. An answerer only answers probes, so two of them cannot keep each other busy.

/// Length of every packet.
pub(crate) const LENGTH: usize = 40;

const MAGIC: [u8; 4] = *b"XFP1";
const PROBE: u8 = 1;
const ANSWER: u8 = 2;

/// A probe, or the answer to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Whether this is the answer.
    pub(crate) is_answer: bool,
    /// The prober's secret for one target, so that nothing old or foreign counts as an answer.
    pub(crate) nonce: u64,
    /// Sequence number, from 1.
    pub(crate) seq: u64,
    /// When the probe was sent.
    pub(crate) sent_ns: u64,
    /// [`identity`] of the pod that answers.
    pub(crate) answerer: u64,
}

impl Packet {
    pub(crate) fn probe(nonce: u64, seq: u64, sent_ns: u64) -> Self {
        Self { is_answer: false, nonce, seq, sent_ns, answerer: 0 }
    }

    /// The answer of the pod `answerer` to this probe.
    pub(crate) fn answered_by(self, answerer: u64) -> Self {
        Self { is_answer: true, answerer, ..self }
    }

    /// The bytes on the wire.
    pub(crate) fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = if self.is_answer { ANSWER } else { PROBE };
        bytes[8..16].copy_from_slice(&self.nonce.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.seq.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.sent_ns.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.answerer.to_be_bytes());
        bytes
    }

    /// Reads exactly one packet; `None` if these bytes are not one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let kind = *bytes.get(4)?;
        if bytes.len() != LENGTH || bytes[..4] != MAGIC || !matches!(kind, PROBE | ANSWER) {
            return None;
        }
        let number = |offset: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[offset..offset + 8]);
            u64::from_be_bytes(word)
        };
        Some(Self {
            is_answer: kind == ANSWER,
            nonce: number(8),
            seq: number(16),
            sent_ns: number(24),
            answerer: number(32),
        })
    }
}

/// A pod's name as a number (FNV-1a, 64 bits), so that an answer says who gave it.
pub(crate) fn identity(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
