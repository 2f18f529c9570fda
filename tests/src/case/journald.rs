//! A stand-in for journald: a socket, and a reader of its native protocol.

use std::{collections::BTreeMap, os::unix::net::UnixDatagram, path::PathBuf};

use anyhow::{Context, Result, ensure};

use super::Case;

/// A journald of the test's own, seen only by the calls it wraps.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    socket: UnixDatagram,
}

impl Journal {
    /// Listens from now on.
    pub fn new(case: &Case) -> Result<Self> {
        let dir = case.make_dir("journal")?;
        let socket = UnixDatagram::bind(dir.join("socket")).context("bind the journal's socket")?;
        socket.set_nonblocking(true)?;
        Ok(Self { dir, socket })
    }

    /// Where it listens.
    pub fn socket_path(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// Runs a call with this journal at /run/systemd/journal.
    pub fn wrapper(&self) -> [String; 6] {
        let script = format!(
            "mkdir -p /run/systemd/journal && mount --bind {} /run/systemd/journal && exec \"$@\"",
            self.dir.display()
        );
        ["unshare", "--mount", "sh", "-c", &script, "journal"].map(str::to_owned)
    }

    /// Everything logged so far, one map of fields per entry, keys in upper case.
    pub fn entries(&self) -> Result<Vec<BTreeMap<String, String>>> {
        let mut entries = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => entries.push(fields(&buffer[..length])?),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(entries),
                Err(error) => return Err(error).context("read the journal's socket"),
            }
        }
    }
}

/// Parses an entry of the native protocol: `KEY=value\n`, or `KEY\n`, a length of 64 bits in little endian, the value, `\n`.
/// Source: systemd's "Native Journal Protocol".
fn fields(mut rest: &[u8]) -> Result<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').context("an entry's line has no end")?;
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        let (key, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(index) => {
                rest = after;
                (&line[..index], &line[index + 1..])
            }
            None => {
                let (length, data) =
                    after.split_first_chunk::<8>().context("a binary field has no length")?;
                let length = usize::try_from(u64::from_le_bytes(*length))?;
                ensure!(data.get(length) == Some(&b'\n'), "a binary field has the wrong length");
                rest = &data[length + 1..];
                (line, &data[..length])
            }
        };
        let key = String::from_utf8(key.to_vec())?;
        ensure!(
            !key.is_empty()
                && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'),
            "journald drops a field called {key:?}"
        );
        fields.insert(key, String::from_utf8_lossy(value).into_owned());
    }
    Ok(fields)
}
