//! Histories by chance: the strategies that proptest draws from and shrinks.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::history::{
    Attach, Breakage, CONTAINERS, Call, Disk, FailureKind, Fault, History, Key, List, Operation, Part,
    Policy, Setup, Side, Thing, Verb,
};

/// System calls at which a caller is killed, and up to which of its calls of that name.
const SYSCALLS: [(&str, u16); 28] = [
    ("statx", 80),
    ("openat", 28),
    ("close", 40),
    ("read", 24),
    ("write", 10),
    ("fsync", 4),
    ("fdatasync", 3),
    ("rename", 3),
    ("unlink", 3),
    ("link", 1),
    ("linkat", 2),
    ("mkdir", 12),
    ("flock", 4),
    ("pwrite64", 6),
    ("clone3", 5),
    ("wait4", 5),
    ("pipe2", 8),
    ("fcntl", 30),
    ("prlimit64", 13),
    ("sendto", 18),
    ("recvfrom", 20),
    ("setns", 6),
    ("memfd_create", 4),
    ("getdents64", 6),
    ("ftruncate", 2),
    ("kill", 2),
    ("ppoll", 6),
    ("exit_group", 1),
];

/// Longest history.
const LONGEST: usize = 32;

/// Histories in which one thing happens after the other.
pub(crate) fn one_by_one() -> impl Strategy<Value = History> {
    histories(operation().boxed(), change(alone).boxed(), |operation| operation)
}

/// Histories in which half of what happens happens at once.
pub(crate) fn at_once() -> impl Strategy<Value = History> {
    let together = vec(quick_call(), 2..=3).prop_map(Operation::Together);
    let operation = prop_oneof![3 => together, 2 => operation()].boxed();
    histories(operation, change(beside_another).boxed(), |operation| match operation {
        // On a full disk a DEL makes room for an ADD or comes too late for it: there is nothing to hold that to.
        Operation::Disk(Disk::Full) => Operation::Disk(Disk::ReadOnly),
        other => other,
    })
}

/// Histories for real plugins, which fail when they have a reason and not when they are told to.
pub(crate) fn real() -> impl Strategy<Value = History> {
    histories(operation().boxed(), change(alone).boxed(), |operation| match operation {
        Operation::Call(call) | Operation::Orphaned { call, .. } => Operation::Call(sound(call)),
        Operation::Killed { call, syscall, nth } => Operation::Killed { call: sound(call), syscall, nth },
        // Whom an unreadable record named is not known any more, and real interfaces under other names stay.
        Operation::Tear { .. } => Operation::Mend,
        other => other,
    })
}

/// The call without faults.
fn sound(mut call: Call) -> Call {
    call.faults_mut().clear();
    call
}

fn histories(
    operation: BoxedStrategy<Operation>,
    change: BoxedStrategy<Vec<Operation>>,
    adapt: fn(Operation) -> Operation,
) -> impl Strategy<Value = History> {
    // Most of what can go wrong needs something that is attached.
    let first = key().prop_map(add);
    let steps = prop_oneof![12 => operation.prop_map(|operation| vec![operation]), 1 => change];
    (setup(), vec(first, 0..=3), vec(steps, 1..=LONGEST)).prop_map(move |(setup, mut operations, more)| {
        operations.extend(more.into_iter().flatten().map(adapt));
        History { setup, operations }
    })
}

fn add(key: Key) -> Operation {
    Operation::Call(Call::Add { key, annotation: None, faults: Vec::new() })
}

/// A pod on one network, which another one joins and perhaps leaves. Policies by chance seldom agree so well.
fn change(play: fn(Call) -> BoxedStrategy<Operation>) -> impl Strategy<Value = Vec<Operation>> {
    let join = (key(), faults(&[Verb::Add, Verb::Del], 1)).prop_map(|(key, faults)| Call::Join {
        key,
        annotation: None,
        faults,
    });
    let leave = |key: Key| {
        faults(&[Verb::Del], 1).prop_map(move |faults| Call::Leave { key, annotation: None, faults })
    };
    join.prop_flat_map(move |join| {
        let key = join.key().unwrap_or(Key { container: 0, ifname: 0 });
        let after = prop::option::weighted(0.6, leave(key).prop_flat_map(play));
        (policy(), side(), prop::bool::weighted(0.8), Just(key), play(join), after)
    })
    .prop_map(|(policy, primary, attaches, key, join, leave)| {
        let attach = Attach::Both;
        let both = Policy { attach, primary, default_route: primary, rule: None, retired: false, ..policy };
        let flip_to_primary = Operation::Flip(Policy { attach: Attach::One(primary), ..both });
        let mut steps = Vec::new();
        if attaches {
            steps.extend([flip_to_primary.clone(), add(key)]);
        }
        steps.extend([Operation::Flip(both), join]);
        steps.extend(leave.into_iter().flat_map(|leave| [flip_to_primary.clone(), leave]));
        steps
    })
}

