//! The scripts of `deploy/pipelines`: never a drain or the end of a machine without the answer 0, 75 means another call, 3 leaves the node as it is, and a script
//! that was killed goes on when it is called again.

use std::path::{Path, PathBuf};

use crate::standin::{End, Machine, pipeline};

const PERMIT: &str = "kubectl crossfade permit n1 --wait 600";
const GET: &str = "kubectl get node n1 --ignore-not-found --output name";
const DRAIN: &str = "kubectl drain n1 --ignore-daemonsets --delete-emptydir-data --timeout=30m";

/// Two nodes, by their providers' IDs.
const NODES: &str = "aws:///eu-central-1a/i-0a n1\naws:///eu-central-1b/i-0b n2\n";

/// The command that Terraform runs before it ends a machine.
fn terraform_command() -> String {
    let text = std::fs::read_to_string(pipeline("instances.tf")).expect("instances.tf");
    let (_, rest) = text.split_once("<<-EOT\n").expect("the command");
    rest.split_once("EOT").expect("its end").0.to_owned()
}

/// What drains one node: the script, and Terraform's command, as Terraform runs it.
fn drainers() -> [(PathBuf, Vec<String>); 2] {
    let terraform = vec!["-c".to_owned(), terraform_command()];
    [(pipeline("drain-permitted.sh"), vec!["n1".to_owned()]), (PathBuf::from("/bin/sh"), terraform)]
}

