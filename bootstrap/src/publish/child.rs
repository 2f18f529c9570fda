//! Other programs that a credential or an address takes: started without a terminal, ended by a deadline.

use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use shim::process::Process;

/// Largest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// Between two looks at a program that has closed its stdout but not ended.
const PAUSE: Duration = Duration::from_millis(10);

/// What a program wrote, and how it ended. Its stderr is not kept: nobody can say what is in it.
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
}

/// Runs `command`; it and what it started are killed when `within` is over.
///
/// # Errors
/// It cannot be started, or did not end in time ([`io::ErrorKind::TimedOut`]).
pub(crate) fn run(command: &mut Command, within: Duration) -> io::Result<Answer> {
    let end = Instant::now() + within;
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn()?;
    let group = Process::of(child.id().cast_signed());
    let stdout = child.stdout.take();
    let (send, received) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.map_or(Ok(0), |stdout| stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut bytes));
        // Nobody waits for it any more once the deadline is over.
        let _ = send.send(read.map(|_| bytes));
    });
    let answer = received.recv_timeout(within);
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if answer.is_err() || Instant::now() >= end => break None,
            None => std::thread::sleep(PAUSE),
        }
    };
    match (status, answer) {
        (Some(status), Ok(stdout)) => Ok(Answer { status, stdout: stdout? }),
        _ => {
            if let Some(group) = group {
                group.kill_group();
            }
            child.wait()?;
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", within.as_secs())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, within: Duration) -> io::Result<Answer> {
        run(Command::new("/bin/sh").args(["-c", script]), within)
    }

    #[test]
    fn what_it_wrote_and_how_it_ended() {
        let answer = shell("echo out; echo err >&2; exit 3", Duration::from_secs(30)).expect("ran");
        assert_eq!((answer.stdout.as_slice(), answer.status.code()), (b"out\n".as_slice(), Some(3)));
        assert!(run(&mut Command::new("/nowhere"), Duration::from_secs(30)).is_err());
    }

    #[test]
    fn one_that_hangs_ends_with_all_that_it_started() {
        let dir = tempfile::tempdir().expect("scratch");
        let pids = dir.path().join("pids");
        let script = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
        let error = shell(&script, Duration::from_secs(1)).err().expect("killed");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        for pid in std::fs::read_to_string(pids).expect("started").split_whitespace() {
            let end = std::time::Instant::now() + Duration::from_secs(30);
            // A signal that was sent need not have been delivered yet.
            loop {
                let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                if state.is_empty() || state.contains(") Z ") {
                    break;
                }
                assert!(std::time::Instant::now() < end, "{pid} lives: {state}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
