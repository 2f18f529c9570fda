//! One stand-in agent: the program `lab-agent`.
//!
//! The first line on stdin is its spec, every further line an order; each is answered by one line on stdout. When stdin
//! ends, so does the agent, and leaves everything as a killed one would.

use std::io::{self, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::directory::Directory;
use super::grpc::Service;
use super::health::{Page, Socket};
use super::speech::{Action, Event};
use super::{Answer, Spec};

/// How often an agent at its gate looks, in milliseconds.
const GATE_MS: u16 = 10;

/// Runs an agent, inside the mount and net namespaces of process `node` if given, until stdin ends or it is told to leave.
///
/// # Errors
/// The namespaces cannot be entered, or the library is gone in mid-sentence.
pub fn run(node: Option<u32>) -> Result<()> {
    if let Some(pid) = node {
        crate::host::netns::enter(pid).with_context(|| format!("enter the namespaces of process {pid}"))?;
    }
    let mut daemon = Daemon {
        spec: Spec::default(),
        socket: None,
        page: None,
        service: None,
        directory: Directory::default(),
        stage: Stage::Unborn,
        unread: Vec::new(),
    };
    while daemon.stage != Stage::Over {
        daemon.turn()?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Has no spec yet.
    Unborn,
    /// Waits for its gate.
    AtGate,
    Up,
    Over,
}

struct Daemon {
    spec: Spec,
    socket: Option<Socket>,
    page: Option<Page>,
    service: Option<Service>,
    directory: Directory,
    stage: Stage,
    /// The beginning of a line whose end has not come yet.
    unread: Vec<u8>,
}

impl Daemon {
    /// Waits for the next thing to do, and does it.
    fn turn(&mut self) -> Result<()> {
        let stdin = io::stdin();
        let health = self.socket.as_ref().and_then(Socket::fd);
        let page = self.page.iter().flat_map(Page::fds);
        let sources = health.into_iter().chain(page).chain(self.directory.fd());
        let mut fds = vec![PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        fds.extend(sources.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let timeout = match self.stage {
            Stage::AtGate => PollTimeout::from(GATE_MS),
            Stage::Unborn | Stage::Up | Stage::Over => PollTimeout::NONE,
        };
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("wait for something to do"),
        }
        let is_readable = fds.first().and_then(PollFd::any).unwrap_or(false);
        drop(fds);

        if let Some(socket) = &mut self.socket {
            socket.serve();
        }
        if let Some(page) = &mut self.page {
            page.serve()?;
        }
        self.directory.serve()?;
        if self.stage == Stage::AtGate {
            self.look_at_gate()?;
        }
        if is_readable {
            self.listen()?;
        }
        Ok(())
    }

    fn listen(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        let length = nix::unistd::read(io::stdin(), &mut buffer).context("read orders")?;
        if length == 0 {
            self.stage = Stage::Over;
        }
        self.unread.extend_from_slice(&buffer[..length]);
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            if self.stage == Stage::Unborn {
                self.spec = serde_json::from_slice(&line).context("parse the spec")?;
                self.stage = Stage::AtGate;
                if !self.look_at_gate()? {
                    say(&Event::Waiting)?;
                }
            } else {
                let action = serde_json::from_slice(&line).context("parse an order")?;
                let answer = self.obey(action).unwrap_or_else(|error| refused(&error));
                say(&answer)?;
            }
        }
        Ok(())
    }

    /// Comes up if the gate is open; whether it is.
    fn look_at_gate(&mut self) -> Result<bool> {
        if self.spec.gate.as_deref().is_some_and(|gate| !gate.exists()) {
            return Ok(false);
        }
        self.stage = Stage::Up;
        match self.come_up() {
            Ok(()) => say(&Event::Up)?,
            Err(error) => say(&refused(&error))?,
        }
        Ok(true)
    }

    fn come_up(&mut self) -> Result<()> {
        self.socket = self.spec.unix.clone().map(Socket::new).transpose()?;
        self.page = self.spec.http.clone().map(Page::new).transpose()?;
        self.service = self.spec.grpc.clone().map(Service::new).transpose()?;
        if let Some(conf) = self.spec.conf.clone() {
            self.directory.write(conf)?;
        }
        self.directory.exclusive(self.spec.exclusive.clone())
    }

    fn obey(&mut self, action: Action) -> Result<Event> {
        match action {
            Action::Unix { answer } => self.answer_unix(answer)?,
            Action::Http { answer } => {
                let page = self.page.as_mut();
                page.context("the spec has no health page")?.answer(answer)?;
            }
            Action::Grpc { answer } => {
                let service = self.service.as_mut();
                service.context("the spec has no health service over gRPC")?.answer(answer)?;
            }
            Action::Asked => {
                let requests = self.page.as_ref().map(|page| page.requests.clone());
                let requests = requests.unwrap_or_default();
                return Ok(Event::Asked { requests });
            }
            Action::Write(conf) => self.directory.write(conf)?,
            Action::Finish => self.directory.finish()?,
            Action::Exclusive { directory } => self.directory.exclusive(directory)?,
            Action::Taken => {
                let files = self.directory.taken.clone();
                return Ok(Event::Taken { files });
            }
            Action::Leave { remove_conf } => self.leave(remove_conf)?,
        }
        Ok(Event::Done)
    }

    fn answer_unix(&mut self, answer: Answer) -> Result<()> {
        let socket = self.socket.as_mut();
        socket.context("the spec has no health socket")?.answer(answer)
    }

    fn leave(&mut self, remove_conf: bool) -> Result<()> {
        self.stage = Stage::Over;
        if let Some(socket) = &self.socket {
            socket.unlink()?;
        }
        if remove_conf {
            self.directory.unlink()?;
        }
        Ok(())
    }
}

fn refused(error: &anyhow::Error) -> Event {
    let error = format!("{error:#}");
    Event::Refused { error }
}

fn say(event: &Event) -> Result<()> {
    let mut line = serde_json::to_vec(event).context("write an answer")?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line).context("answer")?;
    stdout.flush().context("answer")
}
