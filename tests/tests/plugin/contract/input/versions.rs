//! Versions: which ones are spoken, towards the runtime and towards each delegate, and how results are converted.

use anyhow::{Result, ensure};
use lab::{
    runtime::caller::Plugin,
    standin::stub::{Reply, Stub},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, new_conf, old_conf},
    trials,
};

trials![
    version_answers_without_reading_stdin_or_environment,
    unset_command_is_a_person_and_gets_usage,
    unknown_config_version_is_refused_with_both_sides_named,
    config_versions_before_0_3_0_are_refused,
    result_is_converted_down_to_0_3_1,
    conversion_down_drops_what_the_old_version_lacks,
    conversion_keeps_host_bits_and_interface_zero,
    result_is_converted_between_all_versions,
    answer_without_a_version_has_its_confs_version,
    delegate_conf_without_a_version_is_invalid,
    answer_of_an_unknown_version_is_undone,
    answer_older_than_0_3_0_is_undone,
    each_delegate_sees_its_own_version_in_every_verb,
    delegate_conf_before_0_3_0_is_refused,
    delegate_conf_with_many_versions_runs_at_the_highest_known,
    error_echoes_the_callers_version,
    verbs_newer_than_the_config_version_are_refused,
];

fn version_answers_without_reading_stdin_or_environment() -> Result<()> {
    let bare = Plugin::new(Case::program()).env("CNI_COMMAND", "VERSION");
    let dummies =
        bare.clone().env("CNI_CONTAINERID", "").env("CNI_NETNS", "dummy").env("CNI_IFNAME", "a/b:c d");
    for call in [bare.clone(), bare.stdin_left_open(), dummies.stdin(r#"{"cniVersion":"1.0.0"}"#)] {
        let answer = call.run()?.result()?;
        assert_eq!(answer["cniVersion"], "1.1.0");
        assert_eq!(answer["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
    }
    Ok(())
}

fn unset_command_is_a_person_and_gets_usage() -> Result<()> {
    let outcome = Plugin::new(Case::program()).run()?;
    outcome.silent()?;
    ensure!(outcome.stderr.contains("1.1.0") && outcome.stderr.contains("0.3.1"), "{outcome:?}");
    Ok(())
}

fn unknown_config_version_is_refused_with_both_sides_named() -> Result<()> {
    let case = Case::attach("new")?;
    let refusal = case.call_with("ADD", &json!({"cniVersion": "9.9.9"})).run()?.refused(1)?;
    for part in ["9.9.9", "0.3.1", "1.1.0"] {
        ensure!(refusal.details.contains(part), "details should name {part}: {refusal:?}");
    }
    case.expect_calls(&[])?;
    case.expect_records(0)
}

fn config_versions_before_0_3_0_are_refused() -> Result<()> {
    let mut case = Case::attach("new")?;
    for version in ["0.1.0", "0.2.0"] {
        let refusal = case.call_with("ADD", &json!({"cniVersion": version})).run()?.refused(1)?;
        ensure!(refusal.details.contains(version) && refusal.details.contains("0.3.1"), "{refusal:?}");
    }
    case.shim.as_object_mut().map(|conf| conf.remove("cniVersion"));
    let refusal = case.add()?.refused(1)?;
    ensure!(refusal.details.contains("0.1.0") && refusal.details.contains("1.1.0"), "{refusal:?}");
    case.expect_calls(&[])
}

/// The same result, whether or not it has an empty `dns`, which the versions before 1.0.0 print.
fn without_empty_dns(mut result: Value) -> Value {
    if result["dns"] == json!({}) {
        result.as_object_mut().map(|object| object.remove("dns"));
    }
    result
}

fn result_is_converted_down_to_0_3_1() -> Result<()> {
    let case = Case::attach("new")?;
    let result = case.call_with("ADD", &json!({"cniVersion": "0.3.1"})).run()?.result()?;
    let mut expected = case.rn("eth0");
    expected["cniVersion"] = json!("0.3.1");
    expected["ips"][0]["version"] = json!("4");
    assert_eq!(without_empty_dns(result), expected);
    Ok(())
}

/// 1.1.0 fields of interfaces are unknown to 0.3.1 and 0.4.0; `version` is computed from the address.
fn conversion_down_drops_what_the_old_version_lacks() -> Result<()> {
    let case = Case::attach("new")?;
    let mut conf = new_conf();
    conf["cniVersion"] = json!("1.1.0");
    case.write_conf("new", &conf)?;
    let answer = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0", "sandbox": "{netns}", "mtu": 1450, "socketPath": "/s", "pciID": "0000:00:01.0"}],
        "ips": [{"interface": 0, "address": "fd00::7/64"}, {"interface": 0, "address": "10.2.0.7/24"}]
    });
    case.stubs.write("stub-new", &Stub::answering(Reply::json(&answer)))?;
    for (id, version) in [("a", "0.3.0"), ("b", "0.3.1"), ("c", "0.4.0")] {
        let call = case.call_with("ADD", &json!({"cniVersion": version})).env("CNI_CONTAINERID", id);
        let result = call.run()?.result()?;
        assert_eq!(result["cniVersion"], version);
        assert_eq!(result["interfaces"], json!([{"name": "eth0", "sandbox": case.netns_path()}]));
        assert_eq!((&result["ips"][0]["version"], &result["ips"][1]["version"]), (&json!("6"), &json!("4")));
    }
    let call = case.call_with("ADD", &json!({"cniVersion": "1.0.0"})).env("CNI_CONTAINERID", "d");
    let result = call.run()?.result()?;
    ensure!(result["ips"][0].get("version").is_none(), "1.0.0 has no ips[].version: {result}");
    Ok(())
}

/// Addresses keep their host bits, `interface: 0` is a value.
fn conversion_keeps_host_bits_and_interface_zero() -> Result<()> {
    let case = Case::attach("old")?;
    let answer = json!({
        "cniVersion": "0.3.1",
        "interfaces": [{"name": "eth0", "sandbox": "{netns}"}],
        "ips": [{"version": "4", "interface": 0, "address": "10.0.0.5/24"}],
        "routes": [{"dst": "10.9.8.7/16"}]
    });
    case.stubs.write("stub-old", &Stub::answering(Reply::json(&answer)))?;
    let result = case.add()?.result()?;
    assert_eq!(result["ips"], json!([{"interface": 0, "address": "10.0.0.5/24"}]));
    assert_eq!(result["routes"], json!([{"dst": "10.9.8.7/16"}]));
    Ok(())
}

/// The result has the version on stdin, whatever the delegate's.
fn result_is_converted_between_all_versions() -> Result<()> {
    let case = Case::attach("new")?;
    for (version, delegate) in
        [("0.3.0", "1.1.0"), ("1.1.0", "0.3.0"), ("0.4.0", "1.0.0"), ("1.1.0", "1.0.0")]
    {
        let mut conf = new_conf();
        conf["cniVersion"] = json!(delegate);
        case.write_conf("new", &conf)?;
        let mut answer = case.rn("eth0");
        answer["cniVersion"] = json!(delegate);
        if delegate.starts_with('0') {
            answer["ips"][0]["version"] = json!("4");
        }
        case.stubs.write("stub-new", &Stub::answering(Reply::json(&answer)))?;
        let id = format!("{version}-{delegate}");
        let call = case.call_with("ADD", &json!({"cniVersion": version})).env("CNI_CONTAINERID", &id);
        let mut expected = case.rn("eth0");
        expected["cniVersion"] = json!(version);
        if version.starts_with('0') {
            expected["ips"][0]["version"] = json!("4");
        }
        assert_eq!(without_empty_dns(call.run()?.result()?), expected, "from {delegate} to {version}");
    }
    Ok(())
}

fn answer_without_a_version_has_its_confs_version() -> Result<()> {
    let case = Case::attach("old")?;
    for (id, version) in [("absent", None), ("empty", Some(json!("")))] {
        let mut answer = case.ro();
        answer.as_object_mut().map(|object| object.remove("cniVersion"));
        if let Some(version) = version {
            answer["cniVersion"] = version;
        }
        case.stubs.write("stub-old", &Stub::answering(Reply::json(&answer)))?;
        assert_eq!(case.call("ADD").env("CNI_CONTAINERID", id).run()?.result()?, case.ro_converted());
    }
    Ok(())
}

fn delegate_conf_without_a_version_is_invalid() -> Result<()> {
    let case = Case::attach("old")?;
    let mut conf = old_conf();
    conf.as_object_mut().map(|object| object.remove("cniVersion"));
    case.write_conf("old", &conf)?;
    let refusal = case.add()?.refused(7)?;
    let text = refusal.text();
    ensure!(text.contains("10-old.conflist") && text.contains("cniVersion"), "{refusal:?}");
    case.expect_calls(&[])?;
    case.expect_records(0)
}

fn answer_of_an_unknown_version_is_undone() -> Result<()> {
    answer_of_version_is_undone("7.0.0")
}

fn answer_older_than_0_3_0_is_undone() -> Result<()> {
    answer_of_version_is_undone("0.2.0")
}

fn answer_of_version_is_undone(version: &str) -> Result<()> {
    let case = Case::attach("new")?;
    let mut answer = case.rn("eth0");
    answer["cniVersion"] = json!(version);
    case.stubs.write("stub-new", &Stub::answering(Reply::json(&answer)))?;
    let refusal = case.add()?.refused(6)?;
    ensure!(refusal.text().contains(version), "{refusal:?}");
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])?;
    case.expect_records(0)
}

