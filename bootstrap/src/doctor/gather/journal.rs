//! Crossfade's entries in the journal of this boot.

use std::time::Duration;

use convergence::doctor::facts::Source;
use convergence::doctor::journal::Entry;
use types::command::problem::Problem;

use crate::host::command::{RunLimits, run};
use crate::host::program;
use crate::host::root::Root;
use crate::systemd::systemctl;

/// How long journalctl may take, and the largest answer.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(10), max_bytes: 16 << 20 };
/// The user as whom every program of Crossfade writes.
const ROOT_UID: &str = "0";
/// The newest lines that are read.
const NEWEST: &str = "--lines=2000";

/// Reads the journal, if systemd runs this node.
#[must_use]
pub(crate) fn gather(root: &Root) -> Source<Vec<Entry>> {
    if !root.is_node() {
        return Source::Absent("a tree is inspected, and no node".into());
    }
    if !systemctl::is_here() {
        return Source::Absent(
            "systemd does not run this node, so nothing of Crossfade's is in a journal".into(),
        );
    }
    let unread = |why: String| {
        let fix = "run journalctl --identifier=crossfade, which says what is wrong with the journal";
        Source::Unread(Problem::new(format!("journalctl: {why}")).with_place("the journal").fix(fix))
    };
    let mut journalctl = match program::command("journalctl") {
        Ok(journalctl) => journalctl,
        Err(error) => return unread(error.to_string()),
    };
    journalctl.args(["--boot", "--quiet", "--no-pager", "--output=json", NEWEST]);
    journalctl.args(["--identifier=crossfade", "--identifier=crossfade-bootstrap"]);
    // Before the newest lines are counted, or others could push Crossfade's out.
    journalctl.arg(format!("_UID={ROOT_UID}"));
    match run(&mut journalctl, LIMITS) {
        Err(error) => unread(error.to_string()),
        // Status 1 is a journal without such a line, too. *Source*: man 1 `journalctl`, "EXIT STATUS".
        Ok(output) if output.stdout.is_empty() && !output.stderr.is_empty() => {
            unread(output.check_success().err().unwrap_or_else(|| "no answer".into()))
        }
        Ok(output) => Source::Read(parse(&output.stdout)),
    }
}

fn parse(answer: &[u8]) -> Vec<Entry> {
    let lines = answer.split(|byte| *byte == b'\n');
    let entries = lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok());
    entries.filter(|entry| entry.uid == ROOT_UID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_else_it_has() {
        let answer = br#"{"__REALTIME_TIMESTAMP":"1790000000123456","_UID":"0","MESSAGE":"failed","CNI_COMMAND":"ADD","CONTAINER_ID":"c1","PRIORITY":"6","ERROR":"code 11"}
{"__REALTIME_TIMESTAMP":"1790000001000000","_UID":"0","MESSAGE":[98,195],"EVENT":"ConfRepaired"}
no json
{"__REALTIME_TIMESTAMP":"1790000002000000","_UID":"0","MESSAGE":null,"CNI_COMMAND":"DEL"}
"#;
        let all = parse(answer);
        assert_eq!(all.len(), 3);
        assert!(all[0].is_failed("ADD") && !all[0].is_failed("DEL") && !all[2].is_failed("DEL"));
        assert_eq!((all[0].wall_secs(), all[0].error.as_str()), (1_790_000_000, "code 11"));
        assert_eq!((all[1].event.as_str(), all[1].message.as_str()), ("ConfRepaired", ""));
    }

    #[test]
    fn lines_of_other_users_are_not_believed() {
        let line = |uid: &str| format!(r#"{{"MESSAGE":"failed","CNI_COMMAND":"DEL"{uid}}}"#);
        for (uid, count) in [(r#","_UID":"0""#, 1), (r#","_UID":"1000""#, 0), (r#","UID":"0""#, 0), ("", 0)] {
            assert_eq!(parse(line(uid).as_bytes()).len(), count, "{uid}");
        }
    }
}
