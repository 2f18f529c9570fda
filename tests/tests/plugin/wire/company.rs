//! Pods in both-mode beside each other, and connections that stay open meanwhile.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use lab::host::deadline::until;

use crate::attachment::{Attachment, SOON};
use crate::echo::{Protocol, ask, connect};
use crate::matrix::Case;
use crate::packets::PacketWatch;
use crate::remains::{Leave, leave};
use crate::space::Space;
use crate::tables::homes;
use crate::topology::{Kind, Side, Topology, topology};

const HELD_PORT: u16 = 7008;

/// Two pods of one node reach each other on both networks, each from its own address there.
pub(crate) fn two_pods_reach_each_other_on_both(kinds: [Kind; 2], owner: Side, id: &str) -> Result<()> {
    let topology = topology()?;
    let case = Case { owner, ..Case::with_kinds(kinds) };
    let mut pods = Vec::new();
    for number in [1, 2] {
        let name = format!("{id}-{number}");
        let mut pod = case.pod(topology, &name, Space::pod(&name)?)?;
        let watched = PacketWatch::new(&case, &pod)?;
        pod.add(topology)?;
        pod.respond()?;
        pods.push((pod, watched));
    }
    for (client, server) in [(0, 1), (1, 0)] {
        let (from, to) = (&pods[client].0, &pods[server].0);
        for (side, is_ipv4) in Side::BOTH.into_iter().flat_map(|side| [(side, true), (side, false)]) {
            let own = |pod: &Attachment| homes(&case, pod, side, is_ipv4).next().map(|home| home.address);
            let (own, to) = (own(from).context("an address")?, own(to).context("an address")?);
            for protocol in Protocol::BOTH {
                let answer = ask(&from.space, None, to, protocol)?;
                ensure!(answer.seen == own, "{to} should see {own}: {answer:?}");
            }
        }
    }
    for (mut pod, watched) in pods {
        watched.every_packet_at_home(&pod)?;
        drop(watched);
        pod.be_silent()?;
        leave(Leave::Orderly, topology, pod)?;
    }
    Ok(())
}

/// A pod keeps its connections, on every address and in both directions, while others come and go on its node.
pub(crate) fn open_connections_outlive_other_pods(kinds: [Kind; 2], id: &str) -> Result<()> {
    let topology = topology()?;
    let case = Case::with_kinds(kinds);
    let mut pod = case.pod(topology, id, Space::pod(id)?)?;
    pod.add(topology)?;
    pod.settle()?;
    let addresses = pod.addresses();
    let listeners = addresses.iter().map(|address| echo_every_byte(&pod.space, *address));
    let listeners = listeners.collect::<Result<Vec<_>>>()?;
    let mut connections = Vec::new();
    for address in &addresses {
        let to = SocketAddr::from((*address, HELD_PORT));
        for asker in
            [&topology.outside, &topology.node, &topology.peer(case.network(Side::Old), 2)?.pod.space]
        {
            connections.push(asker.inside(|| connect(None, to))?);
        }
    }
    let stop = AtomicBool::new(false);
    let beats: Vec<AtomicU64> = connections.iter().map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        let threads: Vec<_> = connections
            .iter_mut()
            .zip(&beats)
            .map(|(stream, beats)| {
                let stop = &stop;
                scope.spawn(move || beat(stream, beats, stop))
            })
            .collect();
        let done = come_and_go(topology, &case, id, &beats);
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a heart panicked"))?.context("an open connection")?;
        }
        done
    })?;
    drop((connections, listeners));
    leave(Leave::Orderly, topology, pod)
}

/// Others are attached and leave; every connection has a beat before, between and after.
fn come_and_go(topology: &Topology, case: &Case, id: &str, beats: &[AtomicU64]) -> Result<()> {
    let all_beat = || {
        let before: Vec<u64> = beats.iter().map(|beats| beats.load(Ordering::Relaxed)).collect();
        until("a beat of every connection", SOON, || {
            let now = beats.iter().map(|beats| beats.load(Ordering::Relaxed));
            Ok(now.zip(&before).all(|(now, before)| now > before + 1).then_some(()))
        })
    };
    all_beat()?;
    for (number, how) in [Leave::Orderly, Leave::WithoutNetns].into_iter().enumerate() {
        let name = format!("{id}-other{number}");
        let mut other = case.pod(topology, &name, Space::pod(&name)?)?;
        other.add(topology)?;
        all_beat()?;
        leave(how, topology, other)?;
        all_beat()?;
    }
    Ok(())
}

fn beat(stream: &mut TcpStream, beats: &AtomicU64, stop: &AtomicBool) -> Result<()> {
    let mut answer = [0; 1];
    for byte in (0..=u8::MAX).cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        stream.write_all(&[byte]).context("send a beat")?;
        stream.read_exact(&mut answer).context("a beat's answer")?;
        ensure!(answer == [byte], "another beat's answer");
        beats.fetch_add(1, Ordering::Relaxed);
        thread::sleep(std::time::Duration::from_millis(5));
    }
    Ok(())
}

/// Answers every byte with itself, on as many connections as come; ends when the listener's shutdown is dropped.
fn echo_every_byte(space: &Space, address: IpAddr) -> Result<Shut> {
    let listener = space.inside(|| TcpListener::bind((address, HELD_PORT)).context("listen"))?;
    let shut = Shut(listener.try_clone()?);
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let mut byte = [0; 1];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    Ok(shut)
}

/// A listener that ends with this.
struct Shut(TcpListener);

impl Drop for Shut {
    fn drop(&mut self) {
        let _already_ended = nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&self.0),
            nix::sys::socket::Shutdown::Both,
        );
    }
}
