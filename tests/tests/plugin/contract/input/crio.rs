//! The shim under a caller that behaves like CRI-O.

use std::process::Command;

use anyhow::{Result, ensure};
use lab::{
    runtime::{
        caller::runtime::{Runtime, Sandbox},
        crio::Crio,
    },
    standin::stub::Reply,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, new_conf, stub_new},
    trials,
};

trials![
    add_is_checked_with_an_old_delegate,
    cached_conf_is_replayed_after_the_directory_changed_hands,
    one_failing_del_leaves_a_record_for_the_sweep,
    failed_check_stops_the_pod_and_leaves_nothing,
    gc_at_start_spares_running_pods_and_closes_the_rest,
    gc_at_start_under_the_old_networks_name_spares_the_pods_before_us,
    conf_that_sorts_first_has_every_live_pod_collected_at_start_unless_the_default_network_is_named,
    check_of_every_pod_at_start_harms_no_pod,
    failed_add_is_followed_by_a_del_that_finds_nothing,
    reboot_closes_every_pod_without_its_netns,
    pod_gets_the_conf_that_is_loaded_not_the_one_that_lies_there,
    a_pod_before_us_gets_one_del_from_the_runtime_and_none_from_the_sweep,
];

/// A case, and a CRI-O whose directory holds only the shim's conf at this version.
fn with_shim(attach: &str, version: &str) -> Result<(Case, Crio)> {
    let mut case = Case::attach(attach)?;
    case.shim["cniVersion"] = json!(version);
    std::fs::hard_link(Case::program(), case.stubs.program("crossfade"))?;
    case.make_dir("crio")?;
    write_shim(&case, "k8s-pod-network")?;
    let runtime = Runtime { bin_dirs: vec![case.stubs.path().to_owned()], cache_dir: case.path("results") };
    let crio = Crio::new(&case.path("crio"), runtime);
    Ok((case, crio))
}

fn write_shim(case: &Case, name: &str) -> Result<()> {
    let list = json!({
        "cniVersion": case.shim["cniVersion"],
        "name": name,
        "loadOnlyInlinedPlugins": true,
        "plugins": [case.shim]
    });
    case.write(&case.path("crio/01-crossfade.conflist"), &list.to_string())
}

fn sandbox(case: &Case, id: &str) -> Sandbox {
    Sandbox::new(id, &case.netns_path())
}

fn first_address(result: &Value) -> &str {
    result["ips"][0]["address"].as_str().unwrap_or_default()
}

/// CHECK after ADD must not fail for a delegate that has none.
fn add_is_checked_with_an_old_delegate() -> Result<()> {
    let (case, mut crio) = with_shim("both", "1.0.0")?;
    let result = crio.run_pod(sandbox(&case, "c1"))?;
    assert_eq!(first_address(&result), "10.1.0.5/32");
    assert_eq!(
        result["ips"].as_array().map(Vec::len),
        Some(1),
        "CRI-O publishes every address of the result"
    );
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1", "stub-new CHECK net1"])?;
    case.stubs.log().clear()?;
    crio.stop_pod("c1")?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

fn cached_conf_is_replayed_after_the_directory_changed_hands() -> Result<()> {
    let (case, mut crio) = with_shim("old", "1.0.0")?;
    crio.run_pod(sandbox(&case, "c1"))?;
    std::fs::remove_file(case.path("crio/01-crossfade.conflist"))?;
    case.write(&case.path("crio/05-cilium.conflist"), &new_conf().to_string())?;
    std::fs::remove_file(case.policy_path())?;
    case.stubs.log().clear()?;
    crio.stop_pod("c1")?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// CRI-O never comes back, so the record must.
fn one_failing_del_leaves_a_record_for_the_sweep() -> Result<()> {
    let (case, mut crio) = with_shim("both", "1.0.0")?;
    case.stubs
        .write("stub-new", &stub_new().on_calls("DEL", vec![Reply::fail(11, "busy", ""), Reply::silent()]))?;
    crio.run_pod(sandbox(&case, "c1"))?;
    case.stubs.log().clear()?;
    let error = crio.stop_pod("c1").err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("busy"), "{error}");
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(1)?;
    // The next stop succeeds without calling a plugin.
    crio.stop_pod("c1")?;
    case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(1)
}

/// As CRI-O takes it.
fn failed_check_stops_the_pod_and_leaves_nothing() -> Result<()> {
    let (case, mut crio) = with_shim("new", "1.0.0")?;
    case.stubs.write("stub-new", &stub_new().on("CHECK", Reply::fail(121, "wrong route", "")))?;
    let error =
        crio.run_pod(sandbox(&case, "c1")).err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("wrong route"), "{error}");
    case.expect_calls(&["stub-new ADD eth0", "stub-new CHECK eth0", "stub-new DEL eth0"])?;
    case.expect_records(0)
}

