//! The evaluators of Kubernetes and Calico against a tool of another project.
//!
//! `tests/fixtures/network-config-analyzer` has the tool's name and version, pairs of sets of policies, whether each pair means the same to the
//! tool, and which of some packets each set allows. The tool and the evaluators are asked about the same pods and the same addresses outside. The
//! pairs are kept as text, so that no verdict depends on how the pairs were drawn. The architecture page lists what the pairs leave out.

mod choices;
mod draw;
mod form;
mod near;
mod place;
mod record;
mod reword;

use std::io::Write;
use std::path::PathBuf;

use netpol::engines::calico;
use netpol::engines::kubernetes::{self, Blocks};
use netpol::tier::{Direction, Enforcement};
use netpol::verdict::{Difference, differences_among};
use netpol::world::{Cluster, World};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::calico::CalicoObjects;
use place::{Packets, cluster, header};
use record::{AllowedPackets, Record};

fn written(set: &[Value]) -> CalicoObjects {
    let (kubernetes, policies) = set.iter().cloned().partition(draw::is_of_kubernetes);
    CalicoObjects { policies, kubernetes, ..CalicoObjects::default() }
}

fn allowed(packets: &str) -> AllowedPackets {
    let hash = Sha256::digest(packets.as_bytes());
    let text: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    AllowedPackets(packets.matches('1').count(), text)
}

/// What policies mean to one evaluator.
type Evaluate = fn(&[Value], &Cluster, &World) -> Enforcement;

fn by_calico(set: &[Value], town: &Cluster, world: &World) -> Enforcement {
    written(set).read(town, |input| calico::enforcement(input, world).expect("tiers")).expect("policies")
}

fn by_kubernetes(set: &[Value], _: &Cluster, world: &World) -> Enforcement {
    let policies: Vec<_> = set.iter().map(|object| kubernetes::read(object).expect("a policy")).collect();
    let blocks = Blocks { pods: false, nodes: false, names_of_cluster: false };
    let tiers_of = |direction| vec![kubernetes::tier(&policies, world, direction, blocks).expect("a tier")];
    Enforcement { ingress: tiers_of(Direction::Ingress), egress: tiers_of(Direction::Egress) }
}

/// What of the evaluators is not as the tool says.
fn compared(record: &Record) -> Vec<String> {
    let town = cluster();
    let mentions = |set: &[Value]| {
        written(set).read(&town, |input| calico::mentions(input).expect("selectors")).expect("policies")
    };
    let mentions = mentions(&record.a).with(mentions(&record.b));
    let world = World::new(&town, &mentions);
    let packets = Packets::new(&town, &world, &mentions, record.number);
    let mut evaluators: Vec<(&str, Evaluate)> = vec![("Calico", by_calico)];
    if record.a.iter().chain(&record.b).all(draw::is_of_kubernetes) {
        evaluators.push(("Kubernetes", by_kubernetes));
    }
    let mut wrong = Vec::new();
    for (name, evaluate) in evaluators {
        let [a, b] = [&record.a, &record.b].map(|set| evaluate(set, &town, &world));
        // The tool also knows packets that no network carries, such as messages of ICMPv6 between addresses of IPv4.
        let all = [world.space.all(), world.space.all()];
        let differences: Vec<Difference> = differences_among(&world, &a, &b, all).collect();
        let differing = |direction| differences.iter().find(|candidate| candidate.direction == direction);
        let mut note = |why: String| wrong.push(format!("pair {}, {name}: {why}", record.number));
        for (direction, same) in [(Direction::Ingress, record.ingress), (Direction::Egress, record.egress)] {
            let difference = differing(direction);
            if difference.is_none() != same {
                let words = difference.map_or("no difference".into(), |item| item.words(&world));
                note(format!("{} is the same: {same}, but {words}", direction.name()));
            }
        }
        // Where one direction differs, the other one may forbid the same packets in both sets.
        if differences.is_empty() && !record.same {
            note("both directions are the same, and together they are not".into());
        }
        for (set, all, expected) in [("a", &a, &record.allowed_a), ("b", &b, &record.allowed_b)] {
            let ours = allowed(&packets.allowed(&world, all));
            if ours != *expected {
                note(format!("set {set} allows {ours:?}, and to the tool {expected:?}"));
            }
        }
    }
    wrong
}

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/network-config-analyzer/verdicts.jsonl.gz")
}

#[test]
fn an_independent_tool_says_the_same_of_every_pair() {
    let (value, records) = record::read(&fixture());
    let mut expected = header();
    expected["tool"] = json!("network-config-analyzer");
    expected["version"] = json!("2.1.0");
    assert_eq!(value, expected, "the tool was asked about another cluster");
    let count = |belongs: fn(&Record) -> bool| records.iter().filter(|record| belongs(record)).count();
    let (same, different) = (count(|record| record.same), count(|record| !record.same));
    assert!(same > 1000 && different > 1000, "{same} pairs mean the same, {different} do not");
    let hands = std::thread::available_parallelism().map_or(1, usize::from);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let parts = records.chunks(records.len().div_ceil(hands));
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter().flat_map(compared).collect::<Vec<_>>())).collect();
        parts.into_iter().flat_map(|part| part.join().expect("an end")).collect()
    });
    assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong[..wrong.len().min(9)].join("\n"));
}

/// Writes pairs for the tool to the file that `CROSSFADE_PAIRS` names, as many as `CROSSFADE_PAIRS_COUNT` says. The verdicts that they get become
/// the fields of [`Record`]; a pair that is no pair of valid policies gets none.
#[test]
#[ignore = "it writes what another program is asked about"]
fn pairs_for_the_tool_are_written() {
    let path = std::env::var_os("CROSSFADE_PAIRS").expect("CROSSFADE_PAIRS: the file to write");
    let count = std::env::var("CROSSFADE_PAIRS_COUNT").map_or(5000, |count| count.parse().expect("a number"));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[23; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).expect("a file"));
    writeln!(file, "{}", header()).expect("a header");
    for number in 0..count {
        let pair = draw::pair().new_tree(&mut runner).expect("a pair").current();
        writeln!(file, "{}", json!({"number": number, "a": pair.a, "b": pair.b})).expect("a pair");
    }
}
