//! rtnetlink as the shim needs it: dumps, and batches of changes sent in one datagram. The conversation itself is the same with every netlink
//! family, so `crossfade-bootstrap` has it with netfilter as well.
//!
//! Only the attributes that a caller needs are decoded. If something changed during a dump (`lo` came up, for example), the kernel marks
//! the dump as interrupted, and it is repeated. In a batch only the last request asks for an acknowledgement; the kernel reports
//! every request that failed whether asked or not, so a batch of any length costs one reply when all is well.
//!
//! *Source*: netlink(7), rtnetlink(7), and the kernel's Documentation/userspace-api/netlink/intro.rst.

mod conversation;
mod link;

use std::io;
use std::sync::Arc;

use netlink_packet_core::{
    DecodeError, Emitable, ErrorBuffer, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NetlinkBuffer, parse_i32,
};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::budget::Budget;
use crate::host::netns::Netns;

pub use conversation::Conversation;
pub(crate) use link::Link;

/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// The kernel builds dump datagrams of at most this many bytes.
const DATAGRAM_BYTES: usize = 32 * 1024;
/// The number of times that an interrupted dump is repeated before it is an error.
const DUMP_TRIES: u32 = 10;
/// The largest number of entries of one dump. No plugin creates as many objects, but a pod may, and would exhaust the memory of the shim.
const MOST_ENTRIES: usize = 8192;
/// The number of requests in one datagram. Even if the kernel refuses all of them, the replies fit the default receive buffer.
const BATCH_REQUESTS: usize = 64;

/// One request of a batch: message type, flags beside REQUEST, and the message without its netlink header.
#[derive(Debug)]
pub struct RtnlRequest {
    /// The message type, as in `RTM_DELLINK`.
    pub message_type: u16,
    /// Flags beside `NLM_F_REQUEST`.
    pub flags: u16,
    /// The family's own header, and the attributes.
    pub body: Vec<u8>,
}

/// How a dump of more than [`MOST_ENTRIES`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// With an error, because a decision by a part of the entries would be wrong.
    Refused,
    /// Without the other entries.
    LeftOut,
}

/// An rtnetlink socket in one netns, with its budget.
#[derive(Debug)]
pub struct Rtnl<'a> {
    conversation: Arc<Conversation>,
    datagram: Vec<u8>,
    budget: Budget<'a>,
    excess: Excess,
    /// The largest number of entries of one dump.
    most: usize,
    /// The number of times that an interrupted dump is repeated.
    tries: u32,
}

impl<'a> Rtnl<'a> {
    /// A socket in `netns`. Once the budget is used up, every request fails.
    ///
    /// # Errors
    /// As [`Netns::conversation`].
    pub(crate) fn open(netns: &Netns, budget: Budget<'a>) -> io::Result<Self> {
        Ok(Self::with_conversation(netns.conversation()?, budget))
    }

    /// A socket in the host's netns, which this thread is in. The kernel may filter its dumps.
    ///
    /// # Errors
    /// An error of `socket(2)`.
    pub(crate) fn open_host(budget: Budget<'a>) -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        // A kernel without this option returns everything, and the parser filters.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self::with_conversation(Arc::new(Conversation::new(socket)), budget))
    }

    fn with_conversation(conversation: Arc<Conversation>, budget: Budget<'a>) -> Self {
        let datagram = Vec::with_capacity(DATAGRAM_BYTES);
        let (excess, most, tries) = (Excess::Refused, MOST_ENTRIES, DUMP_TRIES);
        Self { conversation, datagram, budget, excess, most, tries }
    }

    /// A socket of this netlink family in the netns that this thread is in, for a caller that has to see all of a node: a dump may have this many
    /// entries, and is repeated this often while others keep changing what it reads.
    ///
    /// # Errors
    /// An error of `socket(2)`.
    pub fn open_node(family: isize, budget: Budget<'a>, most: usize, tries: u32) -> io::Result<Self> {
        Ok(Self {
            most,
            tries,
            ..Self::with_conversation(Arc::new(Conversation::new(Socket::new(family)?)), budget)
        })
    }

