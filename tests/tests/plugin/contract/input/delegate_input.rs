//! The parts of the environment and of stdin that reach the delegates.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{case::Case, trials};

trials![
    delegates_get_the_whole_environment,
    delegates_get_clean_files_signals_and_a_group_of_their_own,
    plugin_may_be_a_script_and_is_born_with_default_signals,
    odd_arguments_pass_byte_for_byte,
    absent_arguments_are_fine,
    duplicate_and_differently_cased_keys_are_accepted,
    unknown_shim_keys_never_reach_a_delegate,
    foreign_numbers_survive,
];

fn delegates_get_the_whole_environment() -> Result<()> {
    let case = Case::attach("both")?;
    let extra = [
        ("TRACEPARENT", "00-abc-def-01"),
        ("CNI_NETNS_OVERRIDE", "1"),
        ("LAB_ANY", "thing=x;y"),
        ("HOME", "/h"),
    ];
    for verb in ["ADD", "CHECK", "DEL"] {
        let call = extra.iter().fold(case.call(verb), |call, (name, value)| call.env(name, value));
        call.run()?.succeeded()?;
    }
    let calls = case.calls()?;
    ensure!(calls.len() == 5, "ADD of both, CHECK of new, DEL of both: {:?}", case.stubs.log().briefs()?);
    for call in calls {
        for (name, value) in extra {
            assert_eq!(call.var(name), value, "{name} of {}", call.brief());
        }
        assert_eq!(call.var("PATH"), "/usr/sbin:/usr/bin:/sbin:/bin");
        ensure!(call.var("CNI_PATH").starts_with(&case.environment("ADD")["CNI_PATH"]));
    }
    Ok(())
}

/// A delegate must hold nothing of ours but the attachment's lock, and no signal may be blocked or ignored on our account.
fn delegates_get_clean_files_signals_and_a_group_of_their_own() -> Result<()> {
    let case = Case::attach("new")?;
    let running = case.call("ADD").spawn()?;
    let shim = running.pid();
    running.wait()?.succeeded()?;
    case.del()?.succeeded()?;
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])?;
    for call in case.calls()? {
        let locks = case.path("run/locks");
        for (number, target) in &call.fds {
            // What this test inherited from its own caller, everybody below it inherits.
            let ours = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
            let passed_on = *number <= 2 || ours.as_os_str() == target.as_str();
            let lock = target.starts_with(&*locks.to_string_lossy());
            ensure!(passed_on || lock, "open file {number} {target}: {:?}", call.fds);
        }
        ensure!(call.fds.len() >= 3, "stdin, stdout and stderr are open: {:?}", call.fds);
        ensure!(
            call.pgid != shim && call.pgid == call.pid,
            "its own process group: {} {}",
            call.pgid,
            call.pid
        );
        assert_eq!(u64::from_str_radix(&call.blocked, 16)?, 0, "blocked signals");
    }
    Ok(())
}

/// The signals 1 to 31 in the masks of /proc/PID/status. Those above are the C library's and for real-time use.
const STANDARD_SIGNALS: u64 = (1 << 31) - 1;

/// Plugins may be scripts, which the kernel runs by their path; and a shell that starts with a signal ignored cannot undo it, whether the
/// shim ignores it or the shim's caller does.
fn plugin_may_be_a_script_and_is_born_with_default_signals() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs.remove("stub-new")?;
    let (script, seen, answer) = (case.stubs.program("stub-new"), case.path("seen"), case.path("answer"));
    std::fs::write(&answer, case.rn("eth0").to_string())?;
    let text = format!(
        "#!/bin/sh\ngrep SigIgn /proc/self/status >>{}\n[ \"$CNI_COMMAND\" != ADD ] || cat {}\n",
        seen.display(),
        answer.display()
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let ignoring = ["/usr/bin/env", "--ignore-signal=HUP", "--ignore-signal=USR1", "--ignore-signal=CHLD"];
    assert_eq!(case.call("ADD").wrapped(&ignoring).run()?.result()?, case.rn("eth0"));
    case.del()?.silent()?;
    let masks = std::fs::read_to_string(seen)?;
    assert_eq!(masks.lines().count(), 2);
    for line in masks.lines() {
        let mask = line.split_whitespace().last().unwrap_or_default();
        assert_eq!(u64::from_str_radix(mask, 16)? & STANDARD_SIGNALS, 0, "a signal is ignored: {line}");
    }
    case.expect_records(0)
}

fn odd_arguments_pass_byte_for_byte() -> Result<()> {
    let case = Case::attach("new")?;
    let args = "IgnoreUnknown=1;X=a=b;JUNK;";
    case.call("ADD").env("CNI_ARGS", args).run()?.result()?;
    assert_eq!(case.the_call("stub-new ADD eth0")?.var("CNI_ARGS"), args);
    Ok(())
}

fn absent_arguments_are_fine() -> Result<()> {
    let case = Case::attach("new")?;
    case.call("ADD").env_remove("CNI_ARGS").run()?.result()?;
    assert_eq!(case.the_call("stub-new ADD eth0")?.var("CNI_ARGS"), "");
    Ok(())
}

/// Keys match in any case and the last of two counts, as Go's decoder has it.
fn duplicate_and_differently_cased_keys_are_accepted() -> Result<()> {
    let case = Case::attach("new")?;
    let mut conf = case.shim.clone();
    conf.as_object_mut().map(|object| object.remove("cniVersion"));
    let rest = conf.to_string();
    let stdin =
        format!(r#"{{"CNIVERSION":"0.4.0","name":"first","CniVersion":"0.3.1","übrig":"ö",{}"#, &rest[1..]);
    let result = case.call("ADD").stdin(&stdin).run()?.result()?;
    assert_eq!(result["cniVersion"], "0.3.1");
    Ok(())
}

fn unknown_shim_keys_never_reach_a_delegate() -> Result<()> {
    let case = Case::attach("old")?;
    let filler = "x".repeat(1_500_000);
    let call = case.call_with("ADD", &json!({"filler": filler, "ipam": {"type": "ours"}, "k": "ours"}));
    call.run()?.result()?;
    let conf = case.the_call("stub-old ADD eth0")?.conf()?;
    ensure!(
        conf.get("filler").is_none() && conf.get("ipam").is_none(),
        "only its own keys: {:?}",
        conf.as_object().map(|o| o.keys().collect::<Vec<_>>())
    );
    assert_eq!(conf["k"], "keep-me");
    Ok(())
}

/// Numbers of a foreign conf and result arrive as they were written.
fn foreign_numbers_survive() -> Result<()> {
    let case = Case::attach("new")?;
    let number = r#""price":1.50,"big":123456789012345678901234567890,"e":1E3,"mixed":{"B":1,"a":2.0,"B":3}"#;
    let conf =
        format!(r#"{{"cniVersion":"1.0.0","name":"newnet","plugins":[{{"type":"stub-new",{number}}}]}}"#);
    case.write(&case.conf_path("new"), &conf)?;
    case.add()?.result()?;
    case.del()?.silent()?;
    for call in case.calls()? {
        let stdin = call.stdin.clone().unwrap_or_default();
        ensure!(stdin.contains(number), "{}: {stdin}", call.brief());
    }
    case.expect_records(0)
}
