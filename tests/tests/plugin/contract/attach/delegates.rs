//! A delegate is a whole network, run as libcni would run it. Never ourselves.

use std::fs;

use anyhow::{Result, ensure};
use lab::standin::stub::{Act, DEPTH_VARIABLE, Reply, Stub};
use serde_json::{Value, json};

use crate::{
    case::{Case, new_conf},
    trials,
};

trials![
    single_plugin_conf_is_a_network,
    sub_folder_plugins_are_appended_and_recorded,
    sub_folder_is_ignored_when_only_inlined_plugins_load,
    capabilities_are_filtered_per_plugin,
    capability_arguments_pass_byte_for_byte,
    capability_arguments_of_one_kind_go_to_the_primary_only,
    capability_arguments_are_recorded_for_del,
    host_ports_that_no_plugin_maps_are_told_and_noted_for_watch,
    unknown_conf_keys_reach_the_delegate,
    delegating_to_itself_is_refused,
    shim_called_by_a_shim_refuses,
    shim_under_another_name_does_not_loop,
];

fn single_plugin_conf_is_a_network() -> Result<()> {
    let case = Case::attach("new")?;
    let path = case.path("net.d/05-single.conf");
    case.write(
        &path,
        r#"{"cniVersion":"1.0.0","name":"single","type":"stub-new","mtu":1450,"ipam":{"type":"x"}}"#,
    )?;
    case.change_policy(|policy| policy["networks"]["new"]["conf"] = json!([path]))?;
    assert_eq!(case.add()?.result()?, case.rn("eth0"));
    case.del()?.silent()?;
    for call in case.calls()? {
        let conf = call.conf()?;
        assert_eq!(
            (&conf["name"], &conf["mtu"], &conf["ipam"]["type"]),
            (&json!("single"), &json!(1450), &json!("x"))
        );
    }
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])
}

