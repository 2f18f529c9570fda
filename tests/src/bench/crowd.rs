//! Many attachments started together.
//!
//! The time of a crowd is from the start of the first process to the end of the last. One member that fails is an error of the
//! report and not the end of the run: what a crowd leaves behind is what it is measured for.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::call::{Attachment, Call};
use super::floor::Between;
use super::plugins::Bridge;
use super::report::Limit;
use super::single;
use super::statistics::{Pairs, Ratio};
use super::{Bench, Turn};

/// One side of a crowd: an ADD and a DEL for each member.
struct Side {
    adds: Vec<Call>,
    dels: Vec<Call>,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let most = bench.options.crowd;
    let bare_netns = bench.workshop.netns("crowd-a", most)?;
    let shim_netns = bench.workshop.netns("crowd-b", most)?;
    let mut sizes = vec![1, 16.min(most), most];
    sizes.dedup();
    for size in sizes {
        let members = |side: &str, netns: &[String]| -> Vec<Attachment> {
            let named = netns.iter().take(size).enumerate();
            named
                .map(|(number, netns)| Attachment {
                    id: format!("{side}-{number}"),
                    netns: netns.clone(),
                    ifname: "eth0".to_owned(),
                })
                .collect()
        };
        let (bare, shim) = (members("bare", &bare_netns), members("shim", &shim_netns));
        stubs(bench, &bare, &shim)?;
        bridges(bench, &bare, &shim)?;
    }
    Ok(())
}

fn stubs(bench: &mut Bench, bare: &[Attachment], shim: &[Attachment]) -> Result<()> {
    let size = bare.len();
    let (old, _, installation) =
        single::behind_shim(&bench.workshop, &format!("crowd-stub-{size}"), "1.0.0")?;
    let workshop = &bench.workshop;
    let length = installation.record_length(&shim[0])?;
    let floor = bare.iter().map(|member| {
        let delegate = single::bare(workshop, &old, "ADD", member)?;
        Between::new(workshop, &format!("crowd-{size}-{}", member.id), length, delegate)
    });
    let floor = floor.collect::<Result<Vec<_>>>()?;
    let bare = Side::new(bare, |verb, member| single::bare(workshop, &old, verb, member))?;
    let shim = Side::new(shim, |verb, member| installation.call_for(verb, member))?;
    let what = format!("{size} at once, stub");
    let add = measure(bench, &what, bare, shim, floor, |_, _| Ok(()))?;
    if size == bench.options.crowd {
        let through = Limit::new("ADD by bare", add.median, 1.5, "");
        bench.report.goal(&format!("{size} at once, instant delegates"), vec![through]);
    }
    leftovers(bench, &what, installation.leftovers()?);
    Ok(())
}

fn bridges(bench: &mut Bench, bare: &[Attachment], shim: &[Attachment]) -> Result<()> {
    let size = bare.len();
    let number = 101 + u8::try_from(size.min(100))?;
    let network = Bridge::new(&bench.workshop, number);
    let installation = network.behind_shim(&bench.workshop, &format!("crowd-bridge-{size}"))?;
    let workshop = &bench.workshop;
    let bare = Side::new(bare, |verb, member| network.bare(workshop, verb, member))?;
    let shim = Side::new(shim, |verb, member| installation.call_for(verb, member))?;
    let what = format!("{size} at once, bridge + host-local");
    measure(bench, &what, bare, shim, Vec::new(), |add, del| network.remember(add, del))?;
    leftovers(bench, &what, installation.leftovers()?);
    leftovers(bench, &what, network.leftovers()?);
    Ok(())
}

