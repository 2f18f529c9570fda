//! The verdict of systemd's own programs on a tree, where they are installed.
//!
//! Nothing of it needs a manager that runs, so it works in the chroot of an image build as well.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::command::{CommandOutput, RunLimits, run};
use crate::host::program;
use crate::host::root::Root;
use crate::systemd::systemctl;

/// The longest wait for an answer, which takes a tenth of a second, and its largest size.
const LIMITS: RunLimits = RunLimits { timeout: Duration::from_secs(30), max_bytes: 1 << 20 };
/// Names every file and unit of Crossfade's, and nothing else.
const MARK: &str = "crossfade";
/// From here on `verify` knows `--root`. *Source*: systemd's NEWS, 250.
const VERIFIES_ROOTS: u32 = 250;
/// What a boot is for; systemd finds the cycles in the order of all that it starts.
pub(super) const WHOLE_BOOT: &str = "multi-user.target";
/// What every unit is started after; a tree without it is no whole system.
const SYSINIT: [&str; 2] = ["/usr/lib/systemd/system/sysinit.target", "/lib/systemd/system/sysinit.target"];

/// Whether a unit is started at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Enablement {
    Yes,
    /// It is not, in systemctl's word.
    No(String),
    /// The caller made sure that it is not.
    Masked,
    /// There is no such unit.
    Absent,
}

/// What `systemd-analyze verify` says about a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Lines that name something of Crossfade's, and the others.
    Lines { own: Vec<String>, others: Vec<String> },
    /// It could not be asked; why.
    Unknown(String),
}

/// Asks systemctl whether `unit` is enabled.
///
/// # Errors
/// systemctl is not here, or does not answer.
pub(super) fn read_enablement(root: &Root, unit: &str) -> Result<Enablement, String> {
    let mut systemctl = systemctl::command().map_err(|why| format!("systemctl: {why}"))?;
    systemctl.arg("--root").arg(root.join("/")).args(["is-enabled", unit]).env("LC_ALL", "C");
    let answer = run(&mut systemctl, LIMITS).map_err(|why| format!("systemctl: {why}"))?;
    state(answer.stdout_text().trim(), answer.stderr_text().trim())
        .ok_or_else(|| format!("systemctl: {}", answer.stderr_text().trim()))
}

/// *Source*: man 1 `systemctl`, the table of `is-enabled`.
fn state(out: &str, err: &str) -> Option<Enablement> {
    Some(match out {
        "enabled" | "enabled-runtime" | "alias" => Enablement::Yes,
        "masked" | "masked-runtime" => Enablement::Masked,
        "not-found" => Enablement::Absent,
        "" if err.contains("No such file") => Enablement::Absent,
        "" => return None,
        other => Enablement::No(other.into()),
    })
}

/// Asks for the state of a unit that is loaded: `active`, `failed`, ...
///
/// # Errors
/// systemctl is not here, or does not answer.
pub(super) fn active(unit: &str) -> Result<String, String> {
    let mut systemctl = systemctl::command().map_err(|why| format!("systemctl: {why}"))?;
    systemctl.args(["is-active", unit]).env("LC_ALL", "C");
    let answer = run(&mut systemctl, LIMITS).map_err(|why| format!("systemctl: {why}"))?;
    match answer.stdout_text().trim() {
        "" => Err(format!("systemctl: {}", answer.stderr_text().trim())),
        state => Ok(state.into()),
    }
}

/// Has `systemd-analyze` load a unit of the tree, as it will be loaded at boot but for what generators add.
pub(super) fn verify(root: &Root, unit: &str) -> Verdict {
    if !SYSINIT.iter().any(|target| root.join(target).exists()) {
        return Verdict::Unknown("this tree has no sysinit.target, so it is no whole system".into());
    }
    let unknown = |why: &dyn std::fmt::Display| Verdict::Unknown(format!("systemd-analyze: {why}"));
    let analyze = match program::find("systemd-analyze") {
        Ok(analyze) => analyze,
        Err(why) => return unknown(&why),
    };
    let version = match run(Command::new(&analyze).arg("--version"), LIMITS) {
        Ok(answer) => number(&answer.stdout_text()),
        Err(why) => return unknown(&why),
    };
    let mut analyze = Command::new(analyze);
    if !root.is_node() {
        if version < VERIFIES_ROOTS {
            return Verdict::Unknown(format!("systemd-analyze {version} looks at no other root"));
        }
        analyze.arg("--root").arg(root.join("/"));
    }
    // Colours and pages are for terminals; a manual page may be left out of an image.
    analyze.args(["verify", "--man=no", unit]).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0");
    match run(&mut analyze, LIMITS) {
        Ok(answer) => judge(&answer, &root.join("/")),
        Err(why) => Verdict::Unknown(format!("systemd-analyze: {why}")),
    }
}

