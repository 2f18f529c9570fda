//! Names, keys and values from outside: what is no name names nothing, and what we read is what the delegate reads.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lab::{
    build::packages,
    standin::stub::{Reply, StubDir},
};
use serde_json::{Value, json};

use crate::{
    case::{Case, rn, stub_new},
    trials,
};

trials![
    names_that_are_paths_touch_nothing,
    types_that_are_paths_run_nothing,
    two_values_of_an_argument_decide_nothing,
    policy_key_written_twice_is_refused,
    delegate_sees_one_spelling_of_what_is_ours,
    real_plugin_reads_the_value_that_we_read,
    nul_and_bytes_that_are_no_text_are_refused,
    odd_numbers_are_passed_on_and_never_calculated_with,
];

/// Every path below the case's directory, with what it holds.
fn tree(case: &Case) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut dirs = vec![case.path("")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let content = if path.is_file() { fs::read(&path)? } else { Vec::new() };
            if path.is_dir() {
                dirs.push(path.clone());
            }
            files.push((path, content));
        }
    }
    files.sort();
    Ok(files)
}

/// S1: container id, ifname and network name, on every verb that takes them.
fn names_that_are_paths_touch_nothing() -> Result<()> {
    let case = Case::attach("new")?;
    fs::write(case.path("precious"), "precious")?;
    case.added()?;
    let before = tree(&case)?;
    let long = "a/".repeat(2048);
    let hostile = [
        "../precious",
        "..",
        ".",
        "/etc/passwd",
        "a/../../precious",
        "~root",
        "-rf",
        "a\nb",
        "a b",
        "a;b",
        "é",
        &long,
    ];
    for name in hostile {
        for verb in ["ADD", "DEL", "CHECK"] {
            case.call(verb)
                .env("CNI_CONTAINERID", name)
                .run()?
                .refused(4)
                .with_context(|| format!("id {name:?}"))?;
            case.call_with(verb, &json!({"name": name}))
                .run()?
                .refused(7)
                .with_context(|| format!("network {name:?}"))?;
        }
    }
    for ifname in ["../precious", "..", ".", "/etc/passwd", "a/b", "a b", "a:b", "a\nb", &long] {
        for verb in ["ADD", "DEL", "CHECK"] {
            let call = case.call(verb).env("CNI_IFNAME", ifname);
            call.run()?.refused(4).with_context(|| format!("ifname {ifname:?}"))?;
        }
    }
    case.expect_calls(&[])?;
    ensure!(tree(&case)? == before, "something was touched");
    Ok(())
}

/// S2, CVE-2021-20206.
fn types_that_are_paths_run_nothing() -> Result<()> {
    let case = Case::attach("new")?;
    let evil = case.make_dir("evil")?;
    let stubs = StubDir::new(&evil, &case.path("calls.jsonl"), case.stubs.template());
    stubs.write("stub-new", &stub_new())?;
    let absolute = evil.join("stub-new").display().to_string();
    for plugin_type in ["../evil/stub-new", &absolute, "./stub-new", "..", "", "a b", "a\u{0}b", "-x"] {
        let plugins = json!([{"type": plugin_type}]);
        case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": plugins}))?;
        case.add()?.refused(7).with_context(|| format!("type {plugin_type:?}"))?;
        case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "type": plugin_type}))?;
        case.add()?.refused(7).with_context(|| format!("type {plugin_type:?}"))?;
    }
    case.expect_calls(&[])?;
    case.expect_records(0)
}

/// S9: one of them was smuggled in, and the shim cannot tell which; the string itself goes on as it came.
fn two_values_of_an_argument_decide_nothing() -> Result<()> {
    let case = Case::attach("new")?;
    case.change_policy(|policy| policy["rules"] = json!([{"namespace": "kube-system", "attach": "old"}]))?;
    let smuggled = [
        "K8S_POD_NAMESPACE=ns1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=p1",
        "K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=p1;K8S_POD_NAMESPACE=ns1",
        "K8S_POD_NAME=x;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAMESPACE=y",
        "k8s_pod_namespace=kube-system;K8S_POD_NAME=p1",
        "K8S_POD_NAMESPACE = kube-system",
        "$(K8S_POD_NAMESPACE=kube-system)",
    ];
    for args in smuggled {
        case.call("ADD").env("CNI_ARGS", args).run()?.result()?;
        assert_eq!(case.the_call("stub-new ADD eth0").context(args)?.var("CNI_ARGS"), args);
        case.del()?.silent()?;
        case.stubs.log().clear()?;
    }
    let meant = "IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=p1";
    case.call("ADD").env("CNI_ARGS", meant).run()?.result()?;
    case.the_call("stub-old ADD eth0").map(drop)
}