/// The call, to its end or killed.
fn alone(call: Call) -> BoxedStrategy<Operation> {
    prop_oneof![
        4 => Just(Operation::Call(call.clone())),
        2 => killed(Just(sound(call.clone()))),
        1 => orphaned(Just(sound(call))),
    ]
    .boxed()
}

/// The call, mostly at the same time as another one, which may be of the same pod.
fn beside_another(call: Call) -> BoxedStrategy<Operation> {
    let key = call.key().unwrap_or(Key { container: 0, ifname: 0 });
    let del = Just(Call::Del { key, without_netns: false, faults: Vec::new() });
    let add =
        Just(Call::Add { key: Key { ifname: 1 - key.ifname, ..key }, annotation: None, faults: Vec::new() });
    let other = prop_oneof![3 => quick_call(), 2 => del, 1 => add];
    let together =
        (Just(quick(call.clone())), other).prop_map(|(call, other)| Operation::Together(vec![call, other]));
    prop_oneof![3 => together, 1 => Just(Operation::Call(call))].boxed()
}

/// The call without a delegate that hangs.
fn quick(mut call: Call) -> Call {
    call.faults_mut().retain(|fault| fault.how != FailureKind::Hang);
    call
}

fn setup() -> impl Strategy<Value = Setup> {
    let old = select(vec!["0.3.1", "0.4.0", "1.1.0"]);
    let new = select(vec!["0.4.0", "1.0.0", "1.1.0", "1.1.0"]);
    (old, new, any::<bool>(), any::<[bool; 2]>(), policy()).prop_map(|(old, new, chain, probes, policy)| {
        Setup { versions: [old.to_owned(), new.to_owned()], chain, probes, policy }
    })
}

fn side() -> impl Strategy<Value = Side> {
    select(Side::BOTH.to_vec())
}

fn attach() -> impl Strategy<Value = Attach> {
    prop_oneof![
        Just(Attach::One(Side::Old)),
        Just(Attach::Both),
        Just(Attach::Both),
        Just(Attach::One(Side::New))
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8));
    let more = (prop::bool::weighted(0.3), prop::bool::weighted(0.3), prop::option::weighted(0.3, attach()));
    (attach(), side(), side(), flags, more).prop_map(
        |(attach, primary, default_route, (annotation, no_grace, forward), (tolerate, retired, rule))| {
            let retired = retired && attach == Attach::One(Side::New);
            Policy {
                attach,
                primary,
                // Only who owns the default route may be tolerated away.
                default_route: if tolerate { primary } else { default_route },
                tolerate,
                // A retired network gets no new pods.
                rule: rule.filter(|_| !retired),
                annotation: annotation && !retired,
                retired,
                no_grace,
                forward,
            }
        },
    )
}

fn key() -> impl Strategy<Value = Key> {
    let container = prop_oneof![4 => Just(0_u8), 2 => 1..CONTAINERS];
    let ifname = prop_oneof![6 => Just(0_u8), 1 => Just(1)];
    (container, ifname).prop_map(|(container, ifname)| Key { container, ifname })
}

fn how(hang: u32) -> impl Strategy<Value = FailureKind> {
    prop_oneof![
        4 => select(vec![7, 11, 51, 51, 999]).prop_map(FailureKind::Error),
        2 => Just(FailureKind::NotFound),
        3 => Just(FailureKind::NetnsMissing),
        3 => Just(FailureKind::Silent),
        3 => Just(FailureKind::Signal),
        2 => Just(FailureKind::Garbage),
        1 => Just(FailureKind::Nothing),
        hang => Just(FailureKind::Hang),
    ]
}

/// No fault mostly, one often, two at times; `verbs` are those that the operation may come to.
fn faults(verbs: &'static [Verb], hang: u32) -> impl Strategy<Value = Vec<Fault>> {
    let fault = (select(Part::ALL.to_vec()), select(verbs), how(hang)).prop_map(|(part, verb, how)| Fault {
        part,
        verb,
        how,
    });
    prop_oneof![1 => Just(Vec::new()), 1 => vec(fault, 1..=2)]
}

