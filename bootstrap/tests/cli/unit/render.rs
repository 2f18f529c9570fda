//! `render`: writing, removing, refusing, checking, printing.

use serde_json::Value;

use crate::unit::kubelet::Tree;

const ENV: &str = "run/crossfade/kubelet.env";
const NODE: &str = "etc/crossfade/node.json";

fn node(tree: &Tree, rest: &str) {
    tree.write(NODE, &format!(r#"{{"version":1,{rest}}}"#));
}

#[test]
fn a_dry_run_prints_the_very_change_and_makes_none() {
    let tree = Tree::new("kubeadm-deb");
    let planned = tree.run_expecting(&["unit", "render", "--dry-run"], 0);
    assert_eq!(tree.read(ENV), None);
    assert_eq!(planned, tree.run_expecting(&["unit", "render"], 0));
    assert!(
        planned.starts_with("write    @ROOT@/run/crossfade/kubelet.env  (missing; --node-labels="),
        "{planned}"
    );
    let document: Value =
        serde_json::from_str(&tree.run_expecting(&["unit", "render", "--output", "json"], 0)).expect("JSON");
    assert_eq!(
        (&document["version"], &document["changes"][0]["action"]),
        (&1.into(), &"keep".into()),
        "{document}"
    );
}

/// Where kubelet reads a directory of configuration drop-ins, the flag, which is deprecated, is not needed.
#[test]
fn taints_are_the_last_file_of_a_directory_where_kubelet_reads_one() {
    const DIR: &str = "run/crossfade/kubelet.conf.d";
    const ENVIRONMENT: &str = "etc/eks/kubelet/environment";
    let tree = Tree::new("eks-al2023-karpenter");
    let taints = |file: &str| {
        let document: Value = serde_json::from_str(&tree.read(file).expect(file)).expect("JSON");
        let list = document["registerWithTaints"].as_array().expect("a list").clone();
        list.iter().map(|taint| taint["key"].as_str().expect("a key").to_owned()).collect::<Vec<_>>()
    };
    let files = || {
        let entries = std::fs::read_dir(tree.path(DIR)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
        names.sort();
        names
    };
    // With a flag of another author, which wins over every file, there is no way around ours.
    tree.run_expecting(&["unit", "render"], 0);
    assert!(tree.read(ENV).expect("written").contains("--register-with-taints=") && files().is_empty());
    tree.replace(ENVIRONMENT, " --register-with-taints=example.com/startup:NoSchedule", "");
    let planned = tree.run_expecting(&["unit", "render", "--dry-run"], 0);
    assert!(files().is_empty());
    assert_eq!(tree.run_expecting(&["unit", "render"], 0), planned);
    let env = tree.read(ENV).expect("written");
    assert!(
        !env.contains("--register-with-taints")
            && env.trim_end().ends_with("--config-dir=/run/crossfade/kubelet.conf.d"),
        "{env}"
    );
    assert_eq!(files(), ["0000-40-nodeadm.conf", "zz-crossfade.conf"]);
    let theirs = "etc/kubernetes/kubelet/config.json.d/40-nodeadm.conf";
    assert_eq!(tree.read(&format!("{DIR}/0000-40-nodeadm.conf")), tree.read(theirs));
    let ours = format!("{DIR}/zz-crossfade.conf");
    assert_eq!(taints(&ours), ["karpenter.sh/unregistered", "node.cilium.io/agent-not-ready"]);
    assert!(
        tree.run_expecting(&["unit", "render"], 0).lines().all(|line| !line.starts_with("write")),
        "a second start writes again"
    );
    // A drop-in that is the last of its directory is not after ours.
    tree.write(
        "etc/kubernetes/kubelet/config.json.d/zzz.conf",
        r#"{"kind": "KubeletConfiguration", "registerWithTaints": [{"key": "late", "effect": "NoExecute"}]}"#,
    );
    tree.run_expecting(&["unit", "render"], 0);
    assert_eq!(files(), ["0000-40-nodeadm.conf", "0001-zzz.conf", "zz-crossfade.conf"]);
    assert_eq!(taints(&ours), ["karpenter.sh/unregistered", "late", "node.cilium.io/agent-not-ready"]);
    tree.remove(theirs);
    tree.run_expecting(&["unit", "render"], 0);
    assert_eq!(files(), ["0000-zzz.conf", "zz-crossfade.conf"], "a copy outlives its original");
    // Nothing of it outlives what says it.
    node(&tree, r#""labels":{"a":"b"}"#);
    tree.run_expecting(&["unit", "render"], 0);
    assert!(files().is_empty() && tree.read(ENV).expect("written").ends_with("=--node-labels=a=b\n"));
    node(&tree, r#""taints":[{"key":"a","effect":"NoSchedule"}]"#);
    tree.run_expecting(&["unit", "render"], 0);
    assert_eq!(files().len(), 2);
    tree.write("etc/crossfade/disabled", "");
    tree.run_expecting(&["unit", "boot"], 0);
    assert!(files().is_empty() && tree.read(ENV).is_none(), "switched off");
}

#[test]
fn switched_off_or_with_nothing_to_say_the_file_goes() {
    for (change, word) in [
        (r#""labels":{}"#, "no labels and no taints"),
        (r#""labels":{"a":"b"},"kubelet":{"register":false}"#, "register: false"),
    ] {
        let tree = Tree::new("kubeadm-deb");
        tree.run_expecting(&["unit", "render"], 0);
        node(&tree, change);
        let answer = tree.run_expecting(&["unit", "render"], 0);
        assert!(answer.starts_with("remove ") && answer.contains(word), "{answer}");
        assert_eq!(tree.read(ENV), None);
        assert!(tree.run_expecting(&["unit", "render"], 0).starts_with("keep "));
    }
    let tree = Tree::new("kubeadm-deb");
    tree.run_expecting(&["unit", "render"], 0);
    // Off is off, also where nothing else can be read.
    tree.write(NODE, "broken");
    tree.write("etc/crossfade/disabled", "");
    assert!(tree.run_expecting(&["unit", "render"], 0).contains("switched off"));
    assert_eq!(tree.read(ENV), None);
    assert_eq!(tree.generate(), "");
    assert_eq!(tree.read("run/systemd/generator/kubelet.service.d/zz-crossfade.conf"), None);
}

#[test]
fn a_node_whose_gate_gave_up_says_so_while_it_is_unfit() {
    let tree = Tree::new("kubeadm-deb");
    let unfit = ",crossfade/unfit:NoSchedule";
    tree.write("run/crossfade/unfit", "");
    tree.run_expecting(&["unit", "render"], 0);
    let file = tree.read(ENV).expect("written");
    assert!(
        file.trim_end().ends_with(unfit) && file.contains("uninitialized:NoSchedule,node.cilium.io"),
        "{file}"
    );
    tree.remove("run/crossfade/unfit");
    tree.run_expecting(&["unit", "render"], 0);
    assert!(tree.read(ENV).is_some_and(|file| !file.contains("unfit")));
    // Also where labels and taints are left to a fragment: pods must not be drawn to it.
    node(&tree, r#""labels":{"a":"b"},"kubelet":{"register":false}"#);
    tree.write("run/crossfade/unfit", "");
    tree.run_expecting(&["unit", "render"], 0);
    let file = tree.read(ENV).expect("written");
    assert!(file.contains(unfit) && !file.contains("node-labels"), "{file}");
}

#[test]
fn without_every_source_nothing_is_rendered() {
    for (family, change, status, words) in [
        (
            "kubeadm-deb",
            &(|tree: &Tree| tree.remove("var/lib/kubelet/config.yaml")) as &dyn Fn(&Tree),
            75,
            "not there yet",
        ),
        ("kubeadm-deb", &|tree| tree.write("var/lib/kubelet/config.yaml", "kind: ["), 1, "config.yaml"),
        (
            "kubeadm-deb",
            &|tree| tree.replace("var/lib/kubelet/kubeadm-flags.env", ":NoSchedule", ":Never"),
            1,
            "in $KUBELET_KUBEADM_ARGS of /var/lib",
        ),
        (
            "eks-al2023-karpenter",
            &|tree| tree.replace("etc/eks/kubelet/environment", "config.json.d", "gone.d"),
            75,
            "gone.d",
        ),
        ("plain-bare", &|tree| tree.remove("etc/systemd/system/kubelet.service"), 3, "--print PLATFORM"),
        ("plain-bare", &|tree| tree.write("etc/systemd/system/kubelet.service", "[Service]\n"), 3, "found 0"),
    ] {
        let tree = Tree::new(family);
        change(&tree);
        let answer = tree.run_expecting(&["unit", "render"], status);
        assert!(answer.contains(words), "{family}: {answer}");
        assert_eq!(tree.read(ENV), None, "{family}");
        // Who adds no taint needs to know no taint.
        node(&tree, r#""labels":{"a":"b"}"#);
        let plain = tree.run(&["unit", "render"]).status;
        assert_eq!(plain, if status == 3 { 3 } else { 0 }, "{family} {words}");
    }
}

#[test]
fn what_kubelet_or_the_api_server_refuses_is_refused_here() {
    for (change, words) in [
        (r#""labels":{"app.kubernetes.io/name":"x"}"#, "prefix of your own"),
        (r#""labels":{"node-role.kubernetes.io/worker":""}"#, "kubelet exits"),
        (r#""labels":{"a.node-restriction.kubernetes.io/b":""}"#, "administrators"),
        (r#""labels":{"a":"b c"}"#, "expected a value"),
        (r#""labels":{"a":"$b"}"#, "expected a value"),
        (r#""labels":{"a,b":"c"}"#, "expected a name"),
        (r#""taints":[{"key":"a","value":"%b","effect":"NoSchedule"}]"#, "expected a value"),
        (r#""taints":[{"key":"A/b","effect":"NoSchedule"}]"#, "DNS name"),
    ] {
        let tree = Tree::new("kubeadm-deb");
        node(&tree, change);
        assert!(tree.run_expecting(&["unit", "render", "--check"], 3).contains(words), "{change}");
        assert!(tree.run_expecting(&["unit", "render"], 78).contains(words), "{change}");
        assert_eq!(tree.read(ENV), None);
    }
    let tree = Tree::new("kubeadm-deb");
    node(&tree, r#""taints":[{"key":"a","effect":"Never"}]"#);
    assert!(tree.run_expecting(&["unit", "render", "--check"], 78).contains("taints[0].effect"));
}

#[test]
fn a_check_names_everything_that_stands_in_the_way() {
    let good = |tree: &Tree| tree.run_expecting(&["unit", "render", "--check"], 0);
    let tree = Tree::new("kubeadm-deb");
    assert!(good(&tree).starts_with("Crossfade adds to kubelet's command line: --node-labels="));
    for (change, words) in [
        (
            &(|tree: &Tree| tree.remove("usr/lib/systemd/system-generators/crossfade-generator"))
                as &dyn Fn(&Tree),
            "crossfade-generator is missing",
        ),
        (&|tree| tree.remove("usr/bin/crossfade-bootstrap"), "expected a link"),
        (
            &|tree| tree.remove("usr/lib/systemd/system/kubelet.service.d/50-crossfade.conf"),
            "no drop-in of it reads",
        ),
        (
            &|tree| {
                tree.write(
                    "etc/systemd/system/kubelet.service.d/60-own.conf",
                    "[Service]\nExecStart=\nExecStart=/bin/sh -c kubelet\n",
                )
            },
            "not known as kubelet",
        ),
        (
            &|tree| {
                tree.write(
                    "etc/default/kubelet",
                    "KUBELET_EXTRA_ARGS=--node-labels=io.cilium.migration/cilium-default=false",
                )
            },
            "say it in one place",
        ),
        (
            &|tree| {
                tree.write(
                    "etc/default/kubelet",
                    "KUBELET_EXTRA_ARGS=--register-with-taints=other:NoSchedule",
                )
            },
            "kubelet alone would lose it",
        ),
        (
            &|tree| tree.write("etc/default/kubelet", "KUBELET_EXTRA_ARGS=--register-with-taints=other"),
            "expected KEY=VALUE:EFFECT",
        ),
        (
            &|tree| tree.write("etc/default/kubelet", "KUBELET_EXTRA_ARGS=--register-node=false"),
            "registerNode",
        ),
        (&|tree| node(tree, r#""taints":[{"key":"crossfade/unfit","effect":"NoSchedule"}]"#), "gate gave up"),
        (
            &|tree| node(tree, r#""taints":[{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}]"#),
            "node controllers",
        ),
    ] {
        let tree = Tree::new("kubeadm-deb");
        change(&tree);
        let answer = tree.run_expecting(&["unit", "render", "--check"], 3);
        assert!(answer.contains(words), "{words}: {answer}");
    }
    // An image in which kubelet's own files are yet to come.
    tree.remove("var/lib/kubelet/config.yaml");
    tree.remove("var/lib/kubelet/kubeadm-flags.env");
    assert!(good(&tree).contains("note: /var/lib/kubelet/config.yaml is not there yet"));
    assert_eq!(tree.read(ENV), None, "a check writes nothing");
}

#[test]
fn fragments_are_made_from_node_json() {
    let tree = Tree::new("plain-bare");
    let answer = tree.run_expecting(&["unit", "render", "--print", "k3s"], 0);
    assert!(answer.contains("node-taint+:\n- node.cilium.io/agent-not-ready=:NoExecute\n"), "{answer}");
    let document: Value = serde_json::from_str(
        &tree.run_expecting(&["unit", "render", "--print", "talos", "--output", "json"], 0),
    )
    .expect("JSON");
    assert_eq!(document["format"], "yaml", "{document}");
    assert!(tree.run_expecting(&["unit", "render", "--print", "nomad"], 2).contains("karpenter"));
    node(&tree, r#""labels":{"k8s.io/a":"b"}"#);
    assert!(
        tree.run_expecting(&["unit", "render", "--print", "k3s"], 78).contains("k8s.io/a"),
        "no fragment of what would be refused"
    );
}

#[test]
fn a_unit_of_another_name_is_told_as_well() {
    let tree = Tree::new("plain-bare");
    std::fs::rename(
        tree.path("etc/systemd/system/kubelet.service"),
        tree.path("etc/systemd/system/own-kubelet.service"),
    )
    .expect("rename");
    node(&tree, r#""labels":{"a":"b"},"kubelet":{"unit":"own-kubelet.service"}"#);
    assert!(tree.run_expecting(&["unit", "render", "--check"], 0).contains("--node-labels=a=b"));
    tree.generate();
    let dir = "run/systemd/generator/own-kubelet.service.d";
    assert!(
        tree.read(&format!("{dir}/zz-crossfade.conf")).is_some_and(|text| text.contains("/opt/bin/kubelet"))
    );
    let link = std::fs::read_link(tree.path(&format!("{dir}/50-crossfade.conf"))).expect("link");
    assert_eq!(link.to_str(), Some("/usr/lib/systemd/system/kubelet.service.d/50-crossfade.conf"));
}

/// A unit with our variable has our last flags in kubelet's command; they are no source of the next ones.
#[test]
fn what_we_said_before_is_no_source() {
    let tree = Tree::new("plain-bare");
    tree.replace(
        "etc/systemd/system/kubelet.service",
        "kubelet --config",
        "kubelet $CROSSFADE_KUBELET_ARGS --config",
    );
    tree.run_expecting(&["unit", "render"], 0);
    node(&tree, r#""taints":[{"key":"other","effect":"NoSchedule"}]"#);
    tree.run_expecting(&["unit", "render"], 0);
    let file = tree.read(ENV).expect("written");
    assert!(file.ends_with("=--register-with-taints=dedicated=db:NoSchedule,other:NoSchedule\n"), "{file}");
}