/// S11: of our own file there is one reading, so what could have two is none.
fn policy_key_written_twice_is_refused() -> Result<()> {
    let case = Case::attach("new")?;
    let text = case.policy()?.to_string();
    for more in [r#""attach":"old","#, r#""ATTACH":"old","#, "\"attac\u{68}\":\"old\",", r#""both":{},"#] {
        case.write(&case.policy_path(), &format!("{{{more}{}", &text[1..]))?;
        case.add()?.refused(7).context(more.to_owned())?;
    }
    case.write(&case.policy_path(), &text.replacen("\"conf\":", "\"conf\":[],\"conf\":", 1))?;
    case.add()?.refused(7)?;
    case.expect_calls(&[])
}

/// S11: Go's decoder takes the last of several spellings, `ſ` for an s and the Kelvin sign for a k.
fn delegate_sees_one_spelling_of_what_is_ours() -> Result<()> {
    let case = Case::attach("new")?;
    let plugin = "{\"type\":\"nobody\",\"Type\":\"stub-new\",\"name\":\"a\",\"NAME\":\"b\",\"cniVersion\":\"0.4.0\",\
                  \"cniVer\u{17f}ion\":\"0.3.1\",\"prevRe\u{17f}ult\":{\"x\":1},\"PREVRESULT\":{\"x\":2}}";
    let conf = format!(
        "{{\"cniVersion\":\"0.3.1\",\"cniVer\u{17f}ion\":\"1.0.0\",\"name\":\"first\",\"Name\":\"newnet\",\"plugins\":[{plugin}]}}"
    );
    case.write(&case.conf_path("new"), &conf)?;
    case.add()?.result()?;
    let call = case.the_call("stub-new ADD eth0")?;
    let stdin = call.stdin.clone().context("stdin")?;
    let seen: Value = call.conf()?;
    assert_eq!((&seen["name"], &seen["cniVersion"]), (&json!("newnet"), &json!("1.0.0")));
    let lower = stdin.to_lowercase().replace('\u{17f}', "s");
    for key in ["\"name\":", "\"cniversion\":"] {
        ensure!(lower.matches(key).count() == 1, "{key} in {stdin}");
    }
    ensure!(!lower.contains("prevresult"), "{stdin}");
    Ok(())
}

/// S11: a real plugin, written with Go's decoder, as the judge. It keeps its leases under the name it reads and answers at
/// the version it reads; the DEL of the same conf must find the lease again.
fn real_plugin_reads_the_value_that_we_read() -> Result<()> {
    let case = Case::attach("new")?;
    // Its own words, before the shim has put them into the version that was asked for.
    let (bin, answer) = (case.make_dir("real")?, case.path("answer"));
    let text =
        format!("#!/bin/sh\n{} | tee {}\n", packages::plugin("host-local")?.display(), answer.display());
    fs::write(bin.join("host-local"), text)?;
    fs::set_permissions(bin.join("host-local"), fs::Permissions::from_mode(0o755))?;
    let (wrong, right) = (case.path("wrong"), case.path("right"));
    let ipam =
        |dir: &Path| json!({"type": "host-local", "dataDir": dir, "subnet": "10.9.0.0/24"}).to_string();
    let plugin = format!(
        "{{\"type\":\"nobody\",\"TYPE\":\"host-local\",\"NAME\":\"x\",\"cniVersion\":\"0.4.0\",\"cniVer\u{17f}ion\":\"0.3.1\",\"ipam\":{},\"IPAM\":{}}}",
        ipam(&wrong),
        ipam(&right)
    );
    let conf =
        format!("{{\"name\":\"x\",\"cniVersion\":\"1.0.0\",\"NAME\":\"lastnet\",\"plugins\":[{plugin}]}}");
    case.write(&case.conf_path("new"), &conf)?;
    let path = bin.display().to_string();
    let result = case.call("ADD").env("CNI_PATH", &path).run()?.result()?;
    assert_eq!(result["cniVersion"], "1.0.0");
    let leases = |dir: &Path| {
        fs::read_dir(dir.join("lastnet")).map(|all| {
            all.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("10.9.")).count()
        })
    };
    assert_eq!(leases(&right)?, 1, "the last dataDir, under the last name");
    ensure!(!wrong.exists(), "no plugin gets the first dataDir");
    let answer: Value = serde_json::from_slice(&fs::read(&answer)?)?;
    assert_eq!(answer["cniVersion"], "1.0.0", "the version that we set is the version that it read");
    case.call("DEL").env("CNI_PATH", &path).run()?.silent()?;
    assert_eq!(leases(&right)?, 0);
    Ok(())
}

