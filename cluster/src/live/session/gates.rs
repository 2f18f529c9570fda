//! Gates that are commands on the operator's machine.
//!
//! A command is run every `everySeconds`, and has as long for its answer as its last one counts. It is started as it is written, never through a shell. Its last line on stderr says why.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use migration::plan::{Gate, GateSource};
use migration::roll::world::{Color, Verdict};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::live::session::clock::Clock;
use crate::live::session::state::Event;

/// A command is not asked more often than this.
const SHORTEST: Duration = Duration::from_secs(2);
/// How many characters of its words are kept.
const WORDS: usize = 200;
/// How many bytes of the end of its stderr are kept: a command may write without end.
const KEPT: usize = 64 << 10;

/// Asks a gate's command again and again, until it is dropped. A gate of another source is not asked.
pub(in crate::live) async fn ask(gate: Gate, clock: Clock, send: impl Fn(Event) + Send) {
    let GateSource::Command(words) = &gate.source else { return };
    let turn = Duration::from_secs(gate.every_seconds.into()).max(SHORTEST);
    let within = Duration::from_secs(gate.fresh_seconds.into()).max(turn);
    loop {
        let time = clock.now();
        let (color, why) = verdict(words, within).await;
        send(Event::Verdict(gate.name.clone(), Verdict { color, checked_at: time, why }));
        tokio::time::sleep(turn.saturating_sub(clock.now().saturating_sub(time))).await;
    }
}

/// Runs a command once. Exit status 0 is green, 1 is red; anything else is unknown.
async fn verdict(words: &[String], within: Duration) -> (Color, String) {
    let Some((program, arguments)) = words.split_first() else {
        return (Color::Unknown, "the gate has no command".into());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let (status, stderr) = match tokio::time::timeout(within, run_to_end(&mut command)).await {
        Err(_) => return (Color::Unknown, format!("{program} did not end within {} s", within.as_secs())),
        Ok(Err(e)) => return (Color::Unknown, format!("{program}: {e}")),
        Ok(Ok(ended)) => ended,
    };
    let text = String::from_utf8_lossy(&stderr);
    let text: String = text.trim_end().lines().last().unwrap_or_default().chars().take(WORDS).collect();
    let colon = if text.is_empty() { "" } else { ": " };
    match status.code() {
        Some(0) => (Color::Green, text),
        Some(1) => (Color::Red, format!("{program} says no{colon}{text}")),
        _ => (Color::Unknown, format!("{program} ended with {status}{colon}{text}")),
    }
}

/// How a command ended, and the end of what it wrote on stderr.
async fn run_to_end(command: &mut Command) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = command.spawn()?;
    let (mut output, mut piece) = (Vec::new(), [0; 8 << 10]);
    if let Some(mut stderr) = child.stderr.take() {
        loop {
            let read = stderr.read(&mut piece).await?;
            if read == 0 {
                break;
            }
            output.extend_from_slice(&piece[..read]);
            let too_many = output.len().saturating_sub(KEPT);
            output.drain(..too_many);
        }
    }
    Ok((child.wait().await?, output))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_of(words: &[&str], within: Duration) -> (Color, String) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().expect("a runtime").block_on(verdict(&words, within))
    }

    #[test]
    fn the_exit_status_is_the_verdict() {
        let long = Duration::from_mins(10);
        let sh = |script: &'static str| ["/bin/sh", "-c", script];
        for (script, color, why) in [
            ("exit 0", Color::Green, ""),
            ("echo noise; echo fine >&2", Color::Green, "fine"),
            ("echo first >&2; echo last >&2; exit 1", Color::Red, "/bin/sh says no: last"),
            ("exit 1", Color::Red, "/bin/sh says no"),
            ("echo why >&2; exit 2", Color::Unknown, "/bin/sh ended with exit status: 2: why"),
            ("kill -9 $$", Color::Unknown, "/bin/sh ended with signal: 9 (SIGKILL)"),
        ] {
            assert_eq!(verdict_of(&sh(script), long), (color, why.to_owned()), "{script}");
        }
    }

    #[test]
    fn a_command_that_is_missing_or_hangs_says_nothing() {
        let (color, why) = verdict_of(&["/nonexistent/gate"], Duration::from_mins(10));
        assert_eq!((color, why.starts_with("/nonexistent/gate: ")), (Color::Unknown, true), "{why}");
        assert_eq!(verdict_of(&[], Duration::from_mins(10)).0, Color::Unknown);
        // It would hang for ever; the test waits for one millisecond of it.
        let (color, why) = verdict_of(&["/bin/sh", "-c", "exec sleep 1000000"], Duration::from_millis(1));
        assert_eq!((color, why.contains("did not end within")), (Color::Unknown, true), "{why}");
    }

    #[test]
    fn only_the_end_of_what_a_command_writes_is_kept() {
        let mut command = Command::new("/bin/sh");
        let script = "i=0; while [ $i -lt 2000 ]; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2; i=$((i + 1)); done; echo last >&2";
        command.args(["-c", script]).stderr(Stdio::piped());
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let (status, kept) = runtime
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(run_to_end(&mut command))
            .expect("it ran");
        assert!(status.success() && kept.len() == KEPT && kept.ends_with(b"x\nlast\n"), "{}", kept.len());
    }

    #[test]
    fn no_shell_reads_the_words() {
        let (color, _) = verdict_of(
            &["/bin/sh", "-c", "test \"$0\" = '$(exit 1); x'", "$(exit 1); x"],
            Duration::from_mins(10),
        );
        assert_eq!(color, Color::Green);
        let one_word = verdict_of(&["/bin/true; /bin/true"], Duration::from_mins(10));
        assert_eq!(one_word.0, Color::Unknown, "{one_word:?}");
    }
}
