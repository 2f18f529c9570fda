//! Each guard of a run is proven by a run that is blind to what the guard looks at: some history of it breaks an invariant, and none does if it sees.

use simulation::{
    CallFault, Choice, Fault, GateFault, HolderFault, MachineFault, NodeFault, ObjectFault, PersonFault,
    PipelineFault, Tamper,
};

use crate::play::{Runs, all, name};

/// What a run is blind to, what goes wrong meanwhile, the invariant that notices, and the first seed that is tried.
type Row = (Tamper, Choice, &'static str, u64);

/// How many histories are tried at most.
const SEEDS: u64 = 400;

/// Those of which one of the first histories notices.
const QUICK: [Row; 21] = [
    (Tamper::Version, Choice::Only(Fault::Call(CallFault::LostAnswer)), "R5", 0),
    (Tamper::Epoch, Choice::Only(Fault::Person(PersonFault::ForcedTakeover)), "R1", 0),
    (Tamper::Trouble, Choice::Only(Fault::Node(NodeFault::Cordon)), "R2", 0),
    (
        Tamper::Echo,
        Choice::Both(Fault::Machine(MachineFault::DeadWatch), Fault::Gate(GateFault::GateRed)),
        "R8",
        0,
    ),
    (
        Tamper::Boot,
        Choice::Both(Fault::Machine(MachineFault::FreshBoot), Fault::Gate(GateFault::GateUnknown)),
        "R8",
        27,
    ),
    (Tamper::Dns, Choice::Quiet, "R4", 0),
    (Tamper::Attachments, Choice::Quiet, "R8", 0),
    (Tamper::Census, Choice::Only(Fault::Machine(MachineFault::Forgetful)), "R8", 0),
    (Tamper::Cordon, Choice::Only(Fault::Node(NodeFault::Cordon)), "R7", 0),
    (Tamper::Freshness, Choice::Only(Fault::Gate(GateFault::GateSilent)), "R9", 0),
    (Tamper::Reach, Choice::Only(Fault::Person(PersonFault::Abort)), "R3", 5),
    (Tamper::Stop, Choice::Only(Fault::Person(PersonFault::PauseNow)), "R12", 15),
    (Tamper::Undisturbed, Choice::Only(Fault::Object(ObjectFault::Pinned)), "R5", 10),
    (Tamper::Policy, Choice::Only(Fault::Machine(MachineFault::PolicyEdited)), "R10", 0),
    (Tamper::Requests, Choice::Quiet, "R13", 0),
    (
        Tamper::Silence,
        Choice::Both(Fault::Holder(HolderFault::SilentWatch), Fault::Object(ObjectFault::PodCrash)),
        "R9",
        900,
    ),
    (Tamper::Joins, Choice::Quiet, "R14", 0),
    (Tamper::Drift, Choice::Quiet, "R15", 0),
    (Tamper::Network, Choice::Only(Fault::Pipeline(PipelineFault::BadImage)), "R8", 0),
    (Tamper::Agents, Choice::Only(Fault::Call(CallFault::BadLaunch)), "R8", 0),
    (Tamper::OtherNetwork, Choice::Only(Fault::Call(CallFault::BadLaunch)), "R8", 0),
];

/// Those that take dozens or hundreds of histories; `make soak` plays them.
const SLOW: [Row; 2] = [
    (
        Tamper::Uid,
        Choice::Both(Fault::Holder(HolderFault::Deaf), Fault::Object(ObjectFault::PodDeleted)),
        "R5",
        0,
    ),
    (
        Tamper::Lease,
        Choice::Both(Fault::Holder(HolderFault::Suspend), Fault::Person(PersonFault::SecondHolder)),
        "R1",
        0,
    ),
];

/// How one of them came out: what is wrong, if something is.
fn tried((tamper, choice, invariant, from): &Row) -> Option<String> {
    let with = name(*choice);
    let is_rotation =
        matches!(tamper, Tamper::Drift | Tamper::Network | Tamper::Agents | Tamper::OtherNetwork);
    let runs = if is_rotation { Runs::Rotations } else { Runs::Clusters };
    for seed in *from..*from + SEEDS {
        if let Some(violation) = runs.play(seed, *choice, None).violations.first() {
            let (broken, why) = (violation.invariant, &violation.why);
            return Some(format!(
                "{tamper:?}: seed {seed}, {with}, breaks {broken} though nothing is hidden: {why}"
            ));
        }
        if runs
            .play(seed, *choice, Some(*tamper))
            .violations
            .iter()
            .any(|violation| violation.invariant == *invariant)
        {
            println!("{tamper:?}: {invariant} by seed {seed} with {with}");
            return None;
        }
    }
    Some(format!("{tamper:?}: nothing of {SEEDS} histories with {with} notices that a run is blind to it"))
}

fn must_be_noticed(rows: &[Row]) {
    let wrong: Vec<String> = all(rows.to_vec(), tried).into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_blind_run_breaks_an_invariant() {
    must_be_noticed(&QUICK);
}

#[test]
#[ignore = "takes minutes"]
fn a_blind_run_breaks_an_invariant_now_and_then() {
    must_be_noticed(&SLOW);
}

#[test]
fn each_blindness_is_tried() {
    let mut tried: Vec<Tamper> = QUICK.iter().chain(&SLOW).map(|(tamper, ..)| *tamper).collect();
    tried.sort();
    assert_eq!(tried, Tamper::ALL);
}
