//! Changes to the pod between the result of a delegate and its end, which count as those before: the record of its interfaces, by which CHECK goes, is
//! made once it has ended.

use anyhow::{Result, ensure};
use lab::standin::stub::{Act, Reply, Stub};

use crate::{case::Case, trials};

trials![
    what_a_delegate_removes_after_its_result_is_not_on_record,
    what_a_delegate_adds_after_its_result_is_on_record
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

const PLUG: [&str; 2] = ["link add eth0 type veth peer name peer", "address add 10.2.0.7/32 dev eth0"];
const UNPLUG: [&str; 1] = ["link del eth0"];

/// An ADD of a delegate that does `before` to the pod, writes its result, and does `after`.
fn add(case: &Case, before: &[&str], after: &[&str]) -> Result<()> {
    let mut acts = ip(case, before);
    let Reply(answer) = Reply::json(&case.rn("eth0"));
    acts.extend(answer);
    acts.extend(ip(case, after));
    case.stubs.write("stub-new", &Stub::answering(Reply(acts)))?;
    case.call("ADD").run()?.result()?;
    // A line that fails is not noticed by the stub.
    let is_there = before.is_empty() != after.is_empty();
    ensure!(case.netns.has_link("eth0")? == is_there, "what the delegate did to the pod");
    Ok(())
}

/// CNI specification 1.1.0, section 2, CHECK.
fn what_a_delegate_removes_after_its_result_is_not_on_record() -> Result<()> {
    let case = Case::attach("new")?;
    add(&case, &PLUG, &UNPLUG)?;
    case.call("CHECK").run()?.silent()
}

/// CNI specification 1.1.0, section 2, CHECK.
fn what_a_delegate_adds_after_its_result_is_on_record() -> Result<()> {
    let case = Case::attach("new")?;
    add(&case, &[], &PLUG)?;
    case.netns.ip(UNPLUG[0])?;
    let refusal = case.call("CHECK").run()?.refused(106)?;
    assert!(refusal.text().contains("eth0"), "{refusal:?}");
    Ok(())
}