fn each_delegate_sees_its_own_version_in_every_verb() -> Result<()> {
    let case = Case::attach("both")?;
    let mut conf = new_conf();
    conf["cniVersion"] = json!("1.1.0");
    case.write_conf("new", &conf)?;
    case.write_conf("old", &{
        let mut conf = old_conf();
        conf["cniVersion"] = json!("0.4.0");
        conf
    })?;
    case.add()?.result()?;
    case.call("CHECK").run()?.silent()?;
    case.del()?.silent()?;
    let calls = case.calls()?;
    ensure!(calls.len() == 6, "ADD, CHECK and DEL of both: {:?}", case.stubs.log().briefs()?);
    for call in calls {
        let expected = if call.name == "stub-old" { "0.4.0" } else { "1.1.0" };
        assert_eq!(call.conf()?["cniVersion"], expected, "{}", call.brief());
    }
    Ok(())
}

fn delegate_conf_before_0_3_0_is_refused() -> Result<()> {
    let case = Case::attach("old")?;
    let mut conf = old_conf();
    conf["cniVersion"] = json!("0.2.0");
    case.write_conf("old", &conf)?;
    case.add()?.refused(1)?;
    case.expect_calls(&[])?;
    case.expect_records(0)
}

/// The highest version common to both sides; those newer than 1.1.0 do not count.
fn delegate_conf_with_many_versions_runs_at_the_highest_known() -> Result<()> {
    let case = Case::attach("new")?;
    let mut conf = new_conf();
    conf["cniVersion"] = json!("0.4.0");
    conf["cniVersions"] = json!(["0.4.0", "1.0.0", "1.9.0"]);
    case.write_conf("new", &conf)?;
    case.add()?.result()?;
    assert_eq!(case.the_call("stub-new ADD eth0")?.conf()?["cniVersion"], "1.0.0");
    Ok(())
}

fn error_echoes_the_callers_version() -> Result<()> {
    let case = Case::attach("new")?;
    for version in ["0.3.1", "0.4.0", "1.1.0", "9.9.9", "0.2.0"] {
        let conf = json!({"cniVersion": version, "policy": "/nonexistent/policy.json"});
        assert_eq!(case.call_with("ADD", &conf).run()?.error()?.cni_version, version);
    }
    for stdin in ["", "{}", "nonsense"] {
        assert_eq!(case.call("ADD").stdin(stdin).run()?.error()?.cni_version, "1.1.0");
    }
    Ok(())
}

/// CHECK is of 0.4.0, GC and STATUS of 1.1.0.
fn verbs_newer_than_the_config_version_are_refused() -> Result<()> {
    let case = Case::attach("new")?;
    for (verb, version) in [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0")] {
        let refusal = case.call_with(verb, &json!({"cniVersion": version})).run()?.refused(1)?;
        ensure!(refusal.text().contains(version), "{verb}: {refusal:?}");
    }
    case.expect_calls(&[])
}
