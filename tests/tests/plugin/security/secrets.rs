//! A canary in every place where a secret may be: it goes to the delegate's stdin and into files that are root's alone, and
//! nowhere else. What a delegate says itself goes to the runtime, whose answer it is, and not into the log.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::{Act, Reply};
use serde_json::{Value, json};

use crate::{
    case::{Case, Journal, stub_new, stub_old},
    trials,
};

trials![
    secret_of_a_conf_goes_to_its_delegate_alone,
    secret_of_the_wrong_type_is_not_quoted,
    secret_of_an_inventory_is_not_quoted,
    secret_in_an_annotation_that_no_plugin_declares_is_not_recorded,
    secret_that_a_delegate_tells_stays_out_of_the_log,
    secret_that_a_delegate_tells_stays_out_of_the_ledger,
    secret_is_in_no_argument_nor_environment,
];

const CANARY: &str = "canary-51d8e0";

/// A case, its journal, and everything that its calls said.
struct SecretWatch {
    case: Case,
    journal: Journal,
    said: String,
    /// The journal's socket holds some ten entries, so it is read after each call.
    logged: Vec<String>,
}

impl SecretWatch {
    fn new(attach: &str) -> Result<Self> {
        let mut case = Case::attach(attach)?;
        case.shim["cniVersion"] = json!("1.1.0");
        let journal = Journal::new(&case)?;
        Ok(Self { case, journal, said: String::new(), logged: Vec::new() })
    }

    /// Runs a call with these keys in the conf and these arguments; whether it succeeded.
    fn call(&mut self, verb: &str, more: &Value) -> Result<bool> {
        let mut conf = self.case.shim.clone();
        for (key, value) in more.as_object().into_iter().flatten() {
            conf[key] = value.clone();
        }
        self.call_raw(verb, &conf.to_string())
    }

    fn call_raw(&mut self, verb: &str, stdin: &str) -> Result<bool> {
        let wrapper = self.journal.wrapper();
        let mut call = self.case.call(verb).stdin(stdin);
        if verb != "GC" && verb != "STATUS" {
            call = call.env("CNI_ARGS", &format!("IgnoreUnknown=1;TOKEN={CANARY};K8S_POD_NAME=p1"));
        }
        let outcome = call.wrapped(&wrapper.each_ref().map(String::as_str)).run()?;
        let exited = outcome.status.code().context("ended by itself")?;
        self.said += &format!("{verb}: {}\n{}\n", outcome.stdout, outcome.stderr);
        self.logged.extend(self.journal.entries()?.iter().map(|entry| format!("{entry:?}")));
        Ok(exited == 0)
    }

    /// Holds when nothing that was said or logged has the canary, and no file has that others could read.
    fn is_kept(&self) -> Result<()> {
        ensure!(!self.said.contains(CANARY), "said: {}", self.said);
        self.is_kept_out_of_log_and_files()
    }

    fn is_kept_out_of_log_and_files(&self) -> Result<()> {
        ensure!(!self.logged.is_empty(), "something was logged");
        let output: Vec<&String> = self.logged.iter().filter(|entry| entry.contains(CANARY)).collect();
        ensure!(output.is_empty(), "logged: {output:#?}");
        let mut holders = Vec::new();
        for root in ["state", "run"] {
            search(&self.case.path(root), &mut holders)?;
        }
        for path in holders {
            let relative = path.strip_prefix(self.case.path(""))?;
            let may = ["state/attachments", "state/damaged", "state/inventory.json"];
            ensure!(may.iter().any(|place| relative.starts_with(place)), "found in {}", relative.display());
            let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
            ensure!(mode == 0o600, "{} has mode {mode:o}", relative.display());
        }
        Ok(())
    }
}

/// Files below a directory that hold the canary.
fn search(dir: &Path, holders: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            search(&path, holders)?;
        } else if String::from_utf8_lossy(&fs::read(&path)?).contains(CANARY) {
            holders.push(path);
        }
    }
    Ok(())
}

fn secret_conf() -> Value {
    let plugin = json!({"type": "stub-new", "token": CANARY, "ipam": {"password": CANARY}, "capabilities": {"x": true}});
    json!({"cniVersion": "1.1.0", "name": "newnet", "kubeconfig": CANARY, "plugins": [plugin]})
}

/// What a runtime may pass along.
fn conf_with_secret() -> Value {
    json!({
        "secret": CANARY,
        "runtimeConfig": {"x": CANARY, "io.kubernetes.cri.pod-annotations": {"vault": CANARY, "crossfade/attach": CANARY}}
    })
}

