//! The asking side of an agent: every target once per slot, over UDP and over its held connection.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};

use super::asking::Asking;
use super::flight::{Course, Flight, Outbox};
use super::held::{Aim, HeldConnection};
use super::reactor::{Reactor, Token};
use super::speech::Carrier;
use super::wire::{Packet, identity};

/// Every target and what is under way to it.
#[derive(Debug)]
pub(super) struct Prober {
    asking: Asking,
    targets: BTreeMap<u32, Target>,
    numbers: BTreeMap<u64, u32>,
    next: u32,
    /// Makes the nonces of this agent differ from those of any other and of any earlier one.
    salt: u64,
}

/// One address of one pod, probed from here.
#[derive(Debug)]
struct Target {
    aim: Aim,
    udp: Flight,
    held: HeldConnection,
}

impl Prober {
    /// Probes no pod yet.
    ///
    /// # Errors
    /// No randomness.
    pub(super) fn new() -> Result<Self> {
        let mut salt = [0; 8];
        File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut salt))
            .context("read /dev/urandom")?;
        Ok(Self {
            asking: Asking::default(),
            targets: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next: 0,
            salt: u64::from_ne_bytes(salt),
        })
    }

    /// Probes one more address of `dst` from the next slot on.
    ///
    /// # Errors
    /// It is probed already, or its family is not the source's.
    pub(super) fn add(&mut self, course: Course, source: Option<IpAddr>) -> Result<()> {
        if let Some(source) = source {
            ensure!(
                source.is_ipv4() == course.address.is_ipv4(),
                "cannot send from {source} to {}: choose a source of the same family",
                course.address
            );
        }
        let known = self.targets.values().any(|target| {
            let aim = &target.aim;
            aim.course.dst == course.dst && aim.course.address == course.address && aim.source == source
        });
        ensure!(!known, "{} ({}) is probed already", course.dst, course.address);
        let number = self.next;
        self.next += 1;
        let aim = Aim {
            source,
            nonce: self.salt.wrapping_add(u64::from(number)),
            answerer: identity(&course.dst),
            course,
        };
        self.numbers.insert(aim.nonce, number);
        let target = Target {
            udp: Flight::new(aim.course.clone(), Carrier::Udp),
            held: HeldConnection::new(aim.clone(), Token::Held(number)),
            aim,
        };
        self.targets.insert(number, target);
        Ok(())
    }

    /// Probes no address of `dst` any more; what is under way to it is excused. `None` forgets everybody.
    pub(super) fn forget(&mut self, dst: Option<&str>, out: &mut Outbox) {
        let numbers = &mut self.numbers;
        self.targets.retain(|_, target| {
            let stays = dst.is_some_and(|dst| dst != target.aim.course.dst);
            if !stays {
                target.udp.excuse(out);
                target.held.leave(out);
                numbers.remove(&target.aim.nonce);
            }
            stays
        });
    }

    /// Sends one probe of each kind to each target.
    pub(super) fn send(&mut self, reactor: &Reactor, out: &mut Outbox) {
        for target in self.targets.values_mut() {
            let (seq, sent_ns) = target.udp.launch(out);
            let aim = &target.aim;
            let probe = Packet::probe(aim.nonce, seq, sent_ns);
            let address = aim.course.address;
            if let Err(error) = self.asking.send(probe, address, aim.source, reactor) {
                target.udp.lose(seq, &format!("{error:#}"), out);
            }
            target.held.beat(reactor, out);
        }
    }

    /// Slots passed in which nothing was sent.
    pub(super) fn late(&mut self, slots: u64, out: &mut Outbox) {
        for target in self.targets.values_mut() {
            target.udp.late(slots, out);
            target.held.late(slots, out);
        }
    }

    /// Takes the answers that wait in one UDP socket.
    pub(super) fn read_datagrams(&mut self, socket: u32, out: &mut Outbox) {
        for (packet, from) in self.asking.read(socket) {
            let number = self.numbers.get(&packet.nonce);
            let target = number.and_then(|number| self.targets.get_mut(number));
            if let Some(target) = target.filter(|_| packet.is_answer) {
                target.take(packet, from.ip(), out);
            }
        }
    }

    /// The held connection of one target is ready.
    pub(super) fn connection_ready(&mut self, number: u32, reactor: &Reactor, out: &mut Outbox) {
        if let Some(target) = self.targets.get_mut(&number) {
            target.held.ready(reactor, out);
        }
    }

    /// When the time of the oldest probe under way is up.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let targets = self.targets.values();
        targets.flat_map(|target| [target.udp.due_ns(), target.held.due_ns()]).flatten().min()
    }

    /// Loses what was not answered in time when every socket had been read to the end, at `read_ns`.
    pub(super) fn expire(&mut self, read_ns: u64, out: &mut Outbox) {
        for target in self.targets.values_mut() {
            for seq in target.udp.overdue(read_ns) {
                target.udp.lose(seq, "no answer in time", out);
            }
            target.held.expire(read_ns, out);
        }
        self.asking.retire(read_ns);
    }

    /// Whether nothing is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.targets.values().all(|target| target.udp.is_empty() && target.held.is_settled())
    }
}

impl Target {
    /// An answer counts only from the probed address and by the probed pod.
    fn take(&mut self, packet: Packet, from: IpAddr, out: &mut Outbox) {
        if from != self.aim.course.address {
            self.udp.note(packet.seq, format!("{from} answered in its place"));
        } else if packet.answerer != self.aim.answerer {
            let note = "another pod answered in its place".to_owned();
            self.udp.note(packet.seq, note);
        } else {
            self.udp.answer(packet.seq, out);
        }
    }
}
