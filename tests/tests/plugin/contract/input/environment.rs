//! Environments and stdin that are wrong, and the parts of both that reach the delegates.

use anyhow::{Result, ensure};
use lab::runtime::caller::Outcome;
use serde_json::json;

use crate::{case::Case, trials, trouble::mounts::Mount};

trials![
    unknown_command_is_refused_by_name,
    missing_variables_are_all_named_in_order,
    empty_variables_count_as_missing,
    del_needs_only_the_id_and_the_ifname,
    gc_needs_the_path,
    invalid_container_ids_are_refused,
    invalid_ifnames_are_refused,
    unusual_but_valid_ifnames_are_accepted,
    stale_variables_are_ignored_by_verbs_that_need_none,
    stdin_that_is_no_object_is_a_decoding_error,
    stdin_with_keys_of_the_wrong_type_is_a_decoding_error,
    network_name_is_required_and_checked,
    environment_is_checked_before_stdin_and_stdin_before_the_policy,
    version_is_checked_before_the_policy,
    policy_is_checked_before_the_record,
    record_is_checked_before_readiness,
    readiness_is_checked_before_binaries,
    binaries_are_checked_before_the_store,
];

fn unknown_command_is_refused_by_name() -> Result<()> {
    let case = Case::attach("new")?;
    for command in ["FOO", "add", ""] {
        let refusal = case.call("ADD").env("CNI_COMMAND", command).run()?.refused(4)?;
        ensure!(refusal.msg.contains("CNI_COMMAND") && refusal.msg.contains(command), "{refusal:?}");
    }
    case.expect_calls(&[])
}

fn named_in_order(outcome: &Outcome, names: &[&str]) -> Result<()> {
    let refusal = outcome.refused(4)?;
    let places: Vec<_> = names.iter().map(|name| refusal.msg.find(name)).collect();
    ensure!(places.iter().all(Option::is_some), "should name {names:?}: {refusal:?}");
    ensure!(places.is_sorted(), "should name {names:?} in this order: {refusal:?}");
    Ok(())
}

const IDENTITY: [&str; 3] = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];

fn missing_variables_are_all_named_in_order() -> Result<()> {
    let case = Case::attach("new")?;
    for verb in ["ADD", "CHECK"] {
        let call = IDENTITY.iter().fold(case.call(verb), |call, name| call.env_remove(name));
        named_in_order(&call.run()?, &IDENTITY)?;
        let call = case.call(verb).env_remove("CNI_NETNS");
        let refusal = call.run()?.refused(4)?;
        ensure!(!refusal.msg.contains("CNI_IFNAME"), "names only what is missing: {refusal:?}");
    }
    case.expect_calls(&[])
}

fn empty_variables_count_as_missing() -> Result<()> {
    let case = Case::attach("new")?;
    let call = IDENTITY.iter().fold(case.call("ADD"), |call, name| call.env(name, ""));
    named_in_order(&call.run()?, &IDENTITY)?;
    case.expect_calls(&[])
}

fn del_needs_only_the_id_and_the_ifname() -> Result<()> {
    let case = Case::attach("new")?;
    let call = IDENTITY.iter().fold(case.call("DEL"), |call, name| call.env_remove(name));
    let outcome = call.run()?;
    named_in_order(&outcome, &["CNI_CONTAINERID", "CNI_IFNAME"])?;
    ensure!(!outcome.error()?.msg.contains("CNI_NETNS"), "{outcome:?}");
    case.call("DEL").env_remove("CNI_NETNS").env_remove("CNI_ARGS").env_remove("CNI_PATH").run()?.silent()
}

fn gc_needs_the_path() -> Result<()> {
    let case = Case::attach("new")?;
    let more = json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []});
    named_in_order(&case.call_with("GC", &more).env_remove("CNI_PATH").run()?, &["CNI_PATH"])
}

fn invalid_container_ids_are_refused() -> Result<()> {
    let case = Case::attach("new")?;
    for id in ["a/b", "../x", "-x", ".x", "a b", "c1\n", "ä"] {
        for verb in ["ADD", "DEL", "CHECK"] {
            let refusal = case.call(verb).env("CNI_CONTAINERID", id).run()?.refused(4)?;
            ensure!(refusal.msg.contains("invalid characters"), "{refusal:?}");
            assert_eq!(refusal.details.trim_end(), id.trim_end());
        }
    }
    case.expect_calls(&[])
}

fn invalid_ifnames_are_refused() -> Result<()> {
    let case = Case::attach("new")?;
    for ifname in [".", "..", "a/b", "a:b", "a b", "a\u{a0}b", "sixteen-bytes-xx", "ääääääää"] {
        let outcome = case.call("ADD").env("CNI_IFNAME", ifname).run()?;
        let long = ifname.len() > 15;
        let accepted = !long && outcome.refused(4).is_err();
        ensure!(
            !accepted && outcome.error().is_ok_and(|refusal| refusal.code == 4),
            "{ifname:?}: {outcome:?}"
        );
    }
    case.expect_calls(&[])
}

