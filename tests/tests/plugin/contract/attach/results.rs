//! The result that the runtime gets.

use anyhow::{Result, ensure};
use lab::standin::stub::{Reply, Stub};
use serde_json::json;

use crate::{
    case::{Case, rn, stub_new},
    trials,
};

trials![
    prev_result_on_add_is_refused,
    plugin_chained_behind_the_shim_gets_a_complete_result,
    unknown_result_keys_pass_byte_for_byte,
    unknown_result_keys_reach_the_delegates_del,
    pretty_printed_texts_are_recorded_whole,
    address_of_the_secondary_is_never_in_the_reply,
    dns_of_the_primary_is_kept,
];

fn prev_result_on_add_is_refused() -> Result<()> {
    let case = Case::attach("new")?;
    let prev = json!({"prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.1/32"}]}});
    let refusal = case.call_with("ADD", &prev).run()?.refused(7)?;
    ensure!(refusal.text().contains("must be first"), "{refusal:?}");
    case.expect_calls(&[])
}

fn plugin_chained_behind_the_shim_gets_a_complete_result() -> Result<()> {
    let case = Case::attach("both")?;
    case.stubs
        .write("stub-behind", &Stub::answering(Reply(vec![lab::standin::stub::Act::PrintPrevResult])))?;
    std::fs::hard_link(Case::program(), case.stubs.program("crossfade"))?;
    let list = json!({
        "cniVersion": "0.4.0",
        "name": case.shim["name"],
        "plugins": [case.shim, {"type": "stub-behind"}]
    });
    let runtime = lab::runtime::caller::runtime::Runtime {
        bin_dirs: vec![case.stubs.path().to_owned()],
        cache_dir: case.path("results"),
    };
    let mut sandbox = lab::runtime::caller::runtime::Sandbox::new("c1", &case.netns_path());
    let result = runtime.add(&list, &sandbox)?;
    assert_eq!((&result["cniVersion"], &result["ips"][0]["version"]), (&json!("0.4.0"), &json!("4")));
    assert_eq!(case.the_call("stub-behind ADD eth0")?.conf()?["prevResult"], result);
    case.stubs.log().clear()?;
    sandbox.netns = String::new();
    runtime.del(&list, &sandbox)?;
    case.expect_calls(&["stub-behind DEL eth0", "stub-new DEL net1", "stub-old DEL eth0"])
}

const ODD: &str = concat!(
    r#"{"cniVersion":"1.0.0","vendorX":{"price":1.50,"n":12345678901234567890123,"ß":"\u00e4"},"#,
    r#""interfaces":[{"name":"eth0","sandbox":"/x","vendorY":[1.0,1e2]}],"#,
    r#""ips":[{"address":"10.2.0.7/32","interface":0,"vendorZ":null}]}"#
);

fn unknown_result_keys_pass_byte_for_byte() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs.write("stub-new", &Stub::answering(Reply::text(ODD)))?;
    let outcome = case.add()?;
    outcome.succeeded()?;
    assert_eq!(outcome.stdout.trim(), ODD);
    Ok(())
}

fn unknown_result_keys_reach_the_delegates_del() -> Result<()> {
    let case = Case::attach("new")?;
    case.stubs.write("stub-new", &Stub::answering(Reply::text(ODD)))?;
    case.added()?;
    case.del()?.silent()?;
    let stdin = case.the_call("stub-new DEL eth0")?.stdin.unwrap_or_default();
    ensure!(stdin.contains(ODD), "{stdin}");
    Ok(())
}

/// As real plugins print: over many lines, with a newline at the end.
fn pretty_printed_texts_are_recorded_whole() -> Result<()> {
    let case = Case::attach("both")?;
    let plugins = json!([{"type": "stub-new", "capabilities": {"dns": true}}]);
    let conf = json!({"cniVersion": "1.0.0", "name": "newnet", "plugins": plugins});
    case.write(&case.conf_path("new"), &format!("{conf:#}\n"))?;
    let pretty = |answer: &serde_json::Value| Stub::answering(Reply::text(&format!("{answer:#}\r\n\n")));
    case.stubs.write("stub-old", &pretty(&case.ro()))?;
    case.stubs.write("stub-new", &pretty(&case.rn("net1")))?;
    let mut shim = case.shim.clone();
    shim["runtimeConfig"] = json!({"dns": {"Servers": ["10.0.0.1"], "Searches": null}});
    let stdin = format!("{shim:#}\n");
    assert_eq!(case.call("ADD").stdin(&stdin).run()?.result()?, case.ro_converted());
    case.call("CHECK").stdin(&stdin).run()?.silent()?;
    case.call("DEL").stdin(&stdin).run()?.silent()?;
    case.expect_calls(&[
        "stub-old ADD eth0",
        "stub-new ADD net1",
        "stub-new CHECK net1",
        "stub-new DEL net1",
        "stub-old DEL eth0",
    ])?;
    for brief in ["stub-new CHECK net1", "stub-new DEL net1"] {
        let conf = case.the_call(brief)?.conf()?;
        assert_eq!(conf["prevResult"], case.rn("net1"), "{brief}");
        assert_eq!(conf["runtimeConfig"]["dns"]["Servers"], json!(["10.0.0.1"]), "{brief}");
    }
    case.expect_records(0)
}

fn address_of_the_secondary_is_never_in_the_reply() -> Result<()> {
    let case = Case::attach("both")?;
    let mut answer = rn("{netns}", "{ifname}");
    answer["ips"][0].as_object_mut().map(|ip| ip.remove("interface"));
    answer["dns"] = json!({"nameservers": ["10.2.0.53"]});
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::json(&answer)))?;
    let outcome = case.add()?;
    assert_eq!(outcome.result()?, case.ro_converted());
    ensure!(!outcome.stdout.contains("10.2.0"), "{outcome:?}");
    Ok(())
}

/// Conversion changes what the versions differ in and nothing else.
fn dns_of_the_primary_is_kept() -> Result<()> {
    let case = Case::attach("old")?;
    let mut answer = case.ro();
    answer["dns"] = json!({"nameservers": ["10.1.0.53"], "search": ["a.example"], "options": ["ndots:5"]});
    case.stubs.write("stub-old", &Stub::answering(Reply::json(&answer)))?;
    let result = case.add()?.result()?;
    assert_eq!(result["dns"], answer["dns"]);
    Ok(())
}