/// S11: neither a policy, a conf nor stdin may hold them where a path or a name is.
fn nul_and_bytes_that_are_no_text_are_refused() -> Result<()> {
    let case = Case::attach("new")?;
    for (key, code) in [("policy", 7), ("stateDir", 5), ("runDir", 5)] {
        let more = json!({key: format!("{}/a\u{0}b", case.path("").display())});
        case.call_with("ADD", &more).run()?.refused(code).context(key)?;
    }
    case.change_policy(|policy| policy["networks"]["new"]["conf"] = json!(["/a\u{0}b"]))?;
    case.add()?.refused(7)?;

    let case = Case::attach("new")?;
    // Where any text would do.
    let plugins = json!([{"type": "stub-new", "k": "MARK"}]);
    case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": plugins}))?;
    case.change_policy(|policy| policy["rules"] = json!([{"pod": "MARK", "attach": "old"}]))?;
    case.add()?.result()?;
    case.del()?.silent()?;
    case.stubs.log().clear()?;
    for path in [case.policy_path(), case.conf_path("new")] {
        let good = fs::read(&path)?;
        let at = good.windows(4).position(|part| part == b"MARK").context("the mark")?;
        for bad in [&b"\xff\xfe"[..], b"\xed\xa0\x80", b"\xc0\xaf", b"\x00"] {
            let bytes = [&good[..at], bad, &good[at + 4..]].concat();
            let unfinished = path.with_extension("unfinished");
            fs::write(&unfinished, &bytes)?;
            fs::rename(&unfinished, &path)?;
            case.add()?.refused(7).with_context(|| format!("{bad:?} in {}", path.display()))?;
        }
        fs::write(&path, good)?;
    }
    case.expect_calls(&[])
}

/// S11: no number of a conf or result is ours to read; one that is, and is none, is refused.
fn odd_numbers_are_passed_on_and_never_calculated_with() -> Result<()> {
    let case = Case::attach("new")?;
    let odd = r#""a":1e999,"b":-0,"c":123456789012345678901234567890,"d":1E-999,"e":0.1e+00"#;
    let conf = format!(r#"{{"cniVersion":"1.0.0","name":"newnet","plugins":[{{"type":"stub-new",{odd}}}]}}"#);
    case.write(&case.conf_path("new"), &conf)?;
    let answer = rn("{netns}", "{ifname}").to_string();
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::text(&format!("{{{odd},{}", &answer[1..]))))?;
    let outcome = case.add()?;
    outcome.succeeded()?;
    ensure!(outcome.stdout.contains(odd), "{}", outcome.stdout);
    ensure!(
        case.the_call("stub-new ADD eth0")?.stdin.is_some_and(|stdin| stdin.contains(odd)),
        "the delegate's conf"
    );
    case.del()?.silent()?;
    for number in ["1e999", "-1", "1.5", "99999999999999999999"] {
        let text = case.policy()?.to_string();
        let deadlines = format!(r#"{{"deadlines":{{"addSeconds":{number}}},{}"#, &text[1..]);
        case.write(&case.policy_path(), &deadlines)?;
        case.add()?.refused(7).context(number)?;
        case.write(&case.policy_path(), &text)?;
    }
    Ok(())
}
