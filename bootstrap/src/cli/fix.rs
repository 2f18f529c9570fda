//! The completion of the problems that a command prints. Most problems name their object and the next step where they are found. This module
//! adds what is missing: the next step that usually follows from the exit status, and the object that the words name.

use nix::unistd::geteuid;
use types::command::exit::Exit;
use types::command::problem::{Problem, Subject};

/// The kernel's answer to a process that lacks a right; *source*: man 3 `strerror`, EACCES and EPERM. The words decide and no errno, because a problem
/// is text when it gets here: another program lacked the right (systemctl, nft and plugins write the words to stderr), or a reader has put its path
/// before the error. Rust prints errors without a locale. Another program may print them in the operator's language; then the usual next step stands.
const DENIED: [&str; 2] = ["Permission denied", "Operation not permitted"];

/// The user who runs the program: a missing right has another remedy for root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Root,
    Another,
}

/// Completes the problems of a command that ends with `exit`: each gets an object and a next step.
pub(crate) fn complete(exit: Exit, problems: &[Problem]) -> Vec<Problem> {
    let user = if geteuid().is_root() { User::Root } else { User::Another };
    problems.iter().map(|problem| complete_problem(exit, problem.clone(), user)).collect()
}

fn complete_problem(exit: Exit, mut problem: Problem, user: User) -> Problem {
    if problem.place.is_empty() {
        problem.place = problem.named_object().unwrap_or(PROGRAM).to_owned();
    }
    if let Some(right) = missing_right(&problem.what, user) {
        problem.fix = right.to_owned();
    } else if problem.fix.is_empty() {
        problem.fix = usual_fix(exit, &problem);
    }
    problem
}

/// The object of a problem whose words name none.
const PROGRAM: &str = "crossfade-bootstrap";

fn missing_right(what: &str, user: User) -> Option<&'static str> {
    if !DENIED.iter().any(|denied| what.contains(denied)) {
        return None;
    }
    Some(match user {
        User::Another => "run the command as root",
        User::Root => {
            "root lacks a right here: look at the capabilities and mounts of the container, and at AppArmor or SELinux"
        }
    })
}

/// The next step that usually follows from an exit status.
fn usual_fix(exit: Exit, problem: &Problem) -> String {
    match exit {
        Exit::Done => "nothing has to be done".into(),
        Exit::Usage => "correct the argument; --help lists what the command accepts".into(),
        Exit::BadSettings if problem.subject == Subject::Policy => format!(
            "correct {}, then run the same command again; crossfade-bootstrap policy check tells whether a policy is valid",
            problem.place
        ),
        Exit::BadSettings => format!("correct {}, then run the same command again", problem.place),
        Exit::TryLater => "run the same command again in a few seconds".into(),
        Exit::No => "remove what stands in the way, then run the same command again".into(),
        Exit::Failed => "remove the cause, then run the same command again; it does nothing twice".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_says_where_and_what_to_do_next() {
        for (exit, problem, place, fix) in [
            (
                Exit::BadSettings,
                Problem::new("read policy /e/p.json: absent").with_subject(Subject::Policy),
                "/e/p.json",
                "correct /e/p.json, then run the same command again; crossfade-bootstrap policy check",
            ),
            (Exit::No, Problem::new("no runtime").with_place("node.json"), "node.json", "stands in the way"),
            (Exit::No, Problem::new("no runtime").fix("name it"), PROGRAM, "name it"),
            (Exit::TryLater, Problem::new("busy"), PROGRAM, "again"),
            (Exit::Usage, Problem::new("--bring: no"), "--bring", "--help"),
            (Exit::No, Problem::new("a; nothing is swept"), PROGRAM, "stands in the way"),
            (
                Exit::Failed,
                Problem::new("open /x: Permission denied (os error 13)").fix("no"),
                "/x",
                "as root",
            ),
            (Exit::No, Problem::new("chroot: EPERM: Operation not permitted"), PROGRAM, "as root"),
        ] {
            let completed_problem = complete_problem(exit, problem.clone(), User::Another);
            assert_eq!(completed_problem.place, place);
            assert!(problem.what.starts_with(&completed_problem.what), "{completed_problem:?}");
            assert!(completed_problem.fix.contains(fix), "{completed_problem:?}");
            let completed_problem = complete_problem(exit, problem, User::Root);
            assert!(
                !completed_problem.fix.contains("as root") && !completed_problem.fix.is_empty(),
                "{completed_problem:?}"
            );
        }
    }

    #[test]
    fn policy_check_is_named_for_a_policy_and_for_no_other_object() {
        let fix = |problem: Problem| complete_problem(Exit::BadSettings, problem, User::Another).fix;
        let problem = Problem::new("read the lock of the policy, /e/l: absent");
        assert!(!fix(problem.clone()).contains("policy check"));
        assert!(fix(problem.with_subject(Subject::Policy)).contains("policy check"));
    }
}
