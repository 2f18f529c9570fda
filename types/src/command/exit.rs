//! The exit status of programs.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// The exit status of every program that people call. The plugin has 0 and 1 alone, as the CNI specification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Exit {
    /// The command did what it was asked to do.
    Done = 0,
    /// A step of the command failed.
    Failed = 1,
    /// An argument is wrong.
    Usage = 2,
    /// The answer is no: a problem blocks the command, or the node is not ready.
    No = 3,
    /// The command cannot run now. The same command may succeed later.
    TryLater = 75,
    /// A settings file is missing, not trusted or invalid.
    BadSettings = 78,
}

impl Exit {
    /// All exit statuses.
    pub const ALL: [Self; 6] =
        [Self::Done, Self::Failed, Self::Usage, Self::No, Self::TryLater, Self::BadSettings];
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit as Self
    }
}

impl TryFrom<u8> for Exit {
    type Error = String;

    fn try_from(status: u8) -> Result<Self, Self::Error> {
        let parsed_exit = Self::ALL.into_iter().find(|exit| *exit as u8 == status);
        parsed_exit.ok_or_else(|| format!("no program ends with exit status {status}"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_was_written() {
        for exit in Exit::ALL {
            let text = serde_json::to_string(&exit).expect("JSON");
            assert_eq!(text, (exit as u8).to_string());
            assert_eq!(serde_json::from_str::<Exit>(&text).expect("read"), exit);
        }
        assert!(serde_json::from_str::<Exit>("4").is_err());
    }
}
