//! The policy: what is accepted holds every documented rule and can be printed and read again; what it decides for a pod keeps to it.

use shim::attachment::plan::{Plan, decide_add};
use types::json::raw::to_raw;
use types::pod::Pod;
use types::policy::{Attach, Phase, Policy, Probe, Reason, SecondaryFailure, Side};
use types::text::names::{is_name, validate_ifname};

/// So many truncations of one policy are tried.
const CUTS: usize = 64;

/// Checks any bytes as a policy.
pub fn check(data: &[u8]) {
    let policy = match Policy::parse(data) {
        Ok(policy) => policy,
        Err(why) => return assert!(!why.is_empty() && !why.contains('\n'), "{why:?}"),
    };
    rules(&policy);
    let printed = to_raw(&policy);
    let again = Policy::parse(printed.get().as_bytes());
    assert_eq!(again.as_ref(), Ok(&policy), "printed and read again: {printed}");
    for cut in (0..data.len()).step_by(data.len() / CUTS + 1) {
        if let Ok(shorter) = Policy::parse(&data[..cut]) {
            assert_eq!(shorter, policy, "cut to {cut} bytes");
        }
    }
    for phase in Phase::ALL {
        flipped(data, &policy, phase);
    }
    pods(&policy);
}

/// What docs and schema promise of every policy that is accepted.
fn rules(policy: &Policy) {
    let has = |side: Side| policy.network(side).is_some();
    let attach = |attach: Attach| match attach {
        Attach::One(side) => assert!(has(side), "{side} is absent"),
        Attach::Both => assert!(has(Side::Old) && has(Side::New), "one of both is absent"),
    };
    attach(policy.attach);
    policy.rules.iter().for_each(|rule| attach(rule.attach));
    policy.pod_annotation.iter().flat_map(|annotation| &annotation.allow).for_each(|value| attach(*value));
    assert!(policy.pod_annotation.as_ref().is_none_or(|annotation| !annotation.key.is_empty()));
    assert!(policy.unrecorded.is_none_or(has));
    for (at, retired) in policy.retired.iter().enumerate() {
        assert!(has(retired.network) && retired.force_after_secs <= 366 * 24 * 3600);
        assert!(
            policy.retired[..at].iter().all(|earlier| earlier.network != retired.network),
            "retired twice"
        );
    }
    assert!(policy.networks().count() >= 1);
    for (_, network) in policy.networks() {
        assert!(is_name(&network.profile));
        assert!(!network.conf.is_empty() && network.conf.iter().all(|path| path.is_absolute()));
        assert!(network.cidrs.iter().all(|cidr| cidr.ip() == cidr.network()), "{:?}", network.cidrs);
        for probe in network.probes() {
            match probe {
                Probe::Unix(path) | Probe::File(path) => assert!(path.is_absolute()),
                Probe::Http { target, headers } => {
                    let header = |text: &String| !text.contains(['\r', '\n', '\0']);
                    assert!(target.contains(':') && !target.contains([' ', '\r', '\n']), "{target:?}");
                    assert!(headers.iter().all(|(key, value)| header(key) && header(value)), "{headers:?}");
                }
            }
        }
    }
    let both = &policy.both;
    assert!(both.secondary_failure == SecondaryFailure::Fail || both.primary() == both.default_route());
    assert_eq!(validate_ifname(&both.secondary_ifname), Ok(()));
    let deadlines = policy.deadlines;
    for secs in [deadlines.add_secs, deadlines.del_secs, deadlines.check_secs, deadlines.gc_secs] {
        assert!((1..=3600).contains(&secs), "{secs}");
    }
    assert!((1..=3_600_000).contains(&deadlines.status_millis) && policy.gc.grace_secs <= 366 * 24 * 3600);
}

/// A flip sets the phase and nothing else, and is refused only where the rest of the policy forbids it.
fn flipped(data: &[u8], policy: &Policy, phase: Phase) {
    let (attach, primary) = phase.meaning();
    let there = match attach {
        Attach::One(side) => policy.network(side).is_some(),
        Attach::Both => policy.networks().count() == 2,
    };
    let mut expected = policy.clone();
    expected.attach = attach;
    expected.both.primary = primary.or(expected.both.primary);
    let both = &expected.both;
    let works = both.secondary_failure == SecondaryFailure::Fail || both.primary() == both.default_route();
    match Policy::flip(data, phase) {
        Ok(bytes) => {
            let read = Policy::parse(&bytes).expect("a flip leaves a valid policy");
            assert_eq!(read, expected, "flipped to {phase}");
            assert_eq!(Policy::flip(&bytes, phase).as_ref(), Ok(&bytes), "a second flip changes nothing");
        }
        Err(why) => assert!(!there || !works, "{phase} refused: {why}"),
    }
}

