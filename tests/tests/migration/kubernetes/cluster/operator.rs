//! `kubectl-crossfade` as an operator runs it: `snapshot` and `check` of a live cluster, with the rights of `deploy/cluster/rbac-viewer.yaml`
//! and without them.

use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use lab::host::deadline::until;
use lab::host::scratch::Scratch;
use lab::kubernetes::{Client, User, base};
use serde_json::{Value, json};

use crate::publisher::WITHIN;
use crate::server;

lab::trials![
    a_viewer_reads_what_checks_need_and_nothing_else,
    a_missing_right_is_named,
    one_missing_right_is_told_beforehand,
    a_server_that_is_away_is_tried_again_later,
];

/// More than two pages of a list.
const PODS: usize = 1_100;
/// How often findings are compared until nothing has changed meanwhile.
const QUIET_WITHIN: usize = 10;
/// Of this case alone.
const NAMESPACE: &str = "operator-paged";

/// The program, and a directory for its files.
pub(crate) struct Operator {
    program: PathBuf,
    pub(crate) scratch: Scratch,
}

impl Operator {
    /// A user whom the API server knows by a certificate.
    pub(crate) fn new(user: User<'_>) -> Result<Self> {
        let own = std::env::current_exe().context("this program")?;
        let program = own.ancestors().nth(2).context("the target directory")?.join("kubectl-crossfade");
        ensure!(program.is_file(), "{}: tests/kubernetes builds it", program.display());
        let scratch = Scratch::new("operator")?;
        std::fs::write(scratch.join("kubeconfig"), server()?.kubeconfig(user)?.to_string())?;
        Ok(Self { program, scratch })
    }

    fn run(&self, server: &str, arguments: &[&str]) -> Result<Output> {
        self.command(server, arguments).output().context("kubectl-crossfade")
    }

    /// A call of the program that is still to be made.
    pub(crate) fn command(&self, server: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.scratch.path()).env_clear().args(arguments);
        command.args(["--kubeconfig", "kubeconfig", "--server", server]);
        command
    }

    pub(crate) fn answer(&self, arguments: &[&str]) -> Result<(Option<i32>, Value, String)> {
        let output = self.run(&base(), &[arguments, &["-o", "json"]].concat())?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer = serde_json::from_slice(&output.stdout).with_context(|| message.clone())?;
        Ok((output.status.code(), answer, message))
    }
}

/// The viewer's role, as the manifest has it.
pub(crate) fn role() -> Result<Value> {
    let file = lab::build::dist::workspace().join("deploy/cluster/rbac-viewer.yaml");
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(file)?)?)
}

/// The viewer's role for a user, without the right to list pods.
fn grant_all_but_pods(admin: &Client, user: &str) -> Result<()> {
    let mut role = role()?;
    role["metadata"]["name"] = user.into();
    let rules = role["rules"].as_array_mut().context("rules")?;
    let mut resources = rules.iter_mut().filter_map(|rule| rule["resources"].as_array_mut());
    let core = resources.find(|names| names.contains(&"pods".into())).context("pods")?;
    core.retain(|resource| resource != "pods");
    grant(admin, user, &role)
}

/// A role for a user.
pub(crate) fn grant(admin: &Client, user: &str, role: &Value) -> Result<()> {
    let name = role["metadata"]["name"].as_str().context("the role's name")?.to_owned();
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    admin.create(&format!("{rbac}/clusterroles"), role)?.object()?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": user },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    admin.create(&format!("{rbac}/clusterrolebindings"), &binding)?.object().map(drop)
}

/// A pool of Calico, in a cluster that serves its kind.
fn calico(admin: &Client) -> Result<()> {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "ippools.crd.projectcalico.org" },
        "spec": {
            "group": "crd.projectcalico.org", "scope": "Cluster",
            "names": { "kind": "IPPool", "plural": "ippools", "singular": "ippool" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            } } }],
        },
    });
    admin.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition)?.object()?;
    let pool = json!({
        "apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "metadata": { "name": "pool" },
        "spec": { "cidr": "10.96.0.0/12", "ipipMode": "Always" },
    });
    until("the API server serves IPPools", WITHIN, || {
        Ok(admin.create("/apis/crd.projectcalico.org/v1/ippools", &pool)?.object().ok().map(drop))
    })
}

fn pods(admin: &Client) -> Result<()> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    admin.create("/api/v1/namespaces", &namespace)?.object()?;
    for at in 0..PODS {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("pod-{at}") },
            "spec": { "nodeName": "nowhere", "containers": [{
                "name": "c", "image": "i", "env": [{ "name": "PASSWORD", "value": "canary-5f2e" }],
            }] },
        });
        admin.create(&format!("/api/v1/namespaces/{NAMESPACE}/pods"), &pod)?.object()?;
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" }, "stringData": { "p": "canary-5f2e" },
    });
    admin.create(&format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &secret)?.object().map(drop)
}

