//! Interfaces over rtnetlink: list them, find one, remove one.

use std::io;

use netlink_packet_core::{DecodeError, DefaultNla, Emitable, NlaBuffer, NlasIterator};
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use nix::errno::Errno;

use super::{Rtnl, RtnlRequest, emit};

const RTM_NEWLINK: u16 = 16;

const RTM_DELLINK: u16 = 17;

const RTM_GETLINK: u16 = 18;

const IFLA_ADDRESS: u16 = 1;

const IFLA_IFNAME: u16 = 3;

const IFLA_LINK: u16 = 5;

const IFLA_LINKINFO: u16 = 18;

const IFLA_INFO_KIND: u16 = 1;

const IFLA_EXT_MASK: u16 = 29;

/// Leave the counters out of a link dump: they are most of its bytes.
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;

/// The longest name of an interface, in bytes: IFNAMSIZ less the NUL.
const LONGEST_NAME: usize = 15;

/// One interface, as far as the shim cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// IFF_UP: administratively up (says nothing about the carrier).
    pub(crate) up: bool,
    /// Hardware address; empty where the kind has none.
    pub(crate) mac: Vec<u8>,
    /// `veth`, `bridge`, ...; absent for hardware and `lo`.
    pub(crate) kind: Option<String>,
    /// Index of the interface it hangs on: of one end of a veth pair, the other, in whichever netns that is. Kernels leave out an
    /// index that equals the interface's own.
    pub(crate) link: Option<u32>,
}

impl Link {
    /// Index of the other end; none of what is no end of a veth pair.
    pub(crate) fn peer(&self) -> Option<u32> {
        (self.kind.as_deref() == Some("veth")).then(|| self.link.unwrap_or(self.index))
    }
}

impl Rtnl<'_> {
    /// Every interface of the netns.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut body = emit(&LinkHeader::default());
        body.extend(without_counters());
        self.dump(RTM_GETLINK, &body, RTM_NEWLINK, |payload| parse_link(payload).map(Some))
    }

    /// The interface of this name, if there is one.
    pub(crate) fn link_named(&mut self, name: &str) -> io::Result<Option<Link>> {
        // The kernel calls a name that no interface can have an invalid request.
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
            return Ok(None);
        }
        let body = [emit(&LinkHeader::default()), name_attribute(name)].concat();
        // The kernel also finds an interface by an alternative name (`ip link property add`), which is another name than the one asked for.
        Ok(self.link(body)?.filter(|link| link.name == name))
    }

    /// The interface of this index, if there is one.
    pub(crate) fn link_at(&mut self, index: u32) -> io::Result<Option<Link>> {
        self.link(emit(&LinkHeader { index, ..LinkHeader::default() }))
    }

    fn link(&mut self, mut body: Vec<u8>) -> io::Result<Option<Link>> {
        body.extend(without_counters());
        match self.get(RTM_GETLINK, &body, RTM_NEWLINK, parse_link) {
            Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(None),
            other => other,
        }
    }

    /// Removes one interface; false if it was not there any more.
    pub(crate) fn delete_link(&mut self, index: u32) -> io::Result<bool> {
        self.delete(emit(&LinkHeader { index, ..LinkHeader::default() }))
    }

    /// Removes the interface of this name; false if there is none.
    pub(crate) fn delete_named(&mut self, name: &str) -> io::Result<bool> {
        let mut body = emit(&LinkHeader::default());
        body.extend(name_attribute(name));
        self.delete(body)
    }

    fn delete(&mut self, body: Vec<u8>) -> io::Result<bool> {
        let request = RtnlRequest { message_type: RTM_DELLINK, flags: 0, body };
        match self.batch(&[request])?.pop() {
            None => Ok(true),
            Some((_, error)) if error.raw_os_error() == Some(Errno::ENODEV as i32) => Ok(false),
            Some((_, error)) => Err(error),
        }
    }
}

fn without_counters() -> Vec<u8> {
    emit(&DefaultNla::new(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS.to_ne_bytes().to_vec()))
}

fn name_attribute(name: &str) -> Vec<u8> {
    emit(&DefaultNla::new(IFLA_IFNAME, [name.as_bytes(), &[0]].concat()))
}

fn parse_link(payload: &[u8]) -> Result<Link, DecodeError> {
    let header = LinkHeader::parse(payload)?;
    let mut link = Link {
        index: header.index,
        name: String::new(),
        up: header.flags.contains(LinkFlags::Up),
        mac: Vec::new(),
        kind: None,
        link: None,
    };
    for attribute in NlasIterator::new(payload.get(header.buffer_len()..).unwrap_or_default()) {
        let attribute = attribute?;
        match attribute.kind() {
            IFLA_IFNAME => link.name = text(attribute.value()),
            IFLA_ADDRESS => link.mac = attribute.value().to_vec(),
            IFLA_LINK => link.link = attribute.value().try_into().ok().map(u32::from_ne_bytes),
            IFLA_LINKINFO => link.kind = parse_kind(&attribute)?,
            _ => {}
        }
    }
    Ok(link)
}

fn parse_kind(linkinfo: &NlaBuffer<&[u8]>) -> Result<Option<String>, DecodeError> {
    for attribute in NlasIterator::new(linkinfo.value()) {
        let attribute = attribute?;
        if attribute.kind() == IFLA_INFO_KIND {
            return Ok(Some(text(attribute.value())));
        }
    }
    Ok(None)
}

/// A NUL-terminated string. The kernel does not hold interface names to UTF-8, and one odd name must not hide the others.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}