    /// Sends all requests in one datagram, of which the kernel does all or none, and waits until it has done the one at `decisive`. *Source*:
    /// the kernel's `nfnetlink_rcv_batch`.
    ///
    /// # Errors
    /// What the kernel says of the first request that it refuses.
    pub fn transaction(&mut self, requests: &[RtnlRequest], decisive: usize) -> io::Result<()> {
        self.budget.check()?;
        let mut datagram = Vec::new();
        let first = self.conversation.last_sequence().wrapping_add(1);
        for (position, request) in requests.iter().enumerate() {
            let ack = if position == decisive { NLM_F_ACK } else { 0 };
            self.push(&mut datagram, request.message_type, request.flags | ack, &request.body);
        }
        let last = self.conversation.last_sequence();
        self.conversation.send(&datagram)?;
        self.receive(first..=last, &mut |message| match message.message_type() {
            NLMSG_ERROR => error_code(message.payload())
                .map(|()| message.sequence_number() == first.wrapping_add(decisive as u32)),
            _ => Ok(false),
        })
    }

    /// The same socket, whose dumps may be incomplete ([`MOST_ENTRIES`]).
    #[must_use]
    pub fn leaving_out_excess(mut self) -> Self {
        self.excess = Excess::LeftOut;
        self
    }

    /// Sends a `request`, and parses its one message of type `reply`.
    pub(crate) fn get<T>(
        &mut self,
        request: u16,
        body: &[u8],
        reply: u16,
        parse: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) -> io::Result<Option<T>> {
        let sequence = self.send_request(request, 0, body)?;
        let mut answer = None;
        self.receive(sequence..=sequence, &mut |message| match message.message_type() {
            kind if kind == reply => {
                answer = Some(parse(message.payload()).map_err(decode_error)?);
                Ok(true)
            }
            NLMSG_ERROR => error_code(message.payload()).map(|()| true),
            _ => Ok(false),
        })?;
        Ok(answer)
    }

    /// Sends a dump `request`, and parses its messages of type `reply`; each message may hold any number of things.
    ///
    /// # Errors
    /// What the kernel says, and a reply that cannot be parsed.
    pub fn dump<T, Parsed: IntoIterator<Item = T>>(
        &mut self,
        request: u16,
        body: &[u8],
        reply: u16,
        parse: impl Fn(&[u8]) -> Result<Parsed, DecodeError>,
    ) -> io::Result<Vec<T>> {
        let mut entries = Vec::new();
        self.dump_each(request, body, reply, &mut |message| {
            match message {
                Some(payload) => entries.extend(parse(payload).map_err(decode_error)?),
                None => entries.clear(),
            }
            Ok(entries.len())
        })?;
        Ok(entries)
    }

