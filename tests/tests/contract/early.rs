//! The shim looks at a pod as soon as its only delegate has written a result. What it has seen counts only if nothing in the pod changed until the
//! delegate had ended.

use std::fs;

use anyhow::{Context, Result, ensure};
use lab::stub::{Act, Reply, Stub};

use crate::{case::Case, trials};

trials![
    a_look_that_began_before_the_delegate_has_ended_is_the_only_one,
    what_a_delegate_removes_after_its_result_is_not_on_record,
    what_a_delegate_adds_after_its_result_is_on_record,
];

/// What the stub does to the pod: `ip` inside, for each of these lines.
fn ip(case: &Case, lines: &[&str]) -> Vec<Act> {
    let netns = format!("--net={}", case.netns_path());
    let run = |line: &&str| {
        let words = ["/usr/bin/nsenter", &netns, "ip"].into_iter().chain(line.split(' '));
        Act::Run(words.map(str::to_owned).collect())
    };
    lines.iter().map(run).collect()
}

/// The links stay down. Of a link that is up the kernel tells more a while later (carrier, IPv6), after which a second look would be right.
const PLUG: [&str; 2] = ["link add eth0 type veth peer name peer", "address add 10.2.0.7/32 dev eth0"];
const UNPLUG: [&str; 1] = ["link del eth0"];

/// An ADD of a delegate that does `before` to the pod, writes its result, and does `after` once the shim is told of changes in the pod. Returns how many
/// questions about the pod the shim had for the kernel after the delegate had ended.
fn add(case: &Case, before: &[&str], after: &[&str]) -> Result<usize> {
    let gate = case.gate("gate")?;
    let mut acts = ip(case, before);
    let Reply(answer) = Reply::json(&case.rn("eth0"));
    acts.extend(answer);
    acts.extend(Reply::silent().behind(&gate).0);
    acts.extend(ip(case, after));
    case.stubs.write("stub-new", &Stub::answering(Reply(acts)))?;
    let log = case.path("strace.log");
    let strace = ["strace", "-D", "-qq", "-o", &log.display().to_string(), "-e", "trace=wait4,sendto,bind"];
    let add = case.call("ADD").wrapped(&strace).spawn()?;
    case.eventually("a socket that is told of changes in the pod", || is_told_of_changes(case))?;
    ensure!(case.netns.has_link("eth0")? != before.is_empty(), "what the delegate did before its result");
    gate.open()?;
    add.wait()?.result()?;
    // A line that fails is not noticed by the stub.
    let is_there = before.is_empty() != after.is_empty();
    ensure!(case.netns.has_link("eth0")? == is_there, "what the delegate did after its result");
    questions_after_the_end(&fs::read_to_string(&log)?)
}

/// How many netlink messages the shim sent after its only delegate had ended, from a trace of its `wait4`, `sendto` and `bind`. Before that, it must have
/// sent some, and have bound the socket that is told of changes before the first of them.
fn questions_after_the_end(trace: &str) -> Result<usize> {
    let is_question = |line: &&str| line.starts_with("sendto(") && line.contains("nlmsg_len=");
    let told = trace.lines().position(|line| line.starts_with("bind(") && line.contains("AF_NETLINK"));
    let asked = trace.lines().position(|line| is_question(&line));
    let ended = trace.lines().position(|line| line.starts_with("wait4(") && line.contains("WIFEXITED"));
    let ended = ended.with_context(|| format!("the delegate's end in {trace}"))?;
    ensure!(asked.is_some_and(|asked| asked < ended), "no early look in {trace}");
    ensure!(told.is_some() && told < asked, "a look before the shim was told of changes in {trace}");
    Ok(trace.lines().skip(ended).filter(is_question).count())
}

/// Whether a netlink socket in the pod's netns listens to the groups 1, 5 and 9 (man 7 `rtnetlink`).
fn is_told_of_changes(case: &Case) -> Result<bool> {
    let sockets = case
        .netns
        .inside(|| fs::read_to_string("/proc/thread-self/net/netlink").context("netlink sockets"))?;
    Ok(sockets.lines().any(|line| line.split_whitespace().nth(3) == Some("00000111")))
}

/// CNI specification 1.1.0, section 2, CHECK.
fn a_look_that_began_before_the_delegate_has_ended_is_the_only_one() -> Result<()> {
    let case = Case::attach("new")?;
    let asked_again = add(&case, &PLUG, &[])?;
    ensure!(asked_again == 0, "looked again {asked_again} times, with nothing changed since the first look");
    case.call("CHECK").run()?.silent()?;
    case.netns.ip("address del 10.2.0.7/32 dev eth0")?;
    let refusal = case.call("CHECK").run()?.refused(106)?;
    assert!(refusal.text().contains("10.2.0.7"), "{refusal:?}");
    Ok(())
}

/// CNI specification 1.1.0, section 2, CHECK.
fn what_a_delegate_removes_after_its_result_is_not_on_record() -> Result<()> {
    let case = Case::attach("new")?;
    ensure!(add(&case, &PLUG, &UNPLUG)? > 0, "no second look");
    case.call("CHECK").run()?.silent()
}

/// CNI specification 1.1.0, section 2, CHECK.
fn what_a_delegate_adds_after_its_result_is_on_record() -> Result<()> {
    let case = Case::attach("new")?;
    ensure!(add(&case, &[], &PLUG)? > 0, "no second look");
    case.netns.ip(UNPLUG[0])?;
    let refusal = case.call("CHECK").run()?.refused(106)?;
    assert!(refusal.text().contains("eth0"), "{refusal:?}");
    Ok(())
}