/// The length counts in bytes, letters of any language are allowed.
fn unusual_but_valid_ifnames_are_accepted() -> Result<()> {
    let case = Case::attach("new")?;
    for ifname in ["fifteen-bytes-x", "äöü0", "...", "e"] {
        case.call("ADD").env("CNI_IFNAME", ifname).run()?.succeeded()?;
        case.call("DEL").env("CNI_IFNAME", ifname).run()?.succeeded()?;
        case.expect_calls(&[&format!("stub-new ADD {ifname}"), &format!("stub-new DEL {ifname}")])?;
        case.stubs.log().clear()?;
    }
    case.expect_records(0)
}

fn stale_variables_are_ignored_by_verbs_that_need_none() -> Result<()> {
    let case = Case::attach("new")?;
    let mut conf = crate::case::new_conf();
    conf["cniVersion"] = json!("1.1.0");
    case.write_conf("new", &conf)?;
    for verb in ["STATUS", "GC"] {
        let more = json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []});
        let call = case.call_with(verb, &more).env("CNI_IFNAME", "a/b").env("CNI_CONTAINERID", "-x");
        call.run()?.silent()?;
    }
    let verbs: Vec<String> = case.calls()?.iter().map(|call| call.verb().to_owned()).collect();
    assert_eq!(verbs, ["STATUS", "GC"]);
    Ok(())
}

fn stdin_that_is_no_object_is_a_decoding_error() -> Result<()> {
    let case = Case::attach("new")?;
    let conf = case.shim.to_string();
    let odd = [
        String::new(),
        r#"{"cniVersion":"#.to_owned(),
        "[]".to_owned(),
        format!("{conf}xx"),
        format!("\u{feff}{conf}"),
    ];
    for verb in ["ADD", "DEL", "CHECK"] {
        for stdin in &odd {
            let outcome = case.call(verb).stdin(stdin).run()?;
            ensure!(outcome.refused(6).is_ok(), "{verb} with stdin {stdin:?}: {outcome:?}");
        }
    }
    case.call("ADD").stdin(&format!(" {conf}\n\t")).run()?.result()?;
    Ok(())
}

fn stdin_with_keys_of_the_wrong_type_is_a_decoding_error() -> Result<()> {
    let case = Case::attach("new")?;
    for more in
        [json!({"name": 7}), json!({"cniVersion": 1.0}), json!({"name": null, "cniVersion": ["1.0.0"]})]
    {
        let outcome = case.call_with("ADD", &more).run()?;
        ensure!(outcome.refused(6).is_ok(), "{more}: {outcome:?}");
    }
    Ok(())
}

fn network_name_is_required_and_checked() -> Result<()> {
    let mut case = Case::attach("new")?;
    case.call("ADD").stdin("null").run()?.refused(7)?;
    for name in ["a b", "a/b", "-a", "ä"] {
        for verb in ["ADD", "DEL", "CHECK"] {
            let refusal = case.call_with(verb, &json!({"name": name})).run()?.refused(7)?;
            assert_eq!(refusal.details, name);
        }
    }
    case.call_with("ADD", &json!({"name": ""})).run()?.refused(7)?;
    case.shim.as_object_mut().map(|conf| conf.remove("name"));
    case.add()?.refused(7)?;
    case.expect_calls(&[])
}

fn environment_is_checked_before_stdin_and_stdin_before_the_policy() -> Result<()> {
    let case = Case::attach("new")?;
    case.call("ADD").env_remove("CNI_IFNAME").stdin("nonsense").run()?.refused(4)?;
    case.write(&case.policy_path(), "nonsense")?;
    case.call("ADD").stdin("nonsense").run()?.refused(6)?;
    case.call_with("ADD", &json!({"name": "a b"})).run()?.refused(7)?;
    Ok(())
}

fn version_is_checked_before_the_policy() -> Result<()> {
    let case = Case::attach("new")?;
    case.write(&case.policy_path(), "nonsense")?;
    case.call_with("ADD", &json!({"cniVersion": "9.9.9"})).run()?.refused(1)?;
    Ok(())
}

fn policy_is_checked_before_the_record() -> Result<()> {
    let case = Case::attach("new")?;
    case.added()?;
    case.write(&case.policy_path(), "nonsense")?;
    case.add()?.refused(7)?;
    Ok(())
}

fn record_is_checked_before_readiness() -> Result<()> {
    let case = Case::attach("new")?;
    case.added()?;
    case.remove_conf("new")?;
    case.add()?.refused(102)?;
    case.expect_calls(&[])
}

fn readiness_is_checked_before_binaries() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs.remove("stub-new")?;
    let absent = case.path("agent.sock");
    case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([{"unix": absent}]))?;
    case.add()?.refused(11)?;
    Ok(())
}

fn binaries_are_checked_before_the_store() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs.remove("stub-new")?;
    let _read_only = Mount::read_only(&case.make_state_dir("state")?)?;
    case.add()?.refused(101)?;
    case.stubs.write("stub-new", &crate::case::stub_new())?;
    case.add()?.refused(5)?;
    case.expect_calls(&[])
}