/// As CRI-O sends them.
fn gc_at_start_spares_running_pods_and_closes_the_rest() -> Result<()> {
    let (case, mut crio) = with_shim("both", "1.1.0")?;
    case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0}))?;
    let mut conf = new_conf();
    conf["cniVersion"] = json!("1.1.0");
    case.write_conf("new", &conf)?;
    crio.run_pod(sandbox(&case, "c1"))?;
    // A pod that CRI-O knows nothing of: its machine died between ADD and the bookkeeping.
    case.call("ADD").env("CNI_CONTAINERID", "lost").run()?.result()?;
    case.stubs.log().clear()?;
    crio.start()?;
    for call in case.calls()?.iter().filter(|call| call.verb() == "DEL") {
        assert_eq!(call.var("CNI_CONTAINERID"), "lost", "{}", call.brief());
    }
    let gc = case.the_call("stub-new GC")?.conf()?;
    assert_eq!(gc["cni.dev/valid-attachments"], json!([{"containerID": "c1", "ifname": "net1"}]));
    case.expect_records(1)
}

/// Section 3: under the old network's own name, CRI-O's GC takes the pods before us for ours and deletes none of them.
fn gc_at_start_under_the_old_networks_name_spares_the_pods_before_us() -> Result<()> {
    let (case, mut crio) = with_shim("new", "1.1.0")?;
    let mut old = crate::case::old_conf();
    old["cniVersion"] = json!("1.0.0");
    case.write_conf("old", &old)?;
    std::fs::remove_file(case.path("crio/01-crossfade.conflist"))?;
    case.write(&case.path("crio/10-old.conflist"), &old.to_string())?;
    crio.run_pod(sandbox(&case, "before"))?;
    case.write_inventory(&json!([{"containerID": "before", "ifname": "eth0", "network": "old"}]))?;
    write_shim(&case, "oldnet")?;
    case.stubs.log().clear()?;
    crio.start()?;
    let briefs = case.stubs.log().briefs()?;
    ensure!(!briefs.iter().any(|brief| brief.contains("DEL")), "a running pod was deleted: {briefs:?}");
    assert_eq!(case.inventory()?, ["before"]);

    // New pods come through the shim; the old one's DEL replays its own conf, past the shim.
    crio.run_pod(sandbox(&case, "after"))?;
    case.the_call("stub-new ADD eth0")?;
    case.stubs.log().clear()?;
    crio.stop_pod("before")?;
    crio.stop_pod("after")?;
    case.expect_calls(&["stub-old DEL eth0", "stub-new DEL eth0"])
}

/// A restart of CRI-O while another conf sorts first: at 1.0.0, too, what it has cached under our name is deleted through us.
/// `cni_default_network` is what keeps it from doing so; `install`, `boot` and `watch` ask for it.
fn conf_that_sorts_first_has_every_live_pod_collected_at_start_unless_the_default_network_is_named()
-> Result<()> {
    for named in [false, true] {
        let (case, mut crio) = with_shim("old", "1.0.0")?;
        if named {
            crio = crio.insist_on("k8s-pod-network");
        }
        crio.run_pod(sandbox(&case, "c1"))?;
        case.write(&case.path("crio/00-other.conflist"), &new_conf().to_string())?;
        case.stubs.log().clear()?;
        crio.start()?;
        let deleted = case.stubs.log().briefs()?.contains(&"stub-old DEL eth0".to_owned());
        assert_eq!(deleted, !named, "{:?}", case.stubs.log().briefs()?);
        case.expect_records(usize::from(named))?;
    }
    Ok(())
}

/// CRI-O checks each pod when it starts, those from before us without a result: no delegate is called with a DEL for it.
fn check_of_every_pod_at_start_harms_no_pod() -> Result<()> {
    let (case, mut crio) = with_shim("both", "1.0.0")?;
    crio.run_pod(sandbox(&case, "c1"))?;
    // As another runtime's: the cache does not know it.
    let before = sandbox(&case, "c2");
    crio.run_pod(before.clone())?;
    let cache = case.path("results/k8s-pod-network-c2-eth0");
    std::fs::remove_file(&cache)?;
    case.stubs.log().clear()?;
    crio.start()?;
    let briefs = case.stubs.log().briefs()?;
    ensure!(briefs.iter().all(|brief| brief.contains(" CHECK ")), "{briefs:?}");
    ensure!(briefs.contains(&"stub-new CHECK net1".to_owned()), "{briefs:?}");
    case.expect_records(2)?;
    case.stubs.log().clear()?;
    crio.stop_pod("c1")?;
    crio.stop_pod("c2")?;
    case.expect_records(0)
}

