//! Stand-in CNI agents: late, early, greedy for the conf directory, answering probes.
//!
//! What a CNI's daemon does on a node, apart from networking: it comes when it comes, writes its conf into the
//! runtime's directory (or tears it), answers a health probe in every way one can be answered, renames the confs of
//! others away, goes, and comes back. One `lab-agent` process per agent, told what to do over its stdin by JSON lines;
//! [`Agent`] is the only thing a test needs.

pub mod daemon;
mod directory;
mod grpc;
mod health;
mod session;
mod speech;
mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use session::Session;
use speech::{Action, Event};

/// What an agent does when it comes up, in this order: wait at the gate, answer its probes, write its conf, take the
/// directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Its name, for messages.
    pub name: String,
    /// Nothing happens before this file exists: an agent that comes late.
    pub gate: Option<PathBuf>,
    /// A health socket.
    pub unix: Option<UnixHealth>,
    /// A health page.
    pub http: Option<HttpHealth>,
    /// A health service over gRPC.
    pub grpc: Option<GrpcHealth>,
    /// The conf it writes.
    pub conf: Option<Conf>,
    /// The directory in which it renames every `.conf`, `.conflist` and `.json` but its own conf to `*.cilium_bak`, at
    /// once and again on every event, as Cilium's `cni.exclusive` does.
    pub exclusive: Option<PathBuf>,
}

/// A health socket and how it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnixHealth {
    /// Path of the stream socket.
    pub path: PathBuf,
    /// How a connect ends.
    pub answer: Answer,
}

/// A health page and how it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpHealth {
    /// Where it listens.
    pub address: SocketAddr,
    /// How a request ends.
    pub answer: Answer,
    /// Whether it speaks TLS, with a certificate that it has signed itself, as Antrea's agent does.
    #[serde(default)]
    pub tls: bool,
    /// A header, as `brief: true`, without which it says 503 also when it is ready: Cilium's agent then reports on more than itself.
    #[serde(default)]
    pub header: Option<String>,
}

impl HttpHealth {
    /// A page without TLS that answers every request so.
    #[must_use]
    pub const fn plain(address: SocketAddr, answer: Answer) -> Self {
        Self { address, answer, tls: false, header: None }
    }
}

/// A health service as the gRPC project defines it (`grpc.health.v1`), and how it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcHealth {
    /// Where it listens: the path of a stream socket, or `ADDRESS:PORT`.
    pub place: String,
    /// How a call ends: [`Answer::Ready`] is SERVING, [`Answer::Unavailable`] NOT_SERVING, and [`Answer::Refuse`] a closed port. It has no other.
    pub answer: Answer,
}

/// The ways in which a health probe is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Ready: a socket accepts, a page says 200.
    Ready,
    /// Nothing listens; of a socket, the file is there all the same, as a killed daemon leaves it.
    Refuse,
    /// Never answers: a socket's queue is full, so that a connect waits; a page accepts and says nothing.
    Hang,
    /// Accepts and closes without a word; over TCP, with a reset.
    Reset,
    /// A page says 503. A socket has no such word and accepts.
    Unavailable,
}

/// A conf file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conf {
    /// The file, in the runtime's conf directory.
    pub path: PathBuf,
    pub content: String,
    /// How it gets there.
    pub way: Way,
}

/// How a conf file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// A temporary file in the same directory, then rename.
    Rename,
    /// In place: truncate, then write.
    InPlace,
    /// In place, but only the first half, until [`Agent::finish_conf`] writes the rest.
    Torn,
}

/// A running agent. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    spec: Spec,
    node: Option<u32>,
    session: Session,
}

impl Agent {
    /// Starts an agent, in the mount and net namespace of process `node` if given. Returns when it is up, or, with a gate
    /// that is still shut, when it waits there.
    ///
    /// # Errors
    /// The program is not built, or what the spec asks for fails; the message is the agent's own.
    pub fn start(spec: Spec, node: Option<u32>) -> Result<Self> {
        let session = Session::start(&spec, node)?;
        Ok(Self { spec, node, session })
    }

    /// Waits until an agent with a gate has passed it and is up. So does every order below.
    ///
    /// # Errors
    /// It died, or is not up within 10 s.
    pub fn wait_up(&mut self) -> Result<()> {
        self.session.wait_up()
    }

    /// Changes how the health socket answers.
    ///
    /// # Errors
    /// The spec has no socket, or the agent died.
    pub fn answer_unix(&mut self, answer: Answer) -> Result<()> {
        self.session.order(&Action::Unix { answer })
    }

    /// Changes how the health page answers.
    ///
    /// # Errors
    /// The spec has no page, or the agent died.
    pub fn answer_http(&mut self, answer: Answer) -> Result<()> {
        self.session.order(&Action::Http { answer })
    }

    /// Changes how the health service over gRPC answers.
    ///
    /// # Errors
    /// The spec has no such service, the service has no such answer, or the agent died.
    pub fn answer_grpc(&mut self, answer: Answer) -> Result<()> {
        self.session.order(&Action::Grpc { answer })
    }

    /// The requests for the health page so far: each one's first line and headers, oldest first.
    ///
    /// # Errors
    /// The agent died.
    pub fn requests(&mut self) -> Result<Vec<String>> {
        match self.session.ask(&Action::Asked)? {
            Event::Asked { requests } => Ok(requests),
            other => bail!("{} says {other:?}, expected its requests", self.spec.name),
        }
    }

    /// Writes a conf, now. It is the agent's own from now on.
    ///
    /// # Errors
    /// It cannot be written, or the agent died.
    pub fn write_conf(&mut self, conf: &Conf) -> Result<()> {
        self.session.order(&Action::Write(conf.clone()))
    }

    /// Writes the second half of a conf that was torn.
    ///
    /// # Errors
    /// None is torn, or the agent died.
    pub fn finish_conf(&mut self) -> Result<()> {
        self.session.order(&Action::Finish)
    }

    /// Takes the directory, or with `None` leaves it alone from now on.
    ///
    /// # Errors
    /// It cannot be watched, or the agent died.
    pub fn exclusive(&mut self, directory: Option<&Path>) -> Result<()> {
        let directory = directory.map(Path::to_owned);
        self.session.order(&Action::Exclusive { directory })
    }

    /// The files it renamed away so far, oldest first, by their former path.
    ///
    /// # Errors
    /// The agent died.
    pub fn taken(&mut self) -> Result<Vec<PathBuf>> {
        match self.session.ask(&Action::Taken)? {
            Event::Taken { files } => Ok(files),
            other => bail!("{} says {other:?}, expected what it took", self.spec.name),
        }
    }

    /// Goes away in an orderly manner: its socket and, if `remove_conf`, its confs are unlinked.
    ///
    /// # Errors
    /// It died before.
    pub fn leave(mut self, remove_conf: bool) -> Result<()> {
        self.session.order(&Action::Leave { remove_conf })?;
        self.session.end()
    }

    /// Killed without notice: conf and socket file stay.
    ///
    /// # Errors
    /// It died before.
    pub fn kill(mut self) -> Result<()> {
        self.session.kill()
    }

    /// Killed and started again with the same spec (a gate that exists is open).
    ///
    /// # Errors
    /// As [`Agent::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.session.kill()?;
        self.session = Session::start(&self.spec, self.node)?;
        Ok(())
    }
}
