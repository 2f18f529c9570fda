//! The way of signals to the code that waits for them. This program has a process and its main thread for itself, as a call of the plugin has: a harness would
//! run it in a thread beside others, which would get the signals.

use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use shim::host::signal::Signals;

/// Longer than any wait that is ended by a signal, however slow the machine is.
const NEVER: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let signals = Signals::receive().expect("signals");
    a_child_that_ended_before_a_look_ends_the_next_wait(&signals);
    each_child_ends_one_wait(&signals);
    a_signal_to_stop_is_kept_until_it_is_cleared(&signals);
    ExitCode::SUCCESS
}

/// A caller that asks whether to stop takes the signal of the child as well. No caller may then wait for a signal that has been taken.
fn a_child_that_ended_before_a_look_ends_the_next_wait(signals: &Signals) {
    let mut child = ended_child();
    assert!(!signals.stop_requested(), "a child that ends is no reason to stop");
    assert!(ends_early(signals, NEVER), "the wait went on although a child had ended");
    child.wait().expect("reap");
}

fn each_child_ends_one_wait(signals: &Signals) {
    let mut child = ended_child();
    assert!(ends_early(signals, NEVER), "the wait went on although a child had ended");
    assert!(!ends_early(signals, Duration::from_millis(20)), "the same child ended a second wait");
    child.wait().expect("reap");
}

/// A child that has ended, and that was not waited for.
fn ended_child() -> Child {
    let child = Command::new("true").spawn().expect("start");
    let id = Id::Pid(Pid::from_raw(child.id().cast_signed()));
    waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("its end");
    child
}

/// Whether something ends a wait before it has lasted so long.
fn ends_early(signals: &Signals, longest: Duration) -> bool {
    let until = Instant::now() + longest;
    signals.wait(&mut [], until).expect("wait");
    Instant::now() < until
}

fn a_signal_to_stop_is_kept_until_it_is_cleared(signals: &Signals) {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        assert!(!signals.stop_requested(), "before {signal}");
        raise(signal).expect("raise");
        assert!(signals.stop_requested(), "{signal} is told without a wait");
        signals.clear_stop_request();
        raise(signal).expect("raise");
        assert!(ends_early(signals, NEVER), "the wait went on after {signal}");
        assert!(signals.stop_requested() && signals.stop_requested(), "after {signal}");
        signals.clear_stop_request();
    }
    // A request that has not been seen yet is cleared with those before it.
    raise(Signal::SIGTERM).expect("raise");
    signals.clear_stop_request();
    assert!(!signals.stop_requested(), "cleared");
}