/// The number of `systemd 252 (252.38-1)`; 0 where there is none.
fn number(output: &str) -> u32 {
    output.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Whether something was said is what counts: over a misspelt key it ends with 0.
fn judge(answer: &CommandOutput, root: &Path) -> Verdict {
    sort(&answer.stderr_text(), answer.status.success(), root)
}

fn sort(output: &str, succeeded: bool, root: &Path) -> Verdict {
    let prefix = root.to_string_lossy();
    let prefix = prefix.trim_end_matches('/');
    let report = cycles_in_a_line(output);
    // A tree whose own path contains "crossfade" must not make every line count as Crossfade's.
    let lines =
        report.lines().map(|line| if prefix.is_empty() { line.to_owned() } else { line.replace(prefix, "") });
    let lines = lines.filter(|line| !line.trim().is_empty());
    let (own, others): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains(MARK));
    match others.first() {
        // The manager that it makes for itself did not come up, for want of /proc or of control groups.
        Some(line) if !succeeded && own.is_empty() && line.contains("manager") => {
            Verdict::Unknown(format!("systemd-analyze cannot work here: {line}"))
        }
        _ => Verdict::Lines { own, others },
    }
}

/// A cycle is told on several lines, of which not each names one of Crossfade's.
fn cycles_in_a_line(output: &str) -> String {
    let mut text = String::new();
    for line in output.lines() {
        let goes_on = line.contains("Found dependency on") || line.contains("to break ordering cycle");
        text.push_str(if goes_on && !text.is_empty() { "; " } else { "\n" });
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_is_enabled() {
        for (out, err, expected) in [
            ("enabled", "", Some(Enablement::Yes)),
            ("alias", "", Some(Enablement::Yes)),
            ("masked", "", Some(Enablement::Masked)),
            ("disabled", "", Some(Enablement::No("disabled".into()))),
            ("static", "", Some(Enablement::No("static".into()))),
            ("not-found", "", Some(Enablement::Absent)),
            (
                "",
                "Failed to get unit file state for x.service: No such file or directory",
                Some(Enablement::Absent),
            ),
            ("", "something else", None),
        ] {
            assert_eq!(state(out, err), expected, "{out}{err}");
        }
    }

    #[test]
    fn lines_are_ours_by_what_they_name_and_never_by_the_tree_s_place() {
        let output = "/x/crossfade-image/usr/lib/systemd/system/kubelet.service:3: Unknown key 'Foo' in section [Service], ignoring.\n\
                    /x/crossfade-image/usr/lib/systemd/system/kubelet.service.d/50-crossfade.conf:15: Unknown key 'Bar' in section [Service], ignoring.\n";
        let root = Path::new("/x/crossfade-image/");
        let Verdict::Lines { own, others } = sort(output, true, root) else { panic!("it was said") };
        assert!(own.len() == 1 && own[0].starts_with("/usr/lib") && own[0].contains("'Bar'"), "{own:?}");
        assert!(others.len() == 1 && others[0].contains("'Foo'"), "{others:?}");
    }

    #[test]
    fn a_cycle_is_ours_when_we_are_anywhere_in_it() {
        let output = "multi-user.target: Found ordering cycle on kubelet.service/start\n\
                    multi-user.target: Found dependency on crossfade-boot.service/start\n\
                    multi-user.target: Job kubelet.service/start deleted to break ordering cycle starting with x\n\
                    x.service: Unknown key 'Foo'\n";
        let Verdict::Lines { own, others } = sort(output, true, Path::new("/")) else {
            panic!("it was said")
        };
        assert!(own.len() == 1 && own[0].starts_with("multi-user.target: Found ordering cycle"), "{own:?}");
        assert_eq!(others, ["x.service: Unknown key 'Foo'"]);
    }

    #[test]
    fn a_manager_that_does_not_come_up_is_no_verdict() {
        let output = "Failed to initialize manager: No such file or directory\n";
        assert!(matches!(sort(output, false, Path::new("/")), Verdict::Unknown(_)));
        let output = "crossfade-boot.service: Command /usr/bin/crossfade-bootstrap is not executable: No such file or directory\n";
        assert!(matches!(sort(output, false, Path::new("/")), Verdict::Lines { own, .. } if own.len() == 1));
        assert_eq!((number("systemd 252 (252.38-1~deb12u1)\n+PAM"), number("?")), (252, 0));
    }
}