/// Runs the rounds of one crowd, and returns the ratio of its ADDs; `floor` is measured in the same rounds, `remember` gives a bare DEL what it needs of
/// its ADD.
fn measure(
    bench: &mut Bench,
    what: &str,
    mut bare: Side,
    mut shim: Side,
    mut floor: Vec<Between>,
    remember: impl Fn(&mut Call, &mut Call) -> Result<()>,
) -> Result<Ratio> {
    let (mut add, mut del, mut least) = (Pairs::default(), Pairs::default(), Pairs::default());
    let mut errors = Vec::new();
    for turn in bench.turns(bench.options.rounds) {
        let turn: Turn = turn?;
        let (mut bare_errors, mut shim_errors) = (Vec::new(), Vec::new());
        let (bare_add, _) = turn.measure(
            &mut add,
            || all_at_once(&mut bare.adds, &mut bare_errors),
            || all_at_once(&mut shim.adds, &mut shim_errors),
        )?;
        if !floor.is_empty() {
            let took = turn.on_core(|| at_least(&mut floor))?;
            turn.take(&mut least, bare_add, took);
        }
        if bare_errors.is_empty() {
            for (add, del) in bare.adds.iter_mut().zip(&mut bare.dels) {
                remember(add, del)?;
            }
        }
        turn.measure(
            &mut del,
            || all_at_once(&mut bare.dels, &mut bare_errors),
            || all_at_once(&mut shim.dels, &mut shim_errors),
        )?;
        errors.extend(bare_errors.into_iter().map(|error| format!("{what}, bare: {error:#}")));
        errors.extend(shim_errors.into_iter().map(|error| format!("{what}, shim: {error:#}")));
    }
    bench.report.pairs(format!("{what}: ADD"), &add);
    if !floor.is_empty() {
        bench.report.compared(format!("{what}: floor of ADD"), ["bare", "floor"], &least);
    }
    bench.report.pairs(format!("{what}: DEL"), &del);
    bench.report.errors.extend(errors);
    Ok(add.ratio())
}

impl Side {
    fn new(members: &[Attachment], call: impl Fn(&str, &Attachment) -> Result<Call>) -> Result<Side> {
        let each = |verb| members.iter().map(|member| call(verb, member)).collect::<Result<_>>();
        Ok(Side { adds: each("ADD")?, dels: each("DEL")? })
    }
}

/// Starts all calls together; the time until the last has ended.
fn all_at_once(calls: &mut [Call], errors: &mut Vec<anyhow::Error>) -> Result<Duration> {
    let members: Vec<_> = calls.iter_mut().map(|call| move || call.run()).collect();
    let (took, outcomes) = together(members)?;
    errors.extend(outcomes.into_iter().filter_map(Result::err));
    Ok(took)
}

/// Lets the floors of all members begin together; the time until the last has ended.
fn at_least(floor: &mut [Between]) -> Result<Duration> {
    let members: Vec<_> = floor.iter_mut().map(|between| move || between.run()).collect();
    let (took, outcomes) = together(members)?;
    outcomes.into_iter().collect::<Result<()>>()?;
    floor.iter().try_for_each(Between::clear)?;
    Ok(took)
}

/// Lets all members begin together: the time from the first that began to the last that ended, and each one's outcome.
pub(super) fn together<T: Send>(members: Vec<impl FnOnce() -> T + Send>) -> Result<(Duration, Vec<T>)> {
    let start = Barrier::new(members.len());
    let done: Vec<(Instant, Instant, T)> = thread::scope(|scope| {
        let mut threads = Vec::new();
        for act in members {
            let start = &start;
            threads.push(scope.spawn(move || {
                start.wait();
                let began = Instant::now();
                let outcome = act();
                (began, Instant::now(), outcome)
            }));
        }
        let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a caller panicked")));
        ended.collect::<Result<_>>()
    })?;
    let began = done.iter().map(|(began, _, _)| *began).min();
    let ended = done.iter().map(|(_, ended, _)| *ended).max();
    let took = began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
    Ok((took, done.into_iter().map(|(_, _, outcome)| outcome).collect()))
}

fn leftovers(bench: &mut Bench, what: &str, left: Vec<std::path::PathBuf>) {
    let named = left.into_iter().map(|path| format!("{what}: {}", path.display()));
    bench.report.leftovers.extend(named);
}