/// A sub-folder of the conf directory called like the network, with two plugins and a file that is none.
fn with_sub_folder(inlined_only: Option<bool>) -> Result<Case> {
    let case = Case::attach("new")?;
    let mut conf = new_conf();
    if let Some(inlined_only) = inlined_only {
        conf["loadOnlyInlinedPlugins"] = json!(inlined_only);
    }
    case.write_conf("new", &conf)?;
    let folder = case.make_dir("net.d/newnet")?;
    let pass = Stub::answering(Reply(vec![Act::PrintPrevResult]));
    for name in ["stub-b", "stub-a"] {
        case.stubs.write(name, &pass)?;
        case.write(&folder.join(format!("{name}.conf")), &json!({"type": name, "extra": 1.5}).to_string())?;
    }
    case.write(&folder.join("stub-c.conflist"), r#"{"type":"stub-c"}"#)?;
    Ok(case)
}

fn sub_folder_plugins_are_appended_and_recorded() -> Result<()> {
    for inlined_only in [None, Some(false)] {
        let case = with_sub_folder(inlined_only)?;
        case.add()?.result()?;
        case.expect_calls(&["stub-new ADD eth0", "stub-a ADD eth0", "stub-b ADD eth0"])?;
        assert_eq!(case.the_call("stub-a ADD eth0")?.conf()?["name"], "newnet");
        case.stubs.log().clear()?;
        fs::remove_dir_all(case.path("net.d"))?;
        case.del()?.silent()?;
        case.expect_calls(&["stub-b DEL eth0", "stub-a DEL eth0", "stub-new DEL eth0"])?;
    }
    Ok(())
}

fn sub_folder_is_ignored_when_only_inlined_plugins_load() -> Result<()> {
    let case = with_sub_folder(Some(true))?;
    case.add()?.result()?;
    case.expect_calls(&["stub-new ADD eth0"])
}

fn declaring(capabilities: &Value) -> Result<Case> {
    let case = Case::attach("new")?;
    let plugins = json!([{"type": "stub-new", "capabilities": capabilities}]);
    case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": plugins}))?;
    Ok(case)
}

fn capabilities_are_filtered_per_plugin() -> Result<()> {
    let case = declaring(&json!({"x": true, "dns": false}))?;
    let offered = json!({
        "io.kubernetes.cri.pod-annotations": {"a": "b"},
        "dns": {"Servers": ["10.0.0.1"]},
        "cgroupPath": "/kubepods",
        "x": {"any": [1, 2]}
    });
    case.call_with("ADD", &json!({"runtimeConfig": offered})).run()?.result()?;
    assert_eq!(case.the_call("stub-new ADD eth0")?.conf()?["runtimeConfig"], json!({"x": {"any": [1, 2]}}));
    Ok(())
}

fn capability_arguments_pass_byte_for_byte() -> Result<()> {
    let case = declaring(&json!({"bandwidth": true, "io.kubernetes.cri.pod-annotations": true}))?;
    let bandwidth = r#"{"IngressRate":1.50,"EgressRate":98765432109876543210,"Zeta":null,"Alpha":[]}"#;
    let conf = case.shim.to_string();
    let annotations = r#"{"b":"1","a":"2"}"#;
    let more = format!(
        r#","runtimeConfig":{{"bandwidth":{bandwidth},"io.kubernetes.cri.pod-annotations":{annotations}}}}}"#
    );
    case.call("ADD").stdin(&format!("{}{more}", &conf[..conf.len() - 1])).run()?.result()?;
    let stdin = case.the_call("stub-new ADD eth0")?.stdin.unwrap_or_default();
    ensure!(stdin.contains(bandwidth) && stdin.contains(annotations), "{stdin}");
    Ok(())
}

const PRIMARY_ONLY: [&str; 7] =
    ["portMappings", "ips", "mac", "ipRanges", "infinibandGUID", "deviceID", "aliases"];

fn capability_arguments_of_one_kind_go_to_the_primary_only() -> Result<()> {
    let case = Case::attach("both")?;
    let shared = ["bandwidth", "dns", "cgroupPath", "CNIDeviceInfoFile", "vendor"];
    let names = || PRIMARY_ONLY.iter().chain(&shared);
    let capabilities: Value = names().map(|name| ((*name).to_owned(), json!(true))).collect();
    let offered: Value = names().map(|name| ((*name).to_owned(), json!(["for", name]))).collect();
    for (network, name, kind) in [("old", "oldnet", "stub-old"), ("new", "newnet", "stub-new")] {
        let plugins = json!([{"type": kind, "capabilities": capabilities}]);
        case.write_conf(network, &json!({"cniVersion": "0.4.0", "name": name, "plugins": plugins}))?;
    }
    case.call_with("ADD", &json!({"runtimeConfig": offered})).run()?.result()?;
    case.del()?.silent()?;
    for call in case.calls()? {
        let conf = call.conf()?;
        let given = conf["runtimeConfig"].as_object().map(|object| object.len()).unwrap_or_default();
        let expected = if call.name == "stub-old" { PRIMARY_ONLY.len() + shared.len() } else { shared.len() };
        ensure!(given == expected, "{} got {}", call.brief(), conf["runtimeConfig"]);
        for name in shared {
            assert_eq!(conf["runtimeConfig"][name], json!(["for", name]));
        }
    }
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1", "stub-new DEL net1", "stub-old DEL eth0"])
}

/// CRI-O and containerd differ in what they offer on DEL; the record does not.
fn capability_arguments_are_recorded_for_del() -> Result<()> {
    let case = declaring(&json!({"portMappings": true}))?;
    let mappings = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    case.call_with("ADD", &json!({"runtimeConfig": {"portMappings": mappings}})).run()?.result()?;
    case.call("CHECK").run()?.silent()?;
    let other = json!({"runtimeConfig": {"portMappings": []}});
    case.call_with("DEL", &other).run()?.silent()?;
    case.expect_calls(&["stub-new ADD eth0", "stub-new CHECK eth0", "stub-new DEL eth0"])?;
    for call in case.calls()? {
        assert_eq!(call.conf()?["runtimeConfig"]["portMappings"], mappings, "{}", call.brief());
    }
    Ok(())
}

fn unknown_conf_keys_reach_the_delegate() -> Result<()> {
    let case = Case::attach("new")?;
    let plugin = json!({
        "type": "stub-new",
        "kubernetes": {"kubeconfig": "/etc/x"},
        "policy": {"type": "k8s"},
        "stateDir": "/theirs",
        "args": {"cni": {"labels": []}},
        "dns": {"nameservers": []},
        "nullable": null
    });
    case.write_conf(
        "new",
        &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": [plugin], "listKey": 1}),
    )?;
    case.add()?.result()?;
    let conf = case.the_call("stub-new ADD eth0")?.conf()?;
    for (key, value) in plugin.as_object().into_iter().flatten() {
        assert_eq!(&conf[key], value, "{key}");
        ensure!(conf.get(key).is_some(), "{key} is missing");
    }
    Ok(())
}

fn delegating_to_itself_is_refused() -> Result<()> {
    let lists = [json!([{"type": "crossfade"}]), json!([{"type": "stub-new"}, {"type": "crossfade"}])];
    for plugins in lists {
        let case = Case::attach("new")?;
        fs::hard_link(Case::program(), case.stubs.program("crossfade"))?;
        case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": plugins}))?;
        let refusal = case.add()?.refused(7)?;
        ensure!(refusal.text().contains("delegates to itself"), "{refusal:?}");
        case.expect_calls(&[])?;
        case.expect_records(0)?;
    }
    Ok(())
}

fn shim_called_by_a_shim_refuses() -> Result<()> {
    let case = Case::attach("new")?;
    let refusal = case.call("ADD").env(DEPTH_VARIABLE, "1").run()?.refused(7)?;
    ensure!(refusal.text().contains("delegates to itself"), "{refusal:?}");
    case.expect_calls(&[])?;
    case.add()?.result()?;
    ensure!(!case.the_call("stub-new ADD eth0")?.var(DEPTH_VARIABLE).is_empty(), "delegates carry the guard");
    Ok(())
}

fn shim_under_another_name_does_not_loop() -> Result<()> {
    let case = Case::attach("new")?;
    fs::hard_link(Case::program(), case.stubs.program("innocent"))?;
    let mut plugin = case.shim.clone();
    plugin["type"] = json!("innocent");
    case.write_conf("new", &json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": [plugin]}))?;
    let refusal = case.add()?.refused(7)?;
    ensure!(refusal.text().contains("delegates to itself"), "{refusal:?}");
    case.expect_records(0)
}

/// A pod whose network maps no host ports is attached without them; that is no failure, and it must not be silent.
fn host_ports_that_no_plugin_maps_are_told_and_noted_for_watch() -> Result<()> {
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    let words = "host ports not mapped";
    let maps = json!({"portMappings": true});
    for (attach, old_maps, new_maps, mappings, output) in [
        ("new", true, false, &ports, Some("newnet")),
        ("new", true, false, &json!([]), None),
        ("new", false, true, &ports, None),
        // The secondary never gets them, whatever it declares.
        ("both", false, true, &ports, Some("oldnet")),
        ("both", true, false, &ports, None),
    ] {
        let case = Case::attach(attach)?;
        for (network, name, kind, its) in
            [("old", "oldnet", "stub-old", old_maps), ("new", "newnet", "stub-new", new_maps)]
        {
            let capabilities = if its { maps.clone() } else { json!({"bandwidth": true}) };
            let plugins = json!([{"type": kind, "capabilities": capabilities}]);
            case.write_conf(network, &json!({"cniVersion": "0.4.0", "name": name, "plugins": plugins}))?;
        }
        let what = format!("{attach}, old maps: {old_maps}, new maps: {new_maps}, asked for {mappings}");
        for id in ["c1", "c2"] {
            let add = case.call_with("ADD", &json!({"runtimeConfig": {"portMappings": mappings}}));
            let outcome = add.env("CNI_CONTAINERID", id).run()?;
            outcome.result()?;
            ensure!(outcome.stderr.contains(words) == output.is_some(), "{what}: {}", outcome.stderr);
            ensure!(!outcome.stderr.contains("8080"), "nothing of the pod is told: {}", outcome.stderr);
        }
        let noted = fs::read_dir(case.path("run/hostports")).into_iter().flatten().flatten();
        let noted: Vec<String> =
            noted.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(noted, Vec::from_iter(output), "{what}");
    }
    Ok(())
}