fn list() -> impl Strategy<Value = List> {
    prop_oneof![
        3 => Just(List::Complete),
        3 => key().prop_map(List::Without),
        1 => Just(List::Empty),
        1 => Just(List::Missing),
    ]
}

fn call(hang: u32) -> impl Strategy<Value = Call> {
    let wish =
        prop_oneof![4 => Just(None), 2 => Just(Some(Attach::Both)), 1 => Just(Some(Attach::One(Side::New)))];
    let add = (key(), wish, faults(&[Verb::Add, Verb::Add, Verb::Del], hang))
        .prop_map(|(key, annotation, faults)| Call::Add { key, annotation, faults });
    let del = (key(), prop::bool::weighted(0.25), faults(&[Verb::Del], hang))
        .prop_map(|(key, without_netns, faults)| Call::Del { key, without_netns, faults });
    let wish = || prop_oneof![4 => Just(None), 2 => Just(Some(Attach::Both))];
    let join = (key(), wish(), faults(&[Verb::Add, Verb::Add, Verb::Del], hang))
        .prop_map(|(key, annotation, faults)| Call::Join { key, annotation, faults });
    let leave = (key(), wish(), faults(&[Verb::Del], hang))
        .prop_map(|(key, annotation, faults)| Call::Leave { key, annotation, faults });
    let check = (key(), faults(&[Verb::Check], hang)).prop_map(|(key, faults)| Call::Check { key, faults });
    let status = faults(&[Verb::Status], hang).prop_map(|faults| Call::Status { faults });
    let gc =
        (list(), faults(&[Verb::Gc, Verb::Del], hang)).prop_map(|(list, faults)| Call::Gc { list, faults });
    let sweep = (list(), faults(&[Verb::Del], hang)).prop_map(|(list, faults)| {
        // Without a list there is no sweep.
        let list = if list == List::Missing { List::Complete } else { list };
        Call::Sweep { list, faults }
    });
    prop_oneof![10 => add, 8 => del, 4 => join, 4 => leave, 4 => check, 3 => status, 4 => gc, 2 => sweep]
}

/// A call in which no delegate hangs.
fn quick_call() -> impl Strategy<Value = Call> {
    call(0)
}

/// A call that is killed at a system call, if it gets there.
fn killed(call: impl Strategy<Value = Call>) -> impl Strategy<Value = Operation> {
    (call, select(SYSCALLS.to_vec()), any::<u16>()).prop_map(|(call, (syscall, most), at)| {
        Operation::Killed { call, syscall: syscall.to_owned(), nth: 1 + at % most }
    })
}

/// A call that is killed while a plugin is in the midst of it.
fn orphaned(call: impl Strategy<Value = Call>) -> impl Strategy<Value = Operation> {
    (call, select(Part::ALL.to_vec()), any::<bool>()).prop_map(|(call, part, hangs)| Operation::Orphaned {
        call,
        part,
        hangs,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    // A call without faults, since the one that is orphaned is to be reached.
    let attaching = quick_call().prop_map(|call| match call {
        call @ (Call::Del { .. } | Call::Join { .. } | Call::Leave { .. }) => sound(call),
        other => Call::Add {
            key: other.key().unwrap_or(Key { container: 0, ifname: 0 }),
            annotation: None,
            faults: Vec::new(),
        },
    });
    let breakage =
        select(vec![Breakage::Missing, Breakage::Torn, Breakage::WritableByOthers, Breakage::UnknownKey]);
    let thing = select(vec![Thing::Conf, Thing::Binary, Thing::Socket]);
    let agent = (side(), thing, prop::bool::weighted(0.65))
        .prop_map(|(side, thing, there)| Operation::Agent { side, thing, there });
    let disk = select(vec![Disk::Sound, Disk::Sound, Disk::Sound, Disk::Sound, Disk::Full, Disk::ReadOnly]);
    let torn = (key(), 0..1000_u16).prop_map(|(key, permille)| Operation::Tear { key, permille });
    let netns = (0..CONTAINERS, any::<bool>())
        .prop_map(|(container, another)| Operation::Netns { container, another });
    prop_oneof![
        50 => call(1).prop_map(Operation::Call),
        14 => killed(quick_call()),
        6 => orphaned(attaching),
        10 => policy().prop_map(Operation::Flip),
        1 => breakage.prop_map(Operation::Break),
        4 => Just(Operation::Mend),
        7 => agent,
        6 => disk.prop_map(Operation::Disk),
        3 => torn,
        3 => netns,
        3 => Just(Operation::Reboot),
    ]
}
