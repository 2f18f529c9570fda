//! The reference itself, on made-up sights of calls at once: it accepts every order that the promises allow, and no other.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use lab::standin::stub::Call as StubCall;
use serde_json::json;

use crate::history::{Attach, Call, FailureKind, Fault, Key, List, Part, Policy, Setup, Side, Verb};
use crate::reference::{Candidates, ConcurrentCalls, Reference};
use crate::stage::{CallObservation, CallOutcome, Stage};

/// One container of two attachments, the later of which is added again while a sweep closes both.
const EARLIER: Key = Key { container: 0, ifname: 1 };
const AGAIN: Key = Key { container: 0, ifname: 0 };

/// A made-up sight: its name, and the test.
type Sight = (&'static str, fn() -> Result<()>);

/// All of them.
pub(crate) const TRIALS: [Sight; 8] = [
    ("an_add_between_two_closes_of_a_sweep_gets_the_next_free_ifname", between_two_closes),
    ("an_add_after_all_closes_of_a_sweep_gets_the_first_ifname", after_all_closes),
    ("an_add_never_gets_an_ifname_that_no_order_of_the_closes_explains", no_order_of_closes),
    ("an_add_beside_a_sweep_never_gets_an_ifname_that_is_in_use", ifname_in_use),
    ("a_sweep_that_leaves_one_of_two_is_told_whatever_comes_between", one_of_two_left),
    ("two_adds_of_one_container_never_get_the_same_ifname", two_adds),
    ("an_add_passes_over_no_ifname_but_one_that_a_failed_add_had", beside_a_failed_add),
    ("what_cannot_be_told_yet_is_left_open_until_it_can", left_open),
];

fn between_two_closes() -> Result<()> {
    explained(&both_closed(), &added("net2"), &[AGAIN])
}

fn after_all_closes() -> Result<()> {
    explained(&both_closed(), &added("net1"), &[AGAIN])
}

fn no_order_of_closes() -> Result<()> {
    refused(&both_closed(), &added("net3"), &[AGAIN], "net3")
}

/// The sweep leaves the earlier attachment alone, since the runtime lists it, so `net1` is in use at every moment.
fn ifname_in_use() -> Result<()> {
    let node = two_attachments()?;
    let swept = seen(dels_of("eth0", "net2"), None);
    let (add, sweep) = calls();
    let node_keeps = |add_seen: CallObservation| {
        let together = ConcurrentCalls {
            calls: &[add.clone(), sweep.clone()],
            valid: &[Vec::new(), vec![EARLIER]],
            seen: &[add_seen, swept.clone()],
        };
        node.explain(together, &[EARLIER, AGAIN].into()).map(drop)
    };
    node_keeps(added("net2")).context("the first free ifname")?;
    ensure!(node_keeps(added("net1")).is_err(), "net1 is in use, and an ADD that took it was accepted");
    Ok(())
}

/// The ADD came between: that explains its ifname, but not that the earlier attachment was never closed.
fn one_of_two_left() -> Result<()> {
    let sweep = seen(dels_of("eth0", "net2"), None);
    refused(&sweep, &added("net2"), &[EARLIER, AGAIN], "no DEL came")
}

/// Two ADDs of one container at once, both with success.
fn two_adds() -> Result<()> {
    beside("net1", &added("net2")).context("the first free ifname, and the next")?;
    ensure!(beside("net1", &added("net1")).is_err(), "both got net1, and that was accepted");
    Ok(())
}

/// Two ADDs of one container at once, of which one fails and is undone.
fn beside_a_failed_add() -> Result<()> {
    let failed = |secondary: &str| {
        let calls = [adds("eth0", secondary), dels_in("eth0", secondary, "/netns")].concat();
        CallObservation { ended: CallOutcome::Code(999), ..seen(calls, None) }
    };
    beside("net1", &failed("net1")).context("one after the other")?;
    beside("net2", &failed("net1")).context("while the failed one had net1")?;
    ensure!(beside("net3", &failed("net1")).is_err(), "no pod had net2, and it was passed over");
    Ok(())
}

/// Two ADDs of one container fail before their secondaries are called, and cannot be undone. Which of them holds `net1`, and which `net2`,
/// shows once one is deleted and added again.
fn left_open() -> Result<()> {
    let fault = |verb| Fault { part: Part::Old, verb, how: FailureKind::Error(7) };
    let faults = || vec![fault(Verb::Add), fault(Verb::Del)];
    let failed = |ifname| CallObservation {
        ended: CallOutcome::Code(7),
        ..seen(vec![stub(Side::Old, "ADD", ifname, "/netns"), stub(Side::Old, "DEL", ifname, "/netns")], None)
    };
    let then = |secondary: &str| -> Result<()> {
        let mut candidates = Candidates::new(node());
        let together = ConcurrentCalls {
            calls: &[EARLIER, AGAIN].map(|key| Call::Add { key, annotation: None, faults: faults() }),
            valid: &[Vec::new(), Vec::new()],
            seen: &[failed("eth1"), failed("eth0")],
        };
        candidates.become_those(|before| before.explain(together, &[EARLIER, AGAIN].into()))?;
        let del = Call::Del { key: AGAIN, without_netns: false, faults: Vec::new() };
        let add = Call::Add { key: AGAIN, annotation: None, faults: Vec::new() };
        let deleted = seen(vec![stub(Side::Old, "DEL", "eth0", "/netns")], None);
        for (call, seen, left) in
            [(del, deleted, vec![EARLIER]), (add, added(secondary), vec![EARLIER, AGAIN])]
        {
            candidates
                .become_those(|before| before.judged(&call, &[], &seen, &left.iter().copied().collect()))?;
        }
        Ok(())
    };
    then("net1").context("the earlier one holds net2")?;
    then("net2").context("the earlier one holds net1")?;
    ensure!(then("net3").is_err(), "one of net1 and net2 is free, and it was passed over");
    Ok(())
}

/// An ADD of `eth1` that succeeds with this secondary, beside one of `eth0` of the same container.
fn beside(secondary: &str, other: &CallObservation) -> Result<()> {
    let fails = other.ended != CallOutcome::Success;
    let fault = Fault { part: Part::New, verb: Verb::Add, how: FailureKind::Error(999) };
    let add = |key, faults| Call::Add { key, annotation: None, faults };
    let together = ConcurrentCalls {
        calls: &[add(EARLIER, Vec::new()), add(AGAIN, Vec::from_iter(fails.then_some(fault)))],
        valid: &[Vec::new(), Vec::new()],
        seen: &[seen(adds("eth1", secondary), Some("eth1")), other.clone()],
    };
    let papers = if fails { vec![EARLIER] } else { vec![EARLIER, AGAIN] };
    node().explain(together, &papers.into_iter().collect()).map(drop)
}

fn explained(sweep: &CallObservation, add: &CallObservation, papers: &[Key]) -> Result<()> {
    explain(sweep, add, papers).context("no order explains what the promises allow")
}

fn refused(sweep: &CallObservation, add: &CallObservation, papers: &[Key], words: &str) -> Result<()> {
    let why = explain(sweep, add, papers).err().context("an order explains what no promise allows")?;
    ensure!(format!("{why:#}").contains(words), "it is refused for another reason than {words:?}: {why:#}");
    Ok(())
}

fn explain(sweep: &CallObservation, add: &CallObservation, papers: &[Key]) -> Result<()> {
    let (add_call, sweep_call) = calls();
    let papers: BTreeSet<Key> = papers.iter().copied().collect();
    let together = ConcurrentCalls {
        calls: &[add_call, sweep_call],
        valid: &[Vec::new(), Vec::new()],
        seen: &[add.clone(), sweep.clone()],
    };
    two_attachments()?.explain(together, &papers).map(drop)
}

fn calls() -> (Call, Call) {
    let add = Call::Add { key: AGAIN, annotation: None, faults: Vec::new() };
    (add, Call::Sweep { list: List::Empty, faults: Vec::new() })
}

/// The state after both were added, one after the other: `net1` is the earlier one's and `net2` the later one's.
fn two_attachments() -> Result<Reference> {
    let mut node = node();
    for (key, secondary) in [(EARLIER, "net1"), (AGAIN, "net2")] {
        let call = Call::Add { key, annotation: None, faults: Vec::new() };
        let ifname = key.ifname();
        node.judge(&call, &[], &seen(adds(&ifname, secondary), Some(&ifname)))?;
    }
    node.compare(&[EARLIER, AGAIN].into())?;
    Ok(node)
}

/// A node without attachments, whose policy says `both`.
fn node() -> Reference {
    let policy = Policy { attach: Attach::Both, primary: Side::Old, ..Policy::everything_new() };
    let setup =
        Setup { versions: ["1.0.0".into(), "1.0.0".into()], chain: false, probes: [false; 2], policy };
    Reference::new(&setup, vec!["/netns".into(); 4])
}

fn added(secondary: &str) -> CallObservation {
    seen(adds("eth0", secondary), Some("eth0"))
}

fn adds(primary: &str, secondary: &str) -> Vec<StubCall> {
    vec![stub(Side::Old, "ADD", primary, "/netns"), stub(Side::New, "ADD", secondary, "/netns")]
}

fn both_closed() -> CallObservation {
    seen([dels_of("eth0", "net2"), dels_of("eth1", "net1")].concat(), None)
}

/// The DELs of one attachment, the secondary first, in a netns that is gone.
fn dels_of(primary: &str, secondary: &str) -> Vec<StubCall> {
    dels_in(primary, secondary, "")
}

fn dels_in(primary: &str, secondary: &str, netns: &str) -> Vec<StubCall> {
    vec![stub(Side::New, "DEL", secondary, netns), stub(Side::Old, "DEL", primary, netns)]
}

fn seen(calls: Vec<StubCall>, ifname: Option<&str>) -> CallObservation {
    let reply = ifname.map(
        |ifname| json!({"interfaces": [{"name": ifname}], "ips": [{"address": Stage::address(Side::Old)}]}),
    );
    CallObservation { ended: CallOutcome::Success, reply, calls, said: String::new(), hung: false }
}

fn stub(side: Side, verb: &str, ifname: &str, netns: &str) -> StubCall {
    let name = match side {
        Side::Old => "stub-old",
        Side::New => "stub-new",
    };
    let mut conf = json!({"cniVersion": "1.0.0", "name": side.network(), "type": name});
    if verb == "DEL" {
        conf["prevResult"] = json!({"ips": [{"address": Stage::address(side)}]});
    }
    let env =
        [("CNI_COMMAND", verb), ("CNI_CONTAINERID", "c0"), ("CNI_IFNAME", ifname), ("CNI_NETNS", netns)];
    StubCall {
        name: name.to_owned(),
        argv0: name.to_owned(),
        env: env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        stdin: Some(conf.to_string()),
        pid: 1,
        ppid: 1,
        pgid: 1,
        fds: Vec::new(),
        blocked: String::new(),
        ignored: String::new(),
    }
}
