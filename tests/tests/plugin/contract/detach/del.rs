//! DEL finds its way home: from the record, whatever has become of policy, confs and binaries.

use std::fs;

use anyhow::{Result, ensure};
use lab::standin::stub::Reply;
use serde_json::json;

use crate::{
    case::{Case, old_conf, stub_new},
    trials,
    trouble::mounts::another_boot,
};

trials![
    del_follows_the_record_after_a_flip,
    del_follows_the_recorded_names_after_a_flip_from_both,
    del_runs_the_recorded_bytes_after_the_conf_was_replaced,
    del_works_without_any_conf_file,
    del_works_without_policy_when_only_the_new_cni_is_left,
    del_accepts_any_netns_and_hands_it_on,
    del_after_a_reboot_works_from_the_record,
    del_takes_arguments_from_the_record_and_adds_the_recorded_path,
    del_prefers_the_callers_path,
    del_without_a_record_calls_no_delegate,
    del_twice_is_quiet,
    del_gives_each_delegate_its_own_recorded_result,
    del_ignores_garbage_on_a_delegates_stdout,
    del_and_check_follow_the_record_when_stdin_is_stale,
    del_of_one_ifname_leaves_the_other,
    long_container_ids_are_found_again_and_do_not_collide,
];

fn del_follows_the_record_after_a_flip() -> Result<()> {
    for (from, to, brief) in [("old", "new", "stub-old DEL eth0"), ("new", "old", "stub-new DEL eth0")] {
        for target in [to, "both"] {
            let case = Case::attach(from)?;
            case.added()?;
            case.flip(target)?;
            case.del()?.silent()?;
            case.expect_calls(&[brief])?;
            case.expect_records(0)?;
        }
    }
    Ok(())
}

fn del_follows_the_recorded_names_after_a_flip_from_both() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.change_policy(|policy| {
        policy["attach"] = json!("new");
        policy["both"]["secondaryIfname"] = json!("other9");
    })?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])
}

fn del_runs_the_recorded_bytes_after_the_conf_was_replaced() -> Result<()> {
    let case = Case::attach("new")?;
    case.write_conf(
        "new",
        &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": [{"type": "stub-new", "was": "first"}]}),
    )?;
    case.added()?;
    case.flip("old")?;
    case.write_conf(
        "new",
        &json!({"cniVersion": "1.0.0", "name": "thirdnet", "plugins": [{"type": "stub-third"}]}),
    )?;
    case.stubs.write("stub-third", &stub_new())?;
    case.write_conf(
        "old",
        &json!({"cniVersion": "1.0.0", "name": "thirdnet", "plugins": [{"type": "stub-third"}]}),
    )?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL eth0"])?;
    let conf = case.the_call("stub-new DEL eth0")?.conf()?;
    assert_eq!((conf["name"].as_str(), conf["was"].as_str()), (Some("newnet"), Some("first")));
    Ok(())
}

fn del_works_without_any_conf_file() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    fs::remove_dir_all(case.path("net.d"))?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn del_works_without_policy_when_only_the_new_cni_is_left() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.remove_conf("old")?;
    fs::remove_file(case.policy_path())?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn del_accepts_any_netns_and_hands_it_on() -> Result<()> {
    for netns in [None, Some(""), Some("/run/netns/gone")] {
        let case = Case::attach("both")?;
        case.added()?;
        case.netns.remove()?;
        let call = match netns {
            None => case.call("DEL").env_remove("CNI_NETNS"),
            Some(path) => case.call("DEL").env("CNI_NETNS", path),
        };
        call.run()?.silent()?;
        case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
        for call in case.calls()? {
            assert_eq!(call.var("CNI_NETNS"), netns.unwrap_or_default());
        }
        case.expect_records(0)?;
    }
    Ok(())
}

fn del_after_a_reboot_works_from_the_record() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.netns.remove()?;
    fs::remove_dir_all(case.path("run"))?;
    let wrapper = another_boot(&case)?;
    let call = case.call("DEL").env("CNI_NETNS", "").env_remove("CNI_ARGS");
    call.wrapped(&wrapper.each_ref().map(String::as_str)).run()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    for call in case.calls()? {
        assert_eq!(call.var("CNI_NETNS"), "");
        assert_eq!(call.var("CNI_ARGS"), case.environment("ADD")["CNI_ARGS"]);
    }
    case.expect_records(0)
}

fn del_takes_arguments_from_the_record_and_adds_the_recorded_path() -> Result<()> {
    let case = Case::attach("new")?;
    let recorded = case.environment("ADD");
    case.added()?;
    let elsewhere = case.make_dir("elsewhere")?;
    let call = case
        .call("DEL")
        .env("CNI_ARGS", "K8S_POD_NAME=another")
        .env("CNI_PATH", &elsewhere.to_string_lossy());
    call.run()?.silent()?;
    let call = case.the_call("stub-new DEL eth0")?;
    assert_eq!(call.var("CNI_ARGS"), recorded["CNI_ARGS"]);
    let dirs: Vec<&str> = call.var("CNI_PATH").split(':').collect();
    assert_eq!(dirs, [&*elsewhere.to_string_lossy(), &*recorded["CNI_PATH"]]);

    case.added()?;
    case.call("DEL").env_remove("CNI_PATH").env_remove("CNI_ARGS").run()?.silent()?;
    let call = case.the_call("stub-new DEL eth0")?;
    assert_eq!(
        (call.var("CNI_ARGS"), call.var("CNI_PATH")),
        (&*recorded["CNI_ARGS"], &*recorded["CNI_PATH"])
    );
    Ok(())
}

