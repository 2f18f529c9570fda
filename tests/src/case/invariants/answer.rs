//! N4: what a call says on stdout, and by its exit status.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use super::Finding;
use crate::case::oracle::{Reply, read_reply};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallExit {
    /// With this status.
    Exited(i32),
    Signalled(i32),
}

impl From<ExitStatus> for CallExit {
    fn from(status: ExitStatus) -> Self {
        status.code().map_or_else(|| Self::Signalled(status.signal().unwrap_or_default()), Self::Exited)
    }
}

/// N4 of one call. A call that a test killed is not to be shown here: it owes no answer.
///
/// Success is status 0 with one result (ADD), the versions (VERSION), or silence (every other verb); failure is status 1
/// with one error object. *Source*: CNI specification 1.1.0, section 3 "Error" and section 5.
pub fn answer(verb: &str, ended: CallExit, stdout: &str) -> Option<Finding> {
    let finding = |what: String| Some(Finding::Answer(format!("{verb} {what}; stdout {stdout:?}")));
    let status = match ended {
        CallExit::Exited(status @ (0 | 1)) => status,
        CallExit::Exited(other) => return finding(format!("exited with status {other}")),
        CallExit::Signalled(signal) => return finding(format!("was ended by signal {signal}")),
    };
    let silent = !matches!(verb, "ADD" | "VERSION");
    if status == 0 && silent {
        return if stdout.is_empty() { None } else { finding("succeeded with words".to_owned()) };
    }
    match (status, read_reply(stdout.as_bytes())) {
        (_, Err(error)) => finding(format!("exited with {status} and no answer: {error:#}")),
        (1, Ok(Reply::Error { .. })) => None,
        (0, Ok(Reply::Success(_))) if verb == "ADD" => None,
        (0, Ok(Reply::Version(_))) if verb == "VERSION" => None,
        (status, Ok(other)) => finding(format!("exited with {status} and answered {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESULT: &str = r#"{"cniVersion":"1.0.0","ips":[{"address":"10.1.0.5/32"}]}"#;
    const ERROR: &str = r#"{"cniVersion":"1.0.0","code":5,"msg":"no room","details":""}"#;
    const VERSIONS: &str = r#"{"cniVersion":"1.1.0","supportedVersions":["1.0.0"]}"#;

    #[test]
    fn the_answers_of_the_specification_hold() {
        for (verb, status, stdout) in [
            ("ADD", 0, RESULT),
            ("ADD", 1, ERROR),
            ("DEL", 0, ""),
            ("DEL", 1, ERROR),
            ("CHECK", 0, ""),
            ("GC", 1, ERROR),
            ("STATUS", 0, ""),
            ("VERSION", 0, VERSIONS),
        ] {
            assert_eq!(answer(verb, CallExit::Exited(status), stdout), None, "{verb} {status} {stdout}");
        }
    }

    #[test]
    fn every_other_answer_is_a_finding() {
        let twice = ERROR.repeat(2);
        for (verb, ended, stdout) in [
            ("ADD", CallExit::Exited(0), ""),
            ("ADD", CallExit::Exited(0), ERROR),
            ("ADD", CallExit::Exited(0), VERSIONS),
            ("ADD", CallExit::Exited(1), RESULT),
            ("ADD", CallExit::Exited(1), ""),
            ("ADD", CallExit::Exited(1), &ERROR[..20]),
            ("ADD", CallExit::Exited(1), &twice),
            ("ADD", CallExit::Exited(2), ERROR),
            ("ADD", CallExit::Signalled(6), ""),
            ("DEL", CallExit::Exited(0), ERROR),
            ("DEL", CallExit::Exited(0), "\n"),
            ("VERSION", CallExit::Exited(0), RESULT),
        ] {
            let finding = answer(verb, ended, stdout).unwrap_or_else(|| panic!("{verb} {ended:?} {stdout}"));
            assert_eq!(finding.invariant(), "N4");
        }
    }
}
