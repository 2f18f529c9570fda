//! Journald logging that never blocks and never fails.
//!
//! Events of `tracing` become datagrams in journald's native format. The shim never waits to send one: if the socket is full, it drops the line.
//! The usual layer for this (`tracing-journald`) waits for room, and a shim that waits for a hung journald delays a pod (measured: ten queued
//! datagrams, the sixth call hangs). Without journald, nothing is logged. Warnings also go to stderr, which runtimes log, by the same rule.
//!
//! *Source*: systemd's "Native Journal Protocol": `KEY=value\n`, or `KEY\n`, length as 64-bit little-endian, bytes, `\n`.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const SOCKET: &str = "/run/systemd/journal/socket";
const IDENTIFIER: &str = "crossfade";
/// The longest value of a field, in bytes.
const MAX_VALUE_BYTES: usize = 1024;
/// The number of bytes that a writable pipe accepts without blocking (man 7 `pipe`, PIPE_BUF).
const PIPE_BUF_BYTES: usize = 4096;

/// Starts to send events. Without journald, nothing is sent.
pub fn init() {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None).ok().map(UnixDatagram::from);
    // A second call in one process changes nothing, which is right.
    let _ = tracing::subscriber::set_global_default(Journal { socket });
}

/// Copies a delegate's stderr to the shim's, as far as that accepts it without waiting.
pub fn pass_on(bytes: &[u8]) {
    let stderr = std::io::stderr();
    for chunk in bytes.chunks(PIPE_BUF_BYTES) {
        let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let ready = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready == 1)
            && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT));
        if !ready || stderr.lock().write_all(chunk).is_err() {
            return;
        }
    }
}

struct Journal {
    socket: Option<UnixDatagram>,
}

impl Subscriber for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = *event.metadata().level();
        let mut entry = Entry::default();
        entry.put("PRIORITY", priority(level));
        entry.put("SYSLOG_IDENTIFIER", IDENTIFIER);
        event.record(&mut entry);
        if let Some(socket) = &self.socket {
            // Without journald, or without room, the event is dropped.
            let _ = socket.send_to(&entry.datagram, SOCKET);
        }
        if level <= Level::WARN {
            let line = format!("{IDENTIFIER}: {}{}\n", entry.message, entry.fields);
            pass_on(line.as_bytes());
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Syslog's number of a level (man 3 `syslog`).
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[derive(Default)]
struct Entry {
    datagram: Vec<u8>,
    message: String,
    fields: String,
}

impl Entry {
    fn put(&mut self, key: &str, value: &str) {
        let end = value.floor_char_boundary(MAX_VALUE_BYTES);
        let value = &value[..end];
        self.datagram.extend_from_slice(key.as_bytes());
        if value.contains('\n') {
            self.datagram.push(b'\n');
            self.datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.datagram.push(b'=');
        }
        self.datagram.extend_from_slice(value.as_bytes());
        self.datagram.push(b'\n');
    }

    fn take(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = to_one_line(value);
            self.put("MESSAGE", value);
            return;
        }
        self.put(&field.name().to_ascii_uppercase(), value);
        // Writing to a String cannot fail.
        let _ = write!(self.fields, " {}={}", field.name(), to_one_line(value));
    }
}

/// The text for stderr, where a line is an entry and a terminal may show it.
fn to_one_line(value: &str) -> String {
    // Characters that reverse the text or break a line, without being control characters (Unicode TR 36, 3.2), are replaced too.
    let is_unseen = |c| matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
    value.replace(|c: char| c.is_control() || is_unseen(c), " ")
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A datagram as journald reads it.
    fn read(mut datagram: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let mut fields = Vec::new();
        while let Some(end) = datagram.iter().position(|byte| b"=\n".contains(byte)) {
            let (key, rest) = datagram.split_at(end);
            let (value, after) = if rest[0] == b'=' {
                let end = rest.iter().position(|byte| *byte == b'\n').expect("an end");
                (&rest[1..end], &rest[end + 1..])
            } else {
                let (length, rest) = rest[1..].split_first_chunk::<8>().expect("a length");
                let (value, rest) =
                    rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("it fits"));
                (value, rest.strip_prefix(b"\n").expect("an end"))
            };
            fields.push((text(key), text(value)));
            datagram = after;
        }
        assert!(datagram.is_empty(), "something follows the last field");
        fields
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn an_entry_is_read_as_it_was_put_whatever_its_values_are(values in prop::collection::vec("[a=\n\u{1b}\u{9b}\u{202e}\u{e9}]{0,8}", 0..5)) {
            let mut entry = Entry::default();
            for value in &values {
                entry.put("KEY", &value.repeat(60));
                let is_heeded = |c: char| c.is_control() || c == '\u{202e}';
                prop_assert!(!to_one_line(value).contains(is_heeded));
            }
            let long = values.iter().map(|value| value.repeat(60));
            let cut = long.map(|value| value[..value.floor_char_boundary(MAX_VALUE_BYTES)].to_owned());
            prop_assert_eq!(read(&entry.datagram), cut.map(|value| ("KEY".to_owned(), value)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_value_with_a_newline_cannot_become_a_field() {
        let mut entry = Entry::default();
        entry.put("A", "x");
        entry.put("B", "y\nPRIORITY=0");
        let mut expected = b"A=x\nB\n".to_vec();
        expected.extend_from_slice(&12u64.to_le_bytes());
        expected.extend_from_slice(b"y\nPRIORITY=0\n");
        assert_eq!(entry.datagram, expected);
    }
}