/// Every pod that a rule could be about, and some that none is.
fn pods(policy: &Policy) {
    let globs = |field: fn(&types::policy::Rule) -> &Option<String>| {
        let written = policy.rules.iter().take(4).filter_map(move |rule| field(rule).as_ref());
        let mut texts: Vec<Option<String>> = vec![None, Some("x".into())];
        texts.extend(written.flat_map(|glob| ["", "-a"].map(|run| Some(glob.replace('*', run)))));
        texts
    };
    let names = globs(|rule| &rule.pod);
    for namespace in globs(|rule| &rule.namespace) {
        for name in &names {
            let pod = Pod { namespace: namespace.clone(), name: name.clone() };
            for annotation in [None, Some("old"), Some("new"), Some("both"), Some(""), Some("BOTH")] {
                chosen(policy, &pod, annotation);
            }
        }
    }
}

fn chosen(policy: &Policy, pod: &Pod, annotation: Option<&str>) {
    let choice = policy.choose(pod, |key| {
        assert_eq!(Some(key), policy.pod_annotation.as_ref().map(|ours| ours.key.as_str()));
        annotation.map(str::to_owned)
    });
    let matches = |rule: &types::policy::Rule| {
        let fits = |glob: &Option<String>, text: &Option<String>| match (glob, text) {
            (None, _) => true,
            (Some(glob), Some(text)) => covers(&chars(glob), &chars(text)),
            (Some(_), None) => false,
        };
        fits(&rule.namespace, &pod.namespace) && fits(&rule.pod, &pod.name)
    };
    let first = policy.rules.iter().position(matches);
    let by_rule = first.map_or(policy.attach, |at| policy.rules[at].attach);
    let allowed = policy
        .pod_annotation
        .as_ref()
        .zip(annotation)
        .and_then(|(ours, value)| ours.allow.iter().find(|attach| attach.as_str() == value));
    assert_eq!(choice.attach, allowed.copied().unwrap_or(by_rule), "{pod:?} {annotation:?}");
    match choice.reason {
        Reason::Annotation => assert!(allowed.is_some()),
        Reason::Rule(at) => assert_eq!(Some(at), first),
        Reason::Default => assert_eq!(first, None),
    }
    let ignored = allowed.is_none() && policy.pod_annotation.is_some();
    assert_eq!(choice.ignored_annotation.as_deref(), annotation.filter(|_| ignored));
    let secondary_ifname = policy.both.secondary_ifname.as_str();
    for (ifname, taken) in
        [("eth0", vec![]), ("eth0", vec![secondary_ifname]), (secondary_ifname, vec!["net1", "net2"])]
    {
        let taken: Vec<String> = taken.into_iter().map(str::to_owned).collect();
        planned(
            policy,
            choice.attach,
            ifname,
            &taken,
            &decide_add(choice.attach, &policy.both, ifname, &taken),
        );
    }
}

/// A plan has one primary, which keeps the runtime's name; the owner of the default route is last; no network is asked that the policy lacks.
fn planned(policy: &Policy, attach: Attach, ifname: &str, taken: &[String], plan: &Plan) {
    assert_eq!(plan.legs.len(), if attach == Attach::Both { 2 } else { 1 });
    let primaries: Vec<_> = plan.legs.iter().filter(|leg| leg.primary).collect();
    assert!(matches!(primaries[..], [only] if only.ifname == ifname && !only.tolerated), "{plan:?}");
    for (at, leg) in plan.legs.iter().enumerate() {
        assert!(policy.network(leg.side).is_some(), "{plan:?}");
        assert!(plan.legs[..at].iter().all(|other| other.side != leg.side && other.ifname != leg.ifname));
        assert_eq!(validate_ifname(&leg.ifname), Ok(()));
        if !leg.primary {
            assert!(!taken.contains(&leg.ifname), "{plan:?} with {taken:?} taken");
            assert_eq!(leg.tolerated, policy.both.secondary_failure == SecondaryFailure::Tolerate);
        }
    }
    match attach {
        Attach::One(side) => assert_eq!(plan.legs[0].side, side),
        Attach::Both => {
            assert_eq!(plan.legs[1].side, policy.both.default_route(), "the owner is attached last");
            assert_eq!(primaries[0].side, policy.both.primary());
        }
    }
    let alone = plan.primary_alone();
    assert!(alone.legs.len() == 1 && alone.legs[0] == *primaries[0]);
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// Whether a glob covers a text, cell by cell: slow, and another way than ours.
fn covers(glob: &[char], text: &[char]) -> bool {
    let mut row: Vec<bool> = (0..=text.len()).map(|at| at == 0).collect();
    for pattern in glob {
        let mut next = vec![*pattern == '*' && row[0]];
        for (at, letter) in text.iter().enumerate() {
            let cell = if *pattern == '*' { next[at] || row[at + 1] } else { row[at] && pattern == letter };
            next.push(cell);
        }
        row = next;
    }
    row[text.len()]
}
