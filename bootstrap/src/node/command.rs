//! A program that is asked something: its answer, bounded in time and size.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a program said.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// Its stdout.
    pub stdout: Vec<u8>,
    /// Its stderr.
    pub stderr: Vec<u8>,
}

impl Answer {
    /// Its stdout as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its stderr likewise.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Runs a program with an empty stdin and waits for its end; one that takes longer than `within` is ended.
///
/// # Errors
/// It cannot be started, takes too long, or says more than `most` bytes. What it says is not in the error: it may be a secret.
pub fn ask(command: &mut Command, within: Duration, most: usize) -> Result<Answer, String> {
    let until = Instant::now() + within;
    // Not /dev/null: the chroot of an image build may have no /dev.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    drop(child.stdin.take());
    let said = [listen(child.stdout.take(), most), listen(child.stderr.take(), most)];
    let heard = said.map(|said| said.recv_timeout(until.saturating_duration_since(Instant::now())));
    if heard.iter().any(Result::is_err) {
        // It may have ended by itself just now.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let [Ok(stdout), Ok(stderr)] = heard else {
        return Err(format!("no answer within {} s", within.as_secs()));
    };
    match (stdout, stderr) {
        (Some(stdout), Some(stderr)) if stdout.len() <= most && stderr.len() <= most => {
            Ok(Answer { status, stdout, stderr })
        }
        _ => Err("its answer cannot be read".into()),
    }
}

/// All that comes out of a pipe, but for what is beyond `most`; none where it cannot be read.
fn listen(pipe: Option<impl Read + Send + 'static>, most: usize) -> mpsc::Receiver<Option<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.map(|pipe| pipe.take(most as u64 + 1).read_to_end(&mut bytes));
        // Nobody listens any more once it took too long.
        let _ = sender.send(matches!(read, Some(Ok(_))).then_some(bytes));
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, within: u64) -> Result<Answer, String> {
        ask(Command::new("/bin/sh").args(["-c", script]), Duration::from_secs(within), 10)
    }

    #[test]
    fn both_sides_of_an_answer_and_how_it_ended() {
        let answer = sh("echo out; echo err >&2; exit 3", 60).expect("answered");
        assert_eq!((answer.out().as_str(), answer.err().as_str()), ("out\n", "err\n"));
        assert_eq!(answer.status.code(), Some(3));
    }

    #[test]
    fn what_is_too_long_or_too_late_is_no_answer() {
        assert!(sh("echo more than ten bytes", 60).is_err_and(|why| why.contains("cannot be read")));
        assert!(sh("exec sleep 600", 0).is_err_and(|why| why.contains("no answer within")));
        let absent = ask(&mut Command::new("/nonexistent"), Duration::from_secs(60), 10);
        assert!(absent.is_err_and(|why| why.contains("No such file")));
    }
}