/// S12, S13: every verb, in success and in the failures that are ours.
fn secret_of_a_conf_goes_to_its_delegate_alone() -> Result<()> {
    let mut watched = SecretWatch::new("new")?;
    watched.case.write_conf("new", &secret_conf())?;
    watched.case.change_policy(|policy| {
        policy["podAnnotation"] = json!({"key": "crossfade/attach", "allow": ["both"]});
        policy["networks"]["new"]["ready"] = json!([{"http": "127.0.0.1:1/x", "headers": {"auth": CANARY}}]);
    })?;
    ensure!(!watched.call("STATUS", &json!({"secret": CANARY}))?, "its probe is red");
    for verb in ["ADD", "CHECK"] {
        ensure!(watched.call(verb, &conf_with_secret())?, "{verb}: {}", watched.said);
    }
    ensure!(!watched.call("ADD", &conf_with_secret())?, "it exists");
    let add = watched.case.the_call("stub-new ADD eth0")?;
    ensure!(
        add.stdin.is_some_and(|stdin| stdin.matches(CANARY).count() == 3),
        "token, password and capability"
    );
    let list = json!([{"containerID": "c1", "ifname": "eth0"}, {"containerID": CANARY, "ifname": "eth0"}]);
    ensure!(
        watched.call("GC", &json!({"cni.dev/valid-attachments": list, "secret": CANARY}))?,
        "{}",
        watched.said
    );
    watched.case.stubs.write("stub-new", &stub_new().on("*", Reply(vec![Act::Exit(9)])))?;
    ensure!(
        !watched.call("CHECK", &conf_with_secret())? && !watched.call("DEL", &conf_with_secret())?,
        "its delegate fails without a word"
    );
    watched.case.stubs.remove("stub-new")?;
    ensure!(!watched.call("DEL", &conf_with_secret())?, "no delegate");
    ensure!(!watched.call("ADD", &json!({"prevResult": {"secret": CANARY}}))?, "chained");
    watched.is_kept()?;
    let mut holders = Vec::new();
    search(&watched.case.path("state"), &mut holders)?;
    ensure!(holders.len() == 1, "the record has it, so that its DEL has: {holders:?}");
    Ok(())
}

/// S12: a parser likes to quote what it did not expect.
fn secret_of_the_wrong_type_is_not_quoted() -> Result<()> {
    let mut watched = SecretWatch::new("new")?;
    let conf = watched.case.conf_path("new");
    let (in_list, in_object) = (json!([CANARY]), json!({"secret": CANARY}));
    for key in ["plugins", "cniVersions", "disableCheck", "capabilities", "loadOnlyInlinedPlugins"] {
        for value in [json!(CANARY), in_list.clone(), in_object.clone(), json!([[CANARY]])] {
            let mut bad = secret_conf();
            bad[key] = value;
            watched.case.write(&conf, &bad.to_string())?;
            if !watched.call("ADD", &conf_with_secret())? {
                continue;
            }
            watched.call("DEL", &conf_with_secret())?;
        }
    }
    for torn in [
        r#"{"token":"CANARY"#,
        r#"{"token":"CANARY"} x"#,
        r#"["CANARY"]"#,
        r#""CANARY""#,
        r#"{"plugins":["CANARY"]}"#,
    ] {
        watched.case.write(&conf, &torn.replace("CANARY", CANARY))?;
        ensure!(!watched.call("ADD", &conf_with_secret())?, "{torn}");
        let stdin = torn.replace("CANARY", CANARY);
        ensure!(!watched.call_raw("ADD", &stdin)?, "{torn}");
    }
    watched.case.write(&conf, &secret_conf().to_string())?;
    for key in ["runtimeConfig", "policy", "stateDir", "cniVersion"] {
        let wrong = if key == "runtimeConfig" { json!(CANARY) } else { in_object.clone() };
        ensure!(!watched.call("ADD", &json!({key: wrong}))?, "{key}");
    }
    ensure!(!watched.call("GC", &json!({"cni.dev/valid-attachments": CANARY}))?, "a list");
    // Only headers are secret in a policy; so are all the places around them.
    let policy = watched.case.policy()?;
    let probe = json!({"http": "127.0.0.1:1/x", "headers": {"auth": CANARY}});
    for ready in [
        probe.clone(),
        json!([[probe]]),
        json!([{"http": [probe]}]),
        json!([{"headers": CANARY, "http": "127.0.0.1:1/x"}]),
    ] {
        let mut bad = policy.clone();
        bad["networks"]["new"]["ready"] = ready;
        watched.case.write_policy(&bad)?;
        ensure!(!watched.call("ADD", &conf_with_secret())?, "{bad}");
    }
    for key in ["networks", "both", "rules", "attach", "deadlines"] {
        let mut bad = policy.clone();
        bad[key] = json!([probe]);
        watched.case.write_policy(&bad)?;
        ensure!(!watched.call("ADD", &conf_with_secret())?, "{bad}");
        bad[key] = json!({"new": [probe]});
        watched.case.write_policy(&bad)?;
        ensure!(!watched.call("ADD", &conf_with_secret())?, "{bad}");
    }
    watched.is_kept()
}