fn a_viewer_reads_what_checks_need_and_nothing_else() -> Result<()> {
    let admin = server()?.admin()?;
    grant(&admin, "viewer", &role()?)?;
    calico(&admin)?;
    pods(&admin)?;
    let viewer = Operator::new(User::Component("viewer"))?;
    let (status, taken, message) = viewer.answer(&["snapshot", "--out", "taken.jsonl"])?;
    ensure!(status == Some(0), "{taken:#}\n{message}");
    ensure!(taken["pods"].as_u64() >= Some(PODS as u64), "{taken:#}");
    ensure!(message.contains("pods: 500 read, "), "no progress: {message}");
    let kinds = taken["kinds"].as_object().context("kinds")?;
    for (kind, reading) in kinds {
        ensure!(reading == "read" || reading == "notServed", "{kind}: {reading}");
    }
    for (kind, reading) in [
        ("Pod", "read"),
        ("IPPool", "read"),
        ("PodDisruptionBudget", "read"),
        ("EndpointSlice", "read"),
        ("ConfigMap", "read"),
        ("CiliumNode", "notServed"),
    ] {
        ensure!(kinds[kind] == reading, "{kind}: {}", kinds[kind]);
    }
    let text = std::fs::read_to_string(viewer.scratch.join("taken.jsonl"))?;
    ensure!(
        text.lines().filter(|line| line.contains("\"kind\":\"Pod\"")).count() >= PODS,
        "pods are missing"
    );
    ensure!(!text.contains("canary-5f2e"), "a secret is in the snapshot");

    ensure!(!message.contains("Rights are missing"), "{message}");

    // The same findings live as from the file.
    let check = ["check", "--from", "flannel", "--to", "calico"];
    let (status, live, message) = viewer.answer(&check)?;
    ensure!(status == Some(3), "{live:#}\n{message}");
    // Other cases cordon Nodes of this API server meanwhile.
    let codes = |answer: &Value| -> Vec<String> {
        let findings = answer["findings"].as_array().cloned().unwrap_or_default();
        let codes = findings.iter().map(|finding| finding["code"].to_string());
        codes.filter(|code| code != "\"node-cordoned\"").collect()
    };
    ensure!(codes(&live).contains(&"\"cidr-overlap-services\"".to_owned()), "{live:#}");
    ensure!(!codes(&live).contains(&"\"not-checked\"".to_owned()), "{live:#}");
    let offline = || -> Result<Value> {
        viewer.answer(&["snapshot", "--out", "taken.jsonl"])?;
        Ok(viewer.answer(&[&check[..], &["--snapshot", "taken.jsonl"]].concat())?.1)
    };
    // Other cases also make and delete objects there: a comparison counts where the snapshots before and after it agree.
    for _ in 0..QUIET_WITHIN {
        let (before, (_, live, _), after) = (offline()?, viewer.answer(&check)?, offline()?);
        if codes(&before) == codes(&after) {
            ensure!(codes(&before) == codes(&live), "live {:?}, offline {:?}", codes(&live), codes(&before));
            return Ok(());
        }
    }
    bail!("the objects of the API server changed in each of {QUIET_WITHIN} comparisons")
}

fn a_missing_right_is_named() -> Result<()> {
    let check = ["check", "--from", "flannel", "--to", "antrea"];
    let stranger = Operator::new(User::Component("stranger"))?;
    let admin = Operator::new(User::Admin)?;
    let as_stranger = admin.answer(&[&check[..], &["--as", "stranger", "--as-group", "nobody"]].concat())?;
    for (status, answer, message) in [stranger.answer(&check)?, as_stranger] {
        ensure!(status == Some(3), "{answer:#}\n{message}");
        let findings = answer["findings"].as_array().context("findings")?;
        let of_nodes = findings.iter().find(|finding| finding["objects"][0]["kind"] == "Node");
        let of_nodes = of_nodes.context("no finding about nodes")?;
        ensure!(of_nodes["code"] == "not-checked" && of_nodes["severity"] == "blocks", "{of_nodes:#}");
        let what = of_nodes["what"].as_str().unwrap_or_default();
        ensure!(what.contains("stranger") && what.contains("nodes"), "{what}");
        let warned = message.lines().next().unwrap_or_default();
        ensure!(
            warned.starts_with("Rights are missing: ") && warned.contains("deploy/cluster/rbac-viewer.yaml"),
            "{message}"
        );
    }
    Ok(())
}

/// Before it is read, the API server says which one right is missing; kinds that it does not serve need none.
fn one_missing_right_is_told_beforehand() -> Result<()> {
    let admin = server()?.admin()?;
    grant_all_but_pods(&admin, "half-viewer")?;
    let half = Operator::new(User::Component("half-viewer"))?;
    let (status, taken, message) = half.answer(&["snapshot", "--out", "taken.jsonl"])?;
    ensure!(status == Some(0), "{taken:#}\n{message}");
    let warned: Vec<&str> = message.lines().filter(|line| line.starts_with("Rights are missing")).collect();
    ensure!(warned.len() == 1 && warned[0].starts_with("Rights are missing: list pods. "), "{message}");
    ensure!(message.starts_with(warned[0]), "not before the first list: {message}");
    ensure!(taken["kinds"]["Pod"]["forbidden"].is_string(), "{taken:#}");
    Ok(())
}

fn a_server_that_is_away_is_tried_again_later() -> Result<()> {
    let operator = Operator::new(User::Component("viewer"))?;
    // No program listens at port 1.
    let output = operator.run("https://127.0.0.1:1", &["snapshot"])?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(75), "{:?}: {message}", output.status);
    ensure!(output.stdout.is_empty() && message.contains("fix:"), "{message}");
    let wrong = operator.run(&base(), &["snapshot", "--context", "none"])?;
    ensure!(wrong.status.code() == Some(78), "{:?}", wrong.status);
    Ok(())
}
