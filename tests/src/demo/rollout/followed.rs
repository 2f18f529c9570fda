//! A command that runs beside the test, and whose lines are read as they come.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};

/// A command under way. Dropping it ends it.
#[derive(Debug)]
pub(super) struct FollowedCommand {
    child: Child,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<String>>,
    /// The last of stderr.
    last: Vec<String>,
}

impl FollowedCommand {
    pub(super) fn start(mut command: Command) -> Result<FollowedCommand> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().context("its stderr")?;
        let mut stdout = child.stdout.take().context("its stdout")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            // What is no text is missed by its reader.
            drop(stdout.read_to_string(&mut text));
            text
        });
        Ok(FollowedCommand { child, lines, stdout: Some(stdout), last: Vec::new() })
    }

    /// What it has said on stderr since.
    pub(super) fn lines(&mut self) -> Vec<String> {
        let lines: Vec<String> = self.lines.try_iter().collect();
        self.last.extend(lines.iter().cloned());
        let surplus = self.last.len().saturating_sub(40);
        self.last.drain(..surplus);
        lines
    }

    /// The lines that it said at its end; none while it runs.
    ///
    /// # Errors
    /// It ended with another status than 0; the message has everything that it said last.
    pub(super) fn ended(&mut self) -> Result<Option<String>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        // Its end of the channel goes with its stderr.
        let rest: Vec<String> = self.lines.iter().collect();
        let stdout = self.stdout.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if !status.success() {
            bail!("it ended with {status}: {}\n{}\n{stdout}", self.last.join("\n"), rest.join("\n"));
        }
        Ok(Some(rest.join("\n")))
    }
}

impl Drop for FollowedCommand {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