fn call(machine: &Machine, (program, arguments): &(PathBuf, Vec<String>)) -> (End, Vec<String>) {
    machine.run(program, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_node_is_drained_once_it_may_go() {
    for drainer in drainers() {
        let cases: [(&[i32], &str, i32, &[&str]); 7] = [
            (&[0], "never", 0, &[PERMIT, DRAIN]),
            (&[75, 75, 0], "never", 0, &[PERMIT, PERMIT, PERMIT, DRAIN]),
            (&[3], "never", 3, &[PERMIT, GET]),
            (&[75, 3], "never", 3, &[PERMIT, PERMIT, GET]),
            (&[1], "never", 1, &[PERMIT]),
            (&[3], "kubectl get node", 1, &[PERMIT, GET]),
            (&[0], "kubectl drain", 1, &[PERMIT, DRAIN]),
        ];
        for (answers, fail, status, calls) in cases {
            let expected = (End::Status(status), calls.iter().map(|call| (*call).to_owned()).collect());
            let machine = Machine::new(answers, &[("nodes", "x n1\n"), ("fail", fail)]);
            assert_eq!(call(&machine, &drainer), expected, "{answers:?} {fail}");
        }
    }
}

/// A spot machine has taken its Node along, before the first request or while the pipeline waited.
#[test]
fn a_node_that_is_gone_is_done() {
    for drainer in drainers() {
        for answers in [&[3][..], &[75, 3]] {
            let (end, calls) = call(&Machine::new(answers, &[("nodes", "x n2\n")]), &drainer);
            let last = calls.last().map(String::as_str);
            assert_eq!((end, last), (End::Status(0), Some(GET)), "{calls:?}");
        }
    }
}

#[test]
fn a_drain_that_was_killed_after_the_answer_goes_on() {
    for drainer in drainers() {
        let machine = Machine::new(&[0], &[("kill", "kubectl crossfade permit")]);
        assert_eq!(call(&machine, &drainer), (End::Killed, vec![PERMIT.to_owned()]));
        machine.answer(&[0]);
        assert_eq!(call(&machine, &drainer), (End::Status(0), vec![PERMIT.to_owned(), DRAIN.to_owned()]));
    }
}

/// What the loop calls for a node, up to and with its drain.
const FIRST: [&str; 6] = [
    "kubectl get node n1 --ignore-not-found --output name",
    "start-node n1",
    "kubectl wait --for=condition=Ready --timeout=15m node/new-n1",
    "kubectl wait --for=condition=CrossfadeReady --timeout=15m node/new-n1",
    PERMIT,
    DRAIN,
];
const LAST: [&str; 2] = ["end-node n1", "kubectl delete node n1 --ignore-not-found"];

#[test]
fn the_loop_ends_an_old_machine_when_the_new_node_is_ready_and_the_old_one_is_empty() {
    let script = pipeline("loop.sh");
    let machine = Machine::new(&[0], &[("nodes", "x n1\n")]);
    let (end, calls) = machine.run(&script, &["n1"]);
    assert_eq!(
        (end, calls),
        (End::Status(0), [&FIRST[..], &LAST].concat().iter().map(ToString::to_string).collect())
    );
    // On the way back.
    let machine = Machine::new(&[0], &[("nodes", "x n1\n")]);
    let arguments = ["CONDITIONS=Ready", script.to_str().expect("UTF-8"), "n1"];
    let (end, calls) = machine.run(Path::new("/usr/bin/env"), &arguments);
    let others = FIRST.iter().chain(&LAST).filter(|call| !call.contains("CrossfadeReady"));
    assert_eq!((end, calls), (End::Status(0), others.map(ToString::to_string).collect()));
    // Its Node is gone: nothing is started for it again.
    let (end, calls) = machine.run(&script, &["n1"]);
    assert_eq!((end, calls), (End::Status(0), vec![FIRST[0].to_owned()]));

    for (answers, fail, status, count) in [
        (&[1][..], "never", 1, 5),
        (&[0], "kubectl drain", 1, 6),
        (&[0], "kubectl wait --for=condition=Ready", 1, 3),
        (&[0], "kubectl wait --for=condition=CrossfadeReady", 1, 4),
        (&[0], "start-node", 1, 2),
        (&[0], "kubectl get node", 1, 1),
    ] {
        let machine = Machine::new(answers, &[("nodes", "x n1\nx n2\n"), ("fail", fail)]);
        let (end, calls) = machine.run(&script, &["n1", "n2"]);
        assert_eq!(
            (end, calls),
            (End::Status(status), FIRST[..count].iter().map(ToString::to_string).collect()),
            "{fail}"
        );
    }
}

/// The other nodes do not wait for one that the run never lets go.
#[test]
fn the_loop_goes_on_after_a_node_that_stays() {
    let machine = Machine::new(&[3, 0], &[("nodes", "x n1\nx n2\n")]);
    let (end, calls) = machine.run(&pipeline("loop.sh"), &["n1", "n2"]);
    let count = |call: &str| calls.iter().filter(|candidate| candidate.starts_with(call)).count();
    assert_eq!(
        (end, count("end-node n1"), count("end-node n2"), count("kubectl drain n1")),
        (End::Status(3), 0, 1, 0)
    );
}

#[test]
fn the_loop_goes_on_where_it_was_killed() {
    let script = pipeline("loop.sh");
    for kill in ["kubectl crossfade permit", "kubectl drain", "end-node"] {
        let machine = Machine::new(&[0], &[("nodes", "x n1\n"), ("kill", kill)]);
        let (end, calls) = machine.run(&script, &["n1"]);
        assert_eq!(end, End::Killed, "{kill}");
        assert!(calls.last().is_some_and(|call| call.starts_with(kill)), "{calls:?}");
        machine.answer(&[0]);
        let (end, calls) = machine.run(&script, &["n1"]);
        assert_eq!(
            (end, calls),
            (End::Status(0), [&FIRST[..], &LAST].concat().iter().map(ToString::to_string).collect())
        );
    }
}

const INSTANCES: &str = r#"[
    {"id": "i-0a", "nodeName": "n1", "status": "NeedsUpdate", "instanceGroup": "nodes"},
    {"id": "i-0b", "nodeName": "n2", "status": "NeedsUpdate", "instanceGroup": "nodes"},
    {"id": "i-0c", "nodeName": "n3", "status": "UpToDate", "instanceGroup": "nodes"},
    {"id": "i-0d", "nodeName": "cp", "status": "NeedsUpdate", "instanceGroup": "control-plane"}
]"#;

#[test]
fn kops_replaces_an_instance_when_its_node_may_go() {
    let script = pipeline("kops-roll.sh");
    let run = |answers: &[i32], fail: &str| {
        let machine = Machine::new(answers, &[("instances", INSTANCES), ("fail", fail)]);
        let (end, calls) = machine.run(&script, &["nodes"]);
        (end, calls.into_iter().skip(1).collect::<Vec<_>>())
    };
    let (first, second) = (PERMIT, "kubectl crossfade permit n2 --wait 600");
    let (delete_first, delete_second) = ("kops delete instance n1 --yes", "kops delete instance n2 --yes");
    let cases: [(&[i32], &str, i32, &[&str]); 5] = [
        (&[0, 75, 0], "never", 0, &[first, delete_first, second, second, delete_second]),
        (&[3, 0], "never", 3, &[first, second, delete_second]),
        (&[75, 3, 3], "never", 3, &[first, first, second]),
        (&[1], "never", 1, &[first]),
        (&[0], "kops delete", 1, &[first, delete_first]),
    ];
    for (answers, fail, status, calls) in cases {
        let calls = calls.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(run(answers, fail), (End::Status(status), calls), "{answers:?}");
    }
}

#[test]
fn kops_goes_on_where_it_was_killed_and_takes_no_instance_without_a_node() {
    let script = pipeline("kops-roll.sh");
    let machine = Machine::new(&[0], &[("instances", INSTANCES), ("kill", "kubectl crossfade permit n1")]);
    let (end, calls) = machine.run(&script, &["nodes"]);
    assert_eq!((end, calls.len()), (End::Killed, 2), "{calls:?}");
    machine.answer(&[0, 0]);
    let (end, calls) = machine.run(&script, &["nodes"]);
    assert_eq!(
        (end, calls[1..3].join("; ")),
        (End::Status(0), format!("{PERMIT}; kops delete instance n1 --yes"))
    );

    let machine = Machine::new(&[], &[("instances", &INSTANCES.replacen(r#""nodeName": "n1", "#, "", 1))]);
    let (end, calls) = machine.run(&script, &["nodes"]);
    assert_eq!((end, calls.len()), (End::Status(5), 1), "{calls:?}");
}

#[test]
fn kured_reboots_a_node_that_has_to_and_may() {
    let script = pipeline("kured-sentinel.sh");
    let machine = Machine::new(&[], &[]);
    assert_eq!(machine.run(&script, &[]), (End::Status(1), vec![]));
    for answer in [0, 75, 3, 1] {
        let machine = Machine::new(&[answer], &[("reboot-required", "")]);
        assert_eq!(
            machine.run(&script, &[]),
            (End::Status(answer), vec!["kubectl crossfade permit n1".to_owned()])
        );
    }
}

/// Runs one pass over a group; the calls after those that list.
fn pass(machine: &Machine) -> (End, Vec<String>) {
    let (end, calls) = machine.run(&pipeline("asg-terminate.sh"), &["prod", "bye"]);
    let mut calls = calls.into_iter();
    let listed: Vec<String> = calls.by_ref().take(2).collect();
    assert!(
        listed[0]
            .starts_with("aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names prod "),
        "{listed:?}"
    );
    (end, calls.collect())
}

fn action(command: &str, instance: &str) -> String {
    format!(
        "aws autoscaling {command} --auto-scaling-group-name prod --lifecycle-hook-name bye --instance-id {instance}"
    )
}

#[test]
fn a_hook_ends_when_the_node_is_empty() {
    let beats = ["i-0a", "i-0b"].map(|instance| action("record-lifecycle-action-heartbeat", instance));
    let done = |instance| {
        format!("{} --lifecycle-action-result CONTINUE", action("complete-lifecycle-action", instance))
    };
    let permit = |node| format!("kubectl crossfade permit {node}");
    let drain =
        |node| format!("kubectl drain {node} --ignore-daemonsets --delete-emptydir-data --timeout=15m");
    let both = [permit("n1"), permit("n2")];
    let cases: [(&[i32], &str, i32, Vec<String>); 8] = [
        (&[0], "never", 0, vec![permit("n1"), drain("n1"), done("i-0a")]),
        (&[75, 0], "never", 0, vec![permit("n1"), permit("n2"), drain("n2"), done("i-0b")]),
        (&[75, 75], "never", 75, both.to_vec()),
        (&[3, 75], "never", 3, both.to_vec()),
        (&[75, 3], "never", 3, both.to_vec()),
        (&[3, 0], "never", 0, vec![permit("n1"), permit("n2"), drain("n2"), done("i-0b")]),
        (&[1], "never", 1, vec![permit("n1")]),
        (&[0], "kubectl drain", 1, vec![permit("n1"), drain("n1")]),
    ];
    for (answers, fail, status, calls) in cases {
        let machine =
            Machine::new(answers, &[("nodes", NODES), ("instances", "i-0a\ti-0b\n"), ("fail", fail)]);
        assert_eq!(
            pass(&machine),
            (End::Status(status), [&beats[..], &calls].concat()),
            "{answers:?} {fail}"
        );
    }
}

#[test]
fn a_hook_goes_on_where_it_was_killed() {
    for kill in ["kubectl crossfade permit", "kubectl drain", "aws autoscaling complete"] {
        let machine = Machine::new(&[0], &[("nodes", NODES), ("instances", "i-0a\n"), ("kill", kill)]);
        let (end, calls) = pass(&machine);
        assert_eq!(end, End::Killed);
        assert!(calls.last().is_some_and(|call| call.starts_with(kill)), "{calls:?}");
        machine.answer(&[0]);
        let (end, calls) = pass(&machine);
        assert_eq!((end, calls.len()), (End::Status(0), 4), "{calls:?}");
    }
}

#[test]
fn a_hook_ends_without_a_drain_only_where_no_node_is_the_instances() {
    let machine = Machine::new(&[], &[("nodes", NODES), ("instances", "i-0c\n")]);
    let done = format!("{} --lifecycle-action-result CONTINUE", action("complete-lifecycle-action", "i-0c"));
    assert_eq!(
        pass(&machine),
        (End::Status(0), vec![action("record-lifecycle-action-heartbeat", "i-0c"), done])
    );
    // Nothing says which node is whose, or the API server does not answer.
    for (nodes, fail) in [(" n1\n n2\n", "never"), (NODES, "kubectl get nodes")] {
        let machine = Machine::new(&[], &[("nodes", nodes), ("instances", "i-0a\n"), ("fail", fail)]);
        assert_eq!(pass(&machine), (End::Status(1), vec![]), "{fail}");
    }
    // Nothing waits, or there is no such group.
    for (instances, status) in [("\n", 0), ("None\n", 1)] {
        let machine = Machine::new(&[], &[("nodes", NODES), ("instances", instances)]);
        assert_eq!(pass(&machine), (End::Status(status), vec![]), "{instances:?}");
    }
}

#[test]
fn the_units_call_the_script_and_take_waiting_for_no_failure() {
    let read = |name: &str| std::fs::read_to_string(pipeline(name)).expect(name);
    let service = read("asg-terminate.service");
    let program = service.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let program = Path::new(program.split(' ').next().expect("a program")).file_name().expect("a name");
    assert!(pipeline(program.to_str().expect("UTF-8")).exists(), "{program:?}");
    assert!(service.contains("\nSuccessExitStatus=75\n") && service.contains("\nType=oneshot\n"));
    assert!(read("asg-terminate.timer").contains("\nOnUnitInactiveSec="));
}