/// S12, S13: an inventory has confs, results and arguments of pods that were there before us.
fn secret_of_an_inventory_is_not_quoted() -> Result<()> {
    let mut watched = SecretWatch::new("new")?;
    let entry = json!({
        "containerID": "c1", "ifname": "eth0", "network": "new", "conf": secret_conf(), "cniArgs": format!("TOKEN={CANARY}"),
        "prevResult": {"cniVersion": "1.1.0", "secret": CANARY}, "runtimeConfig": {"x": CANARY}
    });
    watched.case.write_inventory(&json!([entry]))?;
    watched.case.stubs.write("stub-new", &stub_new().on("DEL", Reply(vec![Act::Exit(9)])))?;
    ensure!(!watched.call("DEL", &conf_with_secret())?, "its delegate fails");
    watched.case.stubs.write("stub-new", &stub_new())?;
    ensure!(watched.call("DEL", &conf_with_secret())?, "{}", watched.said);
    let wrong = [("ifname", json!([CANARY])), ("cniArgs", json!({"x": CANARY})), ("taken", json!(CANARY))];
    for (key, wrong) in wrong {
        let mut bad = entry.clone();
        bad[key] = wrong;
        watched.case.write_inventory(&json!([bad]))?;
        ensure!(!watched.call("ADD", &conf_with_secret())?, "{key}");
    }
    watched.case.write_inventory(&json!(CANARY))?;
    ensure!(!watched.call("ADD", &conf_with_secret())?, "no list");
    ensure!(watched.said.matches("inventory.json").count() >= 4, "each names it: {}", watched.said);
    watched.is_kept()
}

/// Ways for a delegate to tell what it should not, on ADD.
fn indiscretions() -> [Reply; 7] {
    let says = |act: Act| Reply(vec![act, Act::Exit(9)]);
    [
        Reply::fail(123, CANARY, CANARY),
        says(Act::Stderr(format!("{CANARY}\n"))),
        says(Act::Print(CANARY.to_owned())),
        Reply::text(&format!("{CANARY} is no result")),
        Reply::text(&json!({"cniVersion": CANARY}).to_string()),
        Reply::text(&json!({"ips": [{"address": CANARY}]}).to_string()),
        Reply::text(&json!({"ips": CANARY}).to_string()),
    ]
}

/// S12: and the record of what it left, which is a line of the same log, neither.
fn secret_that_a_delegate_tells_stays_out_of_the_log() -> Result<()> {
    let mut watched = SecretWatch::new("both")?;
    watched.case.change_policy(|policy| policy["both"]["defaultRoute"] = json!("old"))?;
    for tolerate in ["fail", "tolerate"] {
        watched.case.change_policy(|policy| policy["both"]["secondaryFailure"] = json!(tolerate))?;
        for reply in indiscretions() {
            let stub = stub_new().on("ADD", reply.clone()).on("DEL", Reply::fail(5, CANARY, CANARY));
            watched.case.stubs.write("stub-new", &stub)?;
            watched.call("ADD", &json!({}))?;
            watched.call("DEL", &json!({}))?;
            watched.case.stubs.write("stub-new", &stub_new().on("DEL", Reply::silent()))?;
            ensure!(watched.call("DEL", &json!({}))?, "{}", watched.said);
        }
    }
    // A good delegate's stderr is the runtime's to have, as without us.
    let chatty =
        Reply::json(&crate::case::rn("{netns}", "{ifname}")).first(Act::Stderr(format!("{CANARY}\n")));
    watched.case.stubs.write("stub-new", &stub_new().on("ADD", chatty))?;
    ensure!(watched.call("ADD", &json!({}))?, "{}", watched.said);
    ensure!(watched.said.contains(CANARY), "the delegate did say it");
    ensure!(watched.logged.len() > 40, "{} entries", watched.logged.len());
    watched.is_kept_out_of_log_and_files()
}

/// S12: the ledger is read by people, and copied into tickets.
fn secret_that_a_delegate_tells_stays_out_of_the_ledger() -> Result<()> {
    let mut watched = SecretWatch::new("old")?;
    watched.case.write_conf(
        "old",
        &json!({"cniVersion": "1.0.0", "name": "oldnet", "plugins": [{"type": "stub-old", "token": CANARY}]}),
    )?;
    ensure!(watched.call("ADD", &json!({}))?, "{}", watched.said);
    watched.case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(5, CANARY, CANARY)))?;
    watched.case.change_policy(|policy| {
        policy["attach"] = json!("new");
        policy["retired"] = json!([{"network": "old", "forceAfterSeconds": 0}]);
    })?;
    ensure!(watched.call("DEL", &json!({}))?, "forced: {}", watched.said);
    let ledger = fs::read_to_string(watched.case.path("state/ledger.jsonl"))?;
    ensure!(ledger.contains("\"reason\":\"code 5") && !ledger.contains(CANARY), "{ledger}");
    watched.case.expect_records(0)?;
    watched.is_kept_out_of_log_and_files()
}

