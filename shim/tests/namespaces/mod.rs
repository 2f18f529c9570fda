//! Network namespaces for the tests that need root: unique names, gone when the test ends, however it ends.
//!
//! Apart from the lab, for the shim's tests call its functions in this process and need nothing of the lab's but the privilege.
#![allow(dead_code, reason = "each test executable uses its part")]

pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod steps;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use shim::attachment::route::Budget;
use shim::host::netns::Netns;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Bound on what answers at all; nothing is measured against it.
const DEADLINE: Duration = Duration::from_secs(15);

/// True if this process may make namespaces. Otherwise says so, and fails where nothing may be left out.
pub(crate) fn privileged() -> bool {
    let privileged = std::env::var_os("CROSSFADE_PRIVILEGED").is_some_and(|value| value == "1");
    if !privileged {
        println!("not run: needs root");
        assert!(
            std::env::var_os("CI").is_none(),
            "a test that needs root was not run with CROSSFADE_PRIVILEGED=1"
        );
    }
    privileged
}

/// As much time as anything here may need; what is measured against it hangs.
pub(crate) fn ample() -> Budget<'static> {
    Budget::new(Instant::now() + DEADLINE * 4, None)
}

/// A name no other test of this machine uses at the moment; short enough for an interface.
pub(crate) fn unique(stem: &str) -> String {
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{stem}{}x{number}", std::process::id())
}

/// Runs a command line split at blanks and answers its output, whatever its exit code.
pub(crate) fn attempt(line: &str) -> Output {
    let mut words = line.split_whitespace();
    let program = words.next().expect("a command line");
    Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// Runs a command line that must succeed and answers its stdout.
pub(crate) fn run(line: &str) -> String {
    let output = attempt(line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8 output")
}

/// Repeats `probe` until it holds.
pub(crate) fn wait_until(what: &str, mut probe: impl FnMut() -> bool) {
    let started = Instant::now();
    while !probe() {
        assert!(started.elapsed() < DEADLINE, "never came true: {what}");
        std::thread::yield_now();
    }
}

/// A network namespace of a test.
pub(crate) struct Space {
    pub(crate) name: String,
}

impl Space {
    /// A namespace with `lo` up and without duplicate address detection, so that IPv6 addresses work at once.
    pub(crate) fn new(stem: &str) -> Self {
        let name = unique(stem);
        run(&format!("ip netns add {name}"));
        let space = Self { name };
        space.ip("link set lo up");
        space.run("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
        space
    }

    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}", self.name))
    }

    pub(crate) fn open(&self) -> Netns {
        Netns::open(&self.path()).expect("open the test's netns")
    }

    /// `ip -n NAME ...` that must succeed.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        run(&format!("ip -n {} {arguments}", self.name))
    }

    /// Any command line inside the namespace that must succeed.
    pub(crate) fn run(&self, line: &str) -> String {
        run(&format!("nsenter --net=/run/netns/{} {line}", self.name))
    }

    /// True if one echo request to `to`, from address `from` if given, is answered.
    pub(crate) fn pings_once(&self, from: Option<&str>, to: &str) -> bool {
        let source = from.map(|from| format!("-I {from}")).unwrap_or_default();
        attempt(&format!("nsenter --net=/run/netns/{} busybox ping -c1 -W1 {source} {to}", self.name))
            .status
            .success()
    }

    /// Echo requests to `to` are answered, in the end.
    pub(crate) fn pings(&self, from: Option<&str>, to: &str) {
        wait_until(&format!("{}: ping from {from:?} to {to}", self.name), || self.pings_once(from, to));
    }

    /// All that routing in this namespace depends on, as text: both families, every table of ours, rules.
    pub(crate) fn routing(&self) -> String {
        let mut text = String::new();
        for family in ["-4", "-6"] {
            for what in
                ["rule show", "route show table main", "route show table 1001", "route show table 1002"]
            {
                // A table that was never used is an error to `ip`, and nothing to us.
                let output = attempt(&format!("ip -n {} {family} {what}", self.name));
                text.push_str(&format!("{family} {what}\n{}", String::from_utf8_lossy(&output.stdout)));
            }
        }
        text
    }

    /// Lines of `ip FAMILY route show table TABLE`, trimmed.
    pub(crate) fn routes(&self, family: &str, table: &str) -> Vec<String> {
        let output = attempt(&format!("ip -n {} {family} route show table {table}", self.name));
        String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect()
    }

    /// The defaults of main in one family.
    pub(crate) fn defaults(&self, family: &str) -> Vec<String> {
        self.routes(family, "main").into_iter().filter(|line| line.starts_with("default")).collect()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        attempt(&format!("ip netns del {}", self.name));
    }
}
