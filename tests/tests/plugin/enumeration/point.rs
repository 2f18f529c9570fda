//! A point: one system call of one verb in one mode and state, what is done to it, and how the runtime goes on.
//!
//! Written and read as `VERB MODE STATE NAME:NTH FAULT RUNTIME`, for example `ADD both fresh fdatasync:1 ENOSPC dels`.

use std::{fmt, str::FromStr};

use anyhow::{Context, Result, bail};

use crate::mode::Mode;

/// The verbs: those of CNI, and two of the plugin's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Add,
    Del,
    Check,
    Gc,
    Status,
    Version,
    Join,
    Leave,
}

impl Verb {
    pub(crate) const ALL: [Self; 8] =
        [Self::Add, Self::Del, Self::Check, Self::Gc, Self::Status, Self::Version, Self::Join, Self::Leave];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
            Self::Join => "JOIN",
            Self::Leave => "LEAVE",
        }
    }
}

/// The state that the call finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Nothing is there, not even our directories.
    Fresh,
    /// The pod is attached.
    Attached,
    /// The ADD, or the JOIN, was killed while its second network was at work.
    Half,
    /// The pod is attached and has lost its host routes.
    Lost,
}

impl State {
    const ALL: [Self; 4] = [Self::Fresh, Self::Attached, Self::Half, Self::Lost];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Attached => "attached",
            Self::Half => "half",
            Self::Lost => "lost",
        }
    }
}

/// What is done to the system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The process is killed before the call does anything.
    Kill,
    /// The call does nothing and fails so.
    Error(&'static str),
    /// The process gets this signal before the call.
    Signal(&'static str),
}

impl Fault {
    pub(crate) const ERRORS: [Self; 5] = [
        Self::Error("ENOSPC"),
        Self::Error("EIO"),
        Self::Error("EROFS"),
        Self::Error("EMFILE"),
        Self::Error("EINTR"),
    ];
    pub(crate) const SIGNALS: [Self; 3] =
        [Self::Signal("SIGTERM"), Self::Signal("SIGINT"), Self::Signal("SIGHUP")];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Error(name) | Self::Signal(name) => name,
        }
    }
}

/// How the runtime goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runtime {
    /// With the DELs that runtimes send.
    Dels,
    /// With the same call once more, and then the DELs.
    Retries,
    /// Not at all: the netns goes and only the sweep is left.
    Forgets,
    /// With DELs that come while the delegate with this number, counted from 0, still works on its ADD.
    Overtakes(usize),
}

impl Runtime {
    /// Every way, for the delegates of any mode.
    const ALL: [Self; 6] = [
        Self::Dels,
        Self::Retries,
        Self::Forgets,
        Self::Overtakes(0),
        Self::Overtakes(1),
        Self::Overtakes(2),
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Dels => "dels",
            Self::Retries => "retries",
            Self::Forgets => "forgets",
            Self::Overtakes(0) => "overtakes-first",
            Self::Overtakes(1) => "overtakes-second",
            Self::Overtakes(_) => "overtakes-third",
        }
    }
}

/// One verb in one mode and state: what is traced once and then broken at every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Situation {
    pub(crate) verb: Verb,
    pub(crate) mode: Mode,
    pub(crate) state: State,
}

impl Situation {
    /// Every situation of the enumeration.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for verb in Verb::ALL {
            for mode in Mode::ALL {
                let is_live = matches!(verb, Verb::Join | Verb::Leave);
                if is_live != (mode == Mode::Live) {
                    continue;
                }
                let states: &[State] = match verb {
                    Verb::Join | Verb::Leave => &[State::Attached, State::Half],
                    Verb::Add | Verb::Version => &[State::Fresh],
                    Verb::Del if mode == Mode::Both => &[State::Attached, State::Half],
                    Verb::Gc if mode == Mode::Both => &[State::Attached, State::Lost],
                    Verb::Del | Verb::Check | Verb::Gc | Verb::Status => &[State::Attached],
                };
                all.extend(states.iter().map(|state| Self { verb, mode, state: *state }));
            }
        }
        all
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.verb.as_str(), self.mode, self.state.as_str())
    }
}

/// One point.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) situation: Situation,
    pub(crate) call: String,
    /// Which call of that name, counted from 1 since the process began.
    pub(crate) nth: u32,
    pub(crate) fault: Fault,
    pub(crate) runtime: Runtime,
}

impl Point {
    /// For strace's `-e`.
    pub(crate) fn injection(&self) -> String {
        let fault = match self.fault {
            Fault::Kill => "signal=SIGKILL".to_owned(),
            Fault::Error(name) => format!("error={name}"),
            Fault::Signal(name) => format!("signal={name}"),
        };
        format!("inject={}:{fault}:when={}", self.call, self.nth)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { situation, call, nth, fault, runtime } = self;
        write!(f, "{situation} {call}:{nth} {} {}", fault.as_str(), runtime.as_str())
    }
}

impl FromStr for Point {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [verb, mode, state, call, fault, runtime] = words[..] else {
            bail!("a point is `VERB MODE STATE NAME:NTH FAULT RUNTIME`, not {text:?}");
        };
        let unknown = || format!("unknown word in point {text:?}");
        let situation = Situation {
            verb: Verb::ALL.into_iter().find(|candidate| candidate.as_str() == verb).with_context(unknown)?,
            mode: Mode::ALL.into_iter().find(|candidate| candidate.as_str() == mode).with_context(unknown)?,
            state: State::ALL
                .into_iter()
                .find(|candidate| candidate.as_str() == state)
                .with_context(unknown)?,
        };
        let (call, nth) = call.split_once(':').with_context(unknown)?;
        let faults = [Fault::Kill].into_iter().chain(Fault::ERRORS).chain(Fault::SIGNALS);
        Ok(Self {
            situation,
            call: call.to_owned(),
            nth: nth.parse().with_context(unknown)?,
            fault: faults.into_iter().find(|candidate| candidate.as_str() == fault).with_context(unknown)?,
            runtime: Runtime::ALL
                .into_iter()
                .find(|candidate| candidate.as_str() == runtime)
                .with_context(unknown)?,
        })
    }
}