/// CRI-O sends a DEL right after an ADD that failed.
fn failed_add_is_followed_by_a_del_that_finds_nothing() -> Result<()> {
    let (case, mut crio) = with_shim("both", "1.0.0")?;
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::fail(11, "no address left", "")))?;
    let error =
        crio.run_pod(sandbox(&case, "c1")).err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(error.contains("no address left") && error.contains("then DEL: Ok"), "{error}");
    case.expect_calls(&["stub-old ADD eth0", "stub-new ADD net1", "stub-new DEL net1", "stub-old DEL eth0"])?;
    case.expect_records(0)
}

/// After a reboot each pod gets one DEL with a netns path that is dead, also where no conf of ours is there.
fn reboot_closes_every_pod_without_its_netns() -> Result<()> {
    for conf in [true, false] {
        let (case, mut crio) = with_shim("both", "1.0.0")?;
        crio.run_pod(sandbox(&case, "c1"))?;
        crio.run_pod(sandbox(&case, "c2"))?;
        if !conf {
            std::fs::remove_file(case.path("crio/01-crossfade.conflist"))?;
        }
        case.stubs.log().clear()?;
        crio.reboot()?;
        let deletes: Vec<_> = case.calls()?.into_iter().filter(|call| call.verb() == "DEL").collect();
        assert_eq!(deletes.len(), 4, "{:?}", case.stubs.log().briefs()?);
        case.expect_records(0)?;
    }
    Ok(())
}

/// What lies in the directory counts once CRI-O has loaded it: until then pods go where its conf of now leads.
fn pod_gets_the_conf_that_is_loaded_not_the_one_that_lies_there() -> Result<()> {
    let (case, mut crio) = with_shim("new", "1.0.0")?;
    std::fs::remove_file(case.path("crio/01-crossfade.conflist"))?;
    let mut old = crate::case::old_conf();
    old["cniVersion"] = json!("1.0.0");
    case.write(&case.path("crio/10-old.conflist"), &old.to_string())?;
    crio.start()?;
    write_shim(&case, "oldnet")?;
    case.stubs.log().clear()?;
    crio.run_pod(sandbox(&case, "past"))?;
    ensure!(case.stubs.log().briefs()?.contains(&"stub-old ADD eth0".to_owned()));
    case.expect_records(0)?;
    crio.reload()?;
    crio.run_pod(sandbox(&case, "through"))?;
    case.expect_records(1)
}

/// By the time a second DEL comes its address may be a living pod's.
fn a_pod_before_us_gets_one_del_from_the_runtime_and_none_from_the_sweep() -> Result<()> {
    let (case, mut crio) = with_shim("new", "1.0.0")?;
    case.change_policy(|policy| policy["gc"] = json!({"graceSeconds": 0}))?;
    std::fs::remove_file(case.path("crio/01-crossfade.conflist"))?;
    case.write(&case.path("crio/10-old.conflist"), &crate::case::old_conf().to_string())?;
    crio.reload()?;
    crio.run_pod(sandbox(&case, "before"))?;
    let entry = json!({"containerID": "before", "ifname": "eth0", "network": "old", "deletedBy": "runtime"});
    case.write_inventory(&json!([entry]))?;
    write_shim(&case, "oldnet")?;
    crio.reload()?;
    case.stubs.log().clear()?;
    crio.stop_pod("before")?;
    case.expect_calls(&["stub-old DEL eth0"])?;
    let bin_dir = case.stubs.path().to_owned();
    let sweep = |listed: &Value| -> Result<String> {
        let list = case.path("listed.json");
        case.write(&list, &listed.to_string())?;
        let mut command = Command::new(lab::build::dist::bootstrap()?);
        command.args(["unit", "sweep"]).arg("--listed").arg(list).arg("--bin-dir").arg(&bin_dir);
        command.arg("--conf-dir").arg(case.path("crio")).arg("--state-dir").arg(case.path("state"));
        command.arg("--run-dir").arg(case.path("run")).arg("--policy").arg(case.policy_path());
        let output = command.output()?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        ensure!(output.status.success(), "{text}");
        Ok(text)
    };
    // The runtime lists a sandbox that was stopped until kubelet removes it.
    sweep(&json!([{"containerID": "before"}]))?;
    assert_eq!(case.inventory()?, ["before"], "the entry stays as long as its sandbox");
    let text = sweep(&json!([]))?;
    ensure!(text.contains("the runtime has sent its DEL itself"), "{text}");
    case.expect_calls(&["stub-old DEL eth0"])?;
    ensure!(case.inventory()?.is_empty(), "{:?}", case.inventory()?);
    case.expect_records(0)
}
