//! One pod's probe agent: the program `lab-probe`.
//!
//! One thread, one epoll instance. It enters the pod's netns, answers on [`super::PORT`], and probes the targets that it is given.
//! Orders come as JSON lines on stdin, events go as JSON lines to stdout; when stdin ends, so does the agent.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::clock::{monotonic_ns, ms};
use super::echo::Echo;
use super::flight::{Course, Outbox, write_event};
use super::prober::Prober;
use super::reactor::{Interest, Reactor, Token};
use super::speech::{Action, Event, Order};
use super::wire::identity;

/// Slots between two reports: an agent with the usual slots of 100 ms speaks every 500 ms.
const REPORT_SLOTS: u64 = 5;

/// Runs an agent for the pod `name` in `netns`, with slots of `every_ms` milliseconds, until stdin ends.
///
/// # Errors
/// The netns cannot be entered, the port is taken, or the library is gone in mid-sentence.
pub fn run(name: &str, netns: &Path, every_ms: u64) -> Result<()> {
    let file = File::open(netns).with_context(|| format!("open netns {}", netns.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter netns {}", netns.display()))?;
    let reactor = Reactor::new()?;
    reactor.add(io::stdin(), Token::Stdin, Interest::Read)?;
    let mut agent = Agent {
        echo: Echo::open(identity(name), &reactor)?,
        reactor,
        prober: Prober::new()?,
        out: Outbox::default(),
        unread: Vec::new(),
        slot_ns: ms(every_ms),
        next_slot_ns: monotonic_ns() + ms(every_ms),
        slots: 0,
        running: false,
        pausing: None,
        ended: false,
    };
    agent.tell(&Event::Ready)?;
    while !agent.ended {
        agent.turn()?;
    }
    Ok(())
}

struct Agent {
    reactor: Reactor,
    echo: Echo,
    prober: Prober,
    out: Outbox,
    /// The beginning of an order whose end has not come yet.
    unread: Vec<u8>,
    slot_ns: u64,
    next_slot_ns: u64,
    slots: u64,
    running: bool,
    /// The order to pause that is not done yet.
    pausing: Option<u64>,
    ended: bool,
}

impl Agent {
    /// Waits for the next thing to do, and does it.
    fn turn(&mut self) -> Result<()> {
        let due_ns = [self.echo.due_ns(), self.prober.due_ns()];
        let due_ns = due_ns.into_iter().flatten().min().unwrap_or(u64::MAX);
        let wait_ns = due_ns.min(self.next_slot_ns).saturating_sub(monotonic_ns());
        let wait_ms = u16::try_from(wait_ns.div_ceil(ms(1))).unwrap_or(u16::MAX);
        self.serve(wait_ms)?;
        let now_ns = monotonic_ns();
        self.echo.release(now_ns);
        if now_ns >= self.next_slot_ns {
            self.slot()?;
        } else if self.prober.due_ns().is_some_and(|due_ns| due_ns <= now_ns) {
            self.settle()?;
        }
        Ok(())
    }

    /// Loses what is overdue. Everything that had arrived before is read first, so that what only waited in a socket for
    /// this agent to be run counts as answered. The time up to which everything was read.
    fn settle(&mut self) -> Result<u64> {
        let read_ns = monotonic_ns();
        self.serve(0)?;
        self.prober.expire(read_ns, &mut self.out);
        Ok(read_ns)
    }

    /// Serves every descriptor that is ready within `wait_ms`, reading each to its end.
    fn serve(&mut self, wait_ms: u16) -> Result<()> {
        for token in self.reactor.wait(wait_ms)? {
            match token {
                Token::Stdin => self.read_orders()?,
                Token::Answering(number) => self.echo.read_datagrams(number),
                Token::Listener(number) => self.echo.accept(number, &self.reactor)?,
                Token::Inbound(number) => self.echo.read_connection(number),
                Token::Asking(number) => self.prober.read_datagrams(number, &mut self.out),
                Token::Held(number) => {
                    self.prober.connection_ready(number, &self.reactor, &mut self.out);
                }
            }
        }
        Ok(())
    }

    /// One slot: settles what is overdue, then sends.
    fn slot(&mut self) -> Result<()> {
        let read_ns = self.settle()?;
        let behind_ns = read_ns.saturating_sub(self.next_slot_ns);
        let missed = behind_ns / self.slot_ns;
        self.next_slot_ns += self.slot_ns * (missed + 1);
        self.out.stall_ms = self.out.stall_ms.max(behind_ns / ms(1));
        if self.running {
            self.prober.late(missed, &mut self.out);
            self.prober.send(&self.reactor, &mut self.out);
        }
        if let Some(id) = self.pausing
            && self.prober.is_settled()
        {
            self.pausing = None;
            self.tell(&Event::Done { id })?;
        }
        self.slots += 1;
        if self.slots.is_multiple_of(REPORT_SLOTS) {
            let stall_ms = std::mem::take(&mut self.out.stall_ms);
            self.tell(&Event::Alive { stall_ms })?;
        }
        Ok(())
    }

    fn read_orders(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        let length = nix::unistd::read(io::stdin(), &mut buffer).context("read orders")?;
        self.ended = length == 0;
        self.unread.extend_from_slice(&buffer[..length]);
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            let order: Order = serde_json::from_slice(&line).context("parse an order")?;
            self.obey(order)?;
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> Result<()> {
        let id = order.id;
        let outcome = match order.action {
            Action::Peer { dst, address, source } => self.prober.add(Course { dst, address }, source),
            action => {
                if matches!(action, Action::Pause) {
                    self.pausing = Some(id);
                }
                self.obey_simple(&action);
                Ok(())
            }
        };
        match outcome {
            Err(error) => {
                let error = format!("{error:#}");
                self.tell(&Event::Refused { id, error })
            }
            Ok(()) if self.pausing == Some(id) => Ok(()),
            Ok(()) => self.tell(&Event::Done { id }),
        }
    }

    /// The orders that cannot fail.
    fn obey_simple(&mut self, action: &Action) {
        match action {
            Action::Forget { dst } => self.prober.forget(Some(dst), &mut self.out),
            Action::Run => self.running = true,
            Action::Pause => self.running = false,
            Action::Phase { index } => self.out.phase = *index,
            Action::Hold { ms } => self.echo.hold(*ms),
            Action::Reset => self.echo.reset_all(),
            Action::Leave => {
                self.running = false;
                self.prober.forget(None, &mut self.out);
            }
            Action::Peer { .. } => {}
        }
    }

    /// Says what was counted, then this.
    fn tell(&mut self, event: &Event) -> Result<()> {
        let mut stdout = io::stdout().lock();
        self.out.say(&mut stdout).context("report")?;
        write_event(&mut stdout, event).context("report")?;
        stdout.flush().context("report")
    }
}