fn del_prefers_the_callers_path() -> Result<()> {
    let case = Case::attach("new")?;
    case.added()?;
    let upgraded = case.make_dir("upgraded")?;
    let stubs = lab::standin::stub::StubDir::new(&upgraded, &case.path("calls.jsonl"), case.stubs.template());
    stubs.write("stub-new", &stub_new())?;
    case.call("DEL").env("CNI_PATH", &upgraded.to_string_lossy()).run()?.silent()?;
    let call = case.the_call("stub-new DEL eth0")?;
    ensure!(call.argv0.starts_with(&*upgraded.to_string_lossy()), "ran {}", call.argv0);
    Ok(())
}

fn del_without_a_record_calls_no_delegate() -> Result<()> {
    for attach in ["old", "new", "both"] {
        let case = Case::attach(attach)?;
        case.change_policy(|policy| policy["unrecorded"] = json!("old"))?;
        case.call("ADD").env("CNI_CONTAINERID", "c2").run()?.result()?;
        case.stubs.log().clear()?;
        case.del()?.silent()?;
        case.call_with("DEL", &json!({"prevResult": case.ro_converted()})).run()?.silent()?;
        case.call("DEL").env("CNI_NETNS", "").run()?.silent()?;
        case.expect_calls(&[])?;
        case.expect_records(1)?;
    }
    Ok(())
}

/// containerd's second and third DEL.
fn del_twice_is_quiet() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.del()?.silent()?;
    case.stubs.log().clear()?;
    for netns in [&*case.netns_path(), ""] {
        let outcome = case.call("DEL").env("CNI_NETNS", netns).run()?;
        outcome.silent()?;
        assert_eq!(outcome.stderr, "");
    }
    case.expect_calls(&[])
}

fn del_gives_each_delegate_its_own_recorded_result() -> Result<()> {
    let case = Case::attach("both")?;
    let mut conf = old_conf();
    conf["cniVersion"] = json!("0.4.0");
    case.write_conf("old", &conf)?;
    case.added()?;
    let wrong = json!({"prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.1/32"}]}});
    case.call_with("DEL", &wrong).run()?.silent()?;
    assert_eq!(case.the_call("stub-new DEL net1")?.conf()?["prevResult"], case.rn("net1"));
    let old_result = case.the_call("stub-old DEL eth0")?.conf()?["prevResult"].clone();
    assert_eq!(old_result["ips"][0]["address"], "10.1.0.5/32");
    assert_eq!(old_result["cniVersion"], "0.4.0", "a prevResult has the version of the conf it comes with");
    Ok(())
}

fn del_ignores_garbage_on_a_delegates_stdout() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs.write("stub-new", &stub_new().on("DEL", Reply::text("%%% garbage {")))?;
    case.added()?;
    case.del()?.silent()?;
    case.expect_records(0)
}

fn del_and_check_follow_the_record_when_stdin_is_stale() -> Result<()> {
    let case = Case::attach("new")?;
    case.call_with("ADD", &json!({"gen": 2})).run()?.result()?;
    case.stubs.log().clear()?;
    let other_policy = case.path("policy-gen-1.json");
    let mut policy = case.policy()?;
    policy["attach"] = json!("old");
    policy["networks"]["new"]["conf"] = json!([case.path("nowhere.conflist")]);
    case.write(&other_policy, &policy.to_string())?;
    let stale = json!({
        "gen": 1,
        "policy": other_policy,
        "delegates": [old_conf()],
        "plugins": [{"type": "stub-old"}],
        "prevResult": case.ro_converted()
    });
    case.call_with("CHECK", &stale).run()?.silent()?;
    case.call_with("DEL", &stale).run()?.silent()?;
    case.expect_calls(&["stub-new CHECK eth0", "stub-new DEL eth0"])?;
    for call in case.calls()? {
        assert_eq!(call.conf()?["prevResult"], case.rn("eth0"), "{}", call.brief());
    }
    case.expect_records(0)
}

fn del_of_one_ifname_leaves_the_other() -> Result<()> {
    let case = Case::attach("both")?;
    case.add()?.result()?;
    case.call("ADD").env("CNI_IFNAME", "eth1").run()?.result()?;
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1", "stub-old ADD eth1", "stub-new ADD net2"])?;
    case.expect_records(2)?;
    case.stubs.log().clear()?;
    case.call("DEL").env("CNI_IFNAME", "eth1").run()?.silent()?;
    case.expect_calls(&["stub-new DEL net2", "stub-old DEL eth1"])?;
    case.expect_records(1)?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn long_container_ids_are_found_again_and_do_not_collide() -> Result<()> {
    let case = Case::attach("new")?;
    let common = "c".repeat(255);
    let ids =
        ["0123456789abcdef".repeat(4), "Q.".repeat(150), format!("{common}-one"), format!("{common}-two")];
    for id in &ids {
        case.call("ADD").env("CNI_CONTAINERID", id).run()?.result()?;
    }
    case.expect_records(ids.len())?;
    for (at, id) in ids.iter().enumerate() {
        case.stubs.log().clear()?;
        case.call("DEL").env("CNI_CONTAINERID", id).run()?.silent()?;
        assert_eq!(case.the_call("stub-new DEL eth0")?.var("CNI_CONTAINERID"), id);
        case.expect_records(ids.len() - at - 1)?;
    }
    Ok(())
}
