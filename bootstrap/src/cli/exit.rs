//! How a command ends.

use std::fmt;
use std::process::ExitCode;

/// The exit status of every program that people call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is as it was asked to be.
    Done = 0,
    /// Something failed on the way.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The answer is no: not ready, or there is a reason not to do it.
    No = 3,
    /// Not now; nothing was changed that a later try does not expect.
    TryLater = 75,
    /// A settings file is absent, untrusted or invalid.
    BadSettings = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// One line each; several where several things stand in the way, all found before anything was touched.
    pub findings: Vec<String>,
}

impl Failure {
    /// A failure of one line.
    pub fn new(exit: Exit, why: impl fmt::Display) -> Self {
        Self { exit, findings: vec![why.to_string()] }
    }

    /// Bad settings.
    pub fn settings(why: impl fmt::Display) -> Self {
        Self::new(Exit::BadSettings, why)
    }

    /// Something to try again later.
    pub fn later(why: impl fmt::Display) -> Self {
        Self::new(Exit::TryLater, why)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}
