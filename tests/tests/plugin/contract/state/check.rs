//! CHECK asks every recorded network with its own result.

use anyhow::{Result, ensure};
use lab::standin::stub::Reply;
use serde_json::json;

use crate::{
    case::{Case, new_conf, old_conf, stub_new, stub_old},
    trials,
};

trials![
    check_skips_a_delegate_before_0_4_0,
    check_gives_every_network_its_own_result,
    check_honours_disable_check,
    check_asks_all_and_reports_the_first_error,
    check_of_an_unknown_attachment_is_code_3,
    check_follows_the_record_without_policy_and_confs,
];

fn check_skips_a_delegate_before_0_4_0() -> Result<()> {
    let case = Case::attach("both")?;
    case.added()?;
    case.call("CHECK").run()?.silent()?;
    case.expect_calls(&["stub-new CHECK net1"])?;
    assert_eq!(case.the_call("stub-new CHECK net1")?.conf()?["prevResult"], case.rn("net1"));
    case.expect_records(1)
}

fn with_old_at_0_4_0(attach: &str) -> Result<Case> {
    let case = Case::attach(attach)?;
    let mut conf = old_conf();
    conf["cniVersion"] = json!("0.4.0");
    case.write_conf("old", &conf)?;
    Ok(case)
}

/// Not the merged result, not the runtime's.
fn check_gives_every_network_its_own_result() -> Result<()> {
    let case = with_old_at_0_4_0("both")?;
    let reply = case.added()?;
    case.call_with("CHECK", &json!({"prevResult": reply})).run()?.silent()?;
    let mut briefs = case.stubs.log().briefs()?;
    briefs.sort();
    assert_eq!(briefs, ["stub-new CHECK net1", "stub-old CHECK eth0"]);
    let old = case.the_call("stub-old CHECK eth0")?.conf()?["prevResult"].clone();
    assert_eq!((&old["cniVersion"], &old["ips"][0]["address"]), (&json!("0.4.0"), &json!("10.1.0.5/32")));
    assert_eq!(case.the_call("stub-new CHECK net1")?.conf()?["prevResult"], case.rn("net1"));
    Ok(())
}

fn check_honours_disable_check() -> Result<()> {
    let case = Case::attach("new")?;
    let mut conf = new_conf();
    conf["disableCheck"] = json!(true);
    case.write_conf("new", &conf)?;
    case.added()?;
    case.call("CHECK").run()?.silent()?;
    case.expect_calls(&[])
}

fn check_asks_all_and_reports_the_first_error() -> Result<()> {
    let case = with_old_at_0_4_0("both")?;
    case.added()?;
    case.stubs.write("stub-old", &stub_old().on("CHECK", Reply::fail(121, "old-is-off", "")))?;
    case.stubs.write("stub-new", &stub_new().on("CHECK", Reply::fail(122, "new-is-off", "")))?;
    let refusal = case.call("CHECK").run()?.error()?;
    let briefs = case.stubs.log().briefs()?;
    ensure!(briefs.len() == 2, "every network is asked: {briefs:?}");
    let (code, word) =
        if briefs[0].starts_with("stub-old") { (121, "old-is-off") } else { (122, "new-is-off") };
    ensure!(refusal.code == code && refusal.msg.contains(word), "the first error is reported: {refusal:?}");
    case.expect_records(1)?;

    case.stubs.write("stub-old", &stub_old())?;
    case.call("CHECK").run()?.refused(122)?;
    Ok(())
}

fn check_of_an_unknown_attachment_is_code_3() -> Result<()> {
    let case = Case::attach("new")?;
    case.call("CHECK").run()?.refused(3)?;
    case.added()?;
    case.del()?.silent()?;
    case.call("CHECK").run()?.refused(3)?;
    case.expect_calls(&["stub-new DEL eth0"])
}

fn check_follows_the_record_without_policy_and_confs() -> Result<()> {
    let case = with_old_at_0_4_0("old")?;
    case.added()?;
    std::fs::remove_dir_all(case.path("net.d"))?;
    case.write(&case.policy_path(), "{ torn")?;
    case.call("CHECK").run()?.silent()?;
    case.expect_calls(&["stub-old CHECK eth0"])
}