/// S30: what `ps` shows to everybody, and what a crash reporter copies.
fn secret_is_in_no_argument_nor_environment() -> Result<()> {
    let mut watched = SecretWatch::new("new")?;
    watched.case.write_conf("new", &secret_conf())?;
    let gate = watched.case.gate("gate")?;
    let answer = Reply::json(&watched.case.rn("eth0")).behind(&gate);
    watched.case.stubs.write("stub-new", &stub_new().on("ADD", answer))?;
    let add = watched.case.call_with("ADD", &conf_with_secret()).spawn()?;
    let call = watched.case.stubs.log().wait_for("stub-new ADD eth0", 1)?;
    for pid in [add.pid(), call.pid] {
        for file in ["cmdline", "environ", "comm"] {
            let seen = fs::read(format!("/proc/{pid}/{file}"))?;
            ensure!(!seen.is_empty(), "{file} of {pid}");
            ensure!(!String::from_utf8_lossy(&seen).contains(CANARY), "in {file} of {pid}");
        }
    }
    gate.open()?;
    add.wait()?.result()?;
    ensure!(watched.call("DEL", &json!({}))?, "{}", watched.said);
    Ok(())
}

/// S13: runtimes offer all annotations of a pod, and one of them is its last applied configuration with its environment
/// variables. A record keeps what a plugin of the same network declares, and the DEL gets that.
fn secret_in_an_annotation_that_no_plugin_declares_is_not_recorded() -> Result<()> {
    let offered = |secret: &str| {
        let applied = format!("{secret}{}", "x".repeat(256 << 10));
        json!({"runtimeConfig": {
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
            "io.kubernetes.cri.pod-annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}
        }})
    };
    let kept = |case: &Case| -> Result<String> {
        let records = case.records()?;
        ensure!(records.len() == 1, "one record: {records:?}");
        Ok(fs::read_to_string(&records[0])?)
    };
    let holds = |case: &Case, when: &str| -> Result<()> {
        let record = kept(case)?;
        ensure!(
            !record.contains(CANARY),
            "{when}: the record holds an annotation that the policy does not ask for"
        );
        ensure!(record.contains("8080"), "{when}: the record holds what stub-old declares");
        Ok(())
    };
    let case = Case::attach("both")?;
    let declaring = json!([{"type": "stub-old", "capabilities": {"portMappings": true}}]);
    let conf = json!({"cniVersion": "1.0.0", "name": "oldnet", "plugins": declaring});
    case.write_conf("old", &conf)?;
    case.call_with("ADD", &offered(CANARY)).run()?.result()?;
    holds(&case, "ADD")?;

    // A record that cannot be read any more is replaced by one that is made from what the DEL gets.
    case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(100, "not now", "")))?;
    fs::write(&case.records()?[0], "garbage")?;
    case.call_with("DEL", &offered(CANARY)).run()?.refused(100)?;
    holds(&case, "DEL of a damaged record")?;
    case.stubs.write("stub-old", &stub_old())?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    let del = case.the_call("stub-old DEL eth0")?.conf()?;
    ensure!(del["runtimeConfig"]["portMappings"][0]["hostPort"] == 8080, "the DEL needs it: {del}");

    // What was there before us becomes a record at its first DEL.
    let output = offered(CANARY)["runtimeConfig"].clone();
    let entry = json!({"containerID": "c1", "ifname": "eth0", "network": "old", "conf": conf, "runtimeConfig": output});
    for more in [json!({}), offered(CANARY)] {
        case.write_inventory(&json!([entry]))?;
        case.stubs.write("stub-old", &stub_old().on("DEL", Reply::fail(100, "not now", "")))?;
        case.call_with("DEL", &more).run()?.refused(100)?;
        holds(&case, "DEL of an inventory entry")?;
        case.stubs.write("stub-old", &stub_old())?;
        case.del()?.silent()?;
    }
    // Who declares them gets them, at ADD and at DEL.
    let declaring =
        json!([{"type": "stub-old", "capabilities": {"io.kubernetes.cri.pod-annotations": true}}]);
    case.write_conf("old", &json!({"cniVersion": "1.0.0", "name": "oldnet", "plugins": declaring}))?;
    case.call_with("ADD", &offered(CANARY)).run()?.result()?;
    case.stubs.log().clear()?;
    case.del()?.silent()?;
    let del = case.the_call("stub-old DEL eth0")?.stdin.unwrap_or_default();
    ensure!(del.contains(CANARY), "the plugin declares them");
    case.expect_records(0)
}