    /// Passes the payloads of a dump to `take`, which returns the number of entries so far. None means that the dump begins anew.
    fn dump_each(
        &mut self,
        request: u16,
        body: &[u8],
        reply: u16,
        take: &mut dyn FnMut(Option<&[u8]>) -> io::Result<usize>,
    ) -> io::Result<()> {
        for _ in 0..self.tries {
            let sequence = self.send_request(request, NLM_F_DUMP, body)?;
            let mut count = take(None)?;
            let mut torn = false;
            let (excess, most) = (self.excess, self.most);
            self.receive(sequence..=sequence, &mut |message| {
                torn |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    NLMSG_DONE => done_code(message.payload()).map(|()| true),
                    NLMSG_ERROR => error_code(message.payload()).map(|()| true),
                    // The kernel sends the rest anyway.
                    kind if kind == reply && count >= most => match excess {
                        Excess::LeftOut => Ok(false),
                        Excess::Refused => Err(too_much_error(most)),
                    },
                    kind if kind == reply => {
                        count = take(Some(message.payload()))?;
                        Ok(false)
                    }
                    _ => Ok(false),
                }
            })?;
            if !torn {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::Interrupted, "the netns keeps changing while it is read"))
    }

    /// Sends all requests in order, also after one has failed. Returns those that failed, by position.
    ///
    /// # Errors
    /// The conversation itself failed.
    pub fn batch(&mut self, requests: &[RtnlRequest]) -> io::Result<Vec<(usize, io::Error)>> {
        let mut failed = Vec::new();
        for (nth, chunk) in requests.chunks(BATCH_REQUESTS).enumerate() {
            self.budget.check()?;
            let mut datagram = Vec::new();
            let first = self.conversation.last_sequence().wrapping_add(1);
            for (position, request) in chunk.iter().enumerate() {
                let ack = if position + 1 == chunk.len() { NLM_F_ACK } else { 0 };
                self.push(&mut datagram, request.message_type, request.flags | ack, &request.body);
            }
            let last = self.conversation.last_sequence();
            self.conversation.send(&datagram)?;
            self.receive(first..=last, &mut |message| {
                if message.message_type() != NLMSG_ERROR {
                    return Ok(false);
                }
                let sequence = message.sequence_number();
                if let Err(error) = error_code(message.payload()) {
                    failed.push((nth * BATCH_REQUESTS + (sequence - first) as usize, error));
                }
                Ok(sequence == last)
            })?;
        }
        Ok(failed)
    }

    /// Sends one request in a datagram of its own, and returns its sequence number.
    fn send_request(&self, request: u16, flags: u16, body: &[u8]) -> io::Result<u32> {
        let mut datagram = Vec::with_capacity(HEADER_BYTES + body.len());
        let sequence = self.push(&mut datagram, request, flags, body);
        self.conversation.send(&datagram).map(|()| sequence)
    }

    /// Appends one message to a datagram, and returns its sequence number.
    fn push(&self, datagram: &mut Vec<u8>, message_type: u16, flags: u16, body: &[u8]) -> u32 {
        let sequence = self.conversation.next_sequence();
        let start = datagram.len();
        datagram.resize(start + HEADER_BYTES, 0);
        datagram.extend_from_slice(body);
        let mut header = NetlinkBuffer::new(&mut datagram[start..]);
        header.set_length((HEADER_BYTES + body.len()) as u32);
        header.set_message_type(message_type);
        header.set_flags(flags | NLM_F_REQUEST);
        header.set_sequence_number(sequence);
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        sequence
    }

    /// Passes the kernel's messages with a sequence number in `ours` to `take` until it returns true.
    fn receive(
        &mut self,
        ours: std::ops::RangeInclusive<u32>,
        take: &mut dyn FnMut(&NetlinkBuffer<&[u8]>) -> io::Result<bool>,
    ) -> io::Result<()> {
        loop {
            self.budget.check()?;
            self.datagram.clear();
            let (length, sender) =
                match self.conversation.socket().recv_from(&mut self.datagram, nix::libc::MSG_TRUNC) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    received => received?,
                };
            if length > self.datagram.len() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("rtnetlink datagram of {length} bytes, expected at most {DATAGRAM_BYTES}"),
                ));
            }
            if sender.port_number() != 0 {
                continue; // only the kernel has port 0; any other process may write to a netlink socket
            }
            let mut rest = self.datagram.as_slice();
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(decode_error)?;
                if ours.contains(&message.sequence_number()) && take(&message)? {
                    self.conversation.note_answered();
                    return Ok(());
                }
                let length = (message.length() as usize).next_multiple_of(4);
                rest = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

/// The bytes of a message, an attribute or a header.
#[must_use]
pub fn emit(part: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; part.buffer_len()];
    part.emit(&mut bytes);
    bytes
}

/// Parses an NLMSG_ERROR. Code 0 is an acknowledgement.
fn error_code(payload: &[u8]) -> io::Result<()> {
    match ErrorBuffer::new_checked(payload).map_err(decode_error)?.code() {
        None => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.get().wrapping_neg())),
    }
}

/// Parses an NLMSG_DONE. A dump that failed half-way ends with a negative errno.
fn done_code(payload: &[u8]) -> io::Result<()> {
    match payload.get(..4).map(parse_i32) {
        Some(Ok(code)) if code < 0 => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        _ => Ok(()),
    }
}

fn too_much_error(most: usize) -> io::Error {
    let why = format!("more than {most} of one kind (interfaces, addresses, routes, rules or connections)");
    io::Error::new(io::ErrorKind::FileTooLarge, why)
}

fn decode_error(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
