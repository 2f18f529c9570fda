//! Programs that write, that hang, and that write too much.

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn limits(timeout: Duration) -> RunLimits {
    RunLimits { timeout, max_bytes: 10 }
}

fn sh(script: &str, timeout: Duration) -> Result<CommandOutput, CommandError> {
    run(Command::new("/bin/sh").args(["-c", script]), limits(timeout))
}

/// Waits until each process that the file names has ended; a signal that was sent need not have been delivered yet.
fn all_have_ended(pids: &std::path::Path) {
    for pid in std::fs::read_to_string(pids).expect("started").split_whitespace() {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                break;
            }
            assert!(Instant::now() < end, "{pid} lives: {state}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn both_sides_of_an_answer_and_how_it_ended() {
    let output = sh("echo out; echo err >&2; exit 3", LONG).expect("answered");
    assert_eq!((output.stdout_text().as_str(), output.stderr_text().as_str()), ("out\n", "err\n"));
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(output.check_success(), Err("exit status: 3: err".to_owned()));
}

#[test]
fn what_is_too_long_or_too_late_is_no_answer() {
    let why = |script, timeout| sh(script, timeout).map_err(|why| why.to_string());
    assert!(why("echo more than ten bytes", LONG).is_err_and(|why| why.contains("cannot be read")));
    assert!(why("echo more than ten bytes >&2", LONG).is_err_and(|why| why.contains("cannot be read")));
    assert!(why("exec sleep 600", Duration::ZERO).is_err_and(|why| why.contains("no answer within")));
    let absent = run(&mut Command::new("/nonexistent"), limits(LONG));
    assert!(absent.is_err_and(|why| why.to_string().contains("No such file")));
}

#[test]
fn one_that_hangs_ends_with_all_that_it_started() {
    let dir = tempfile::tempdir().expect("scratch");
    let pids = dir.path().join("pids");
    let script = format!("sleep 1000 & echo $$ $! > {}; wait", pids.display());
    let error = sh(&script, Duration::from_secs(1)).expect_err("killed");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
    all_have_ended(&pids);
}

#[test]
fn one_that_hangs_behind_closed_pipes_ends_as_well() {
    let dir = tempfile::tempdir().expect("scratch");
    let pids = dir.path().join("pids");
    let script = format!("echo $$ > {}; exec sleep 1000 >&- 2>&-", pids.display());
    let error = sh(&script, Duration::from_secs(1)).expect_err("killed");
    assert!(matches!(error, CommandError::TimedOut(_)), "{error:?}");
    all_have_ended(&pids);
}

#[test]
fn stdin_arrives_and_a_command_that_does_not_read_it_still_ends() {
    let with = |script: &str, stdin: Vec<u8>| {
        let mut command = Command::new("/bin/sh");
        run_with(command.args(["-c", script]), limits(LONG), stdin, StderrTo::Output).expect("ran")
    };
    assert_eq!(with("cat", b"in".to_vec()).stdout, b"in");
    assert_eq!(with("echo done", vec![b'x'; 1 << 20]).stdout, b"done\n");
    assert_eq!(with("cat", Vec::new()).stdout, b"");
}

#[test]
fn stderr_goes_to_a_file_or_nowhere_whatever_its_length() {
    let dir = tempfile::tempdir().expect("scratch");
    let path = dir.path().join("stderr");
    let to = |stderr| {
        let mut command = Command::new("/bin/sh");
        run_with(command.args(["-c", "echo more than ten bytes >&2"]), limits(LONG), Vec::new(), stderr)
    };
    assert!(to(StderrTo::Nowhere).expect("ran").stderr.is_empty());
    assert!(to(StderrTo::File(File::create(&path).expect("file"))).expect("ran").stderr.is_empty());
    assert_eq!(std::fs::read_to_string(&path).expect("written"), "more than ten bytes\n");
}

/// systemd would take a message of the program for one that `crossfade-bootstrap` sent, and complain that it came from another process.
#[test]
fn a_program_cannot_speak_for_the_unit_that_runs_it() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"echo "<$NOTIFY_SOCKET$WATCHDOG_USEC>""#]);
    command.env("NOTIFY_SOCKET", "/run").env("WATCHDOG_USEC", "1");
    assert_eq!(run(&mut command, limits(LONG)).expect("answered").stdout_text(), "<>\n");
}
