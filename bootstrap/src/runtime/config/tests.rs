//! Configurations of real runtimes, and of stand-ins for those that are not at hand.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::containerd::CniKey;
use super::*;
use crate::runtime::config;
use convergence::node::paths::PRIVATE_CONF_DIR;

const UNIT: &str = "usr/lib/systemd/system/containerd.service";
const CRIO_UNIT: &str = "usr/lib/systemd/system/crio.service";

struct Tree(TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Tree {
        let tree = Tree(tempfile::tempdir().expect("scratch"));
        for (path, text) in files {
            let path = tree.0.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("directory");
            fs::write(path, text).expect("file");
        }
        tree
    }

    fn read(&self, node: &str) -> Result<Option<RuntimeConfig>, String> {
        let node = Node::parse(format!(r#"{{"version": 1{node}}}"#).as_bytes()).expect("node.json");
        config::gather(&Root::new(self.0.path()), &node).map_err(String::from)
    }

    fn config(&self) -> RuntimeConfig {
        self.read("").expect("readable").expect("found")
    }
}

fn service(command: &str) -> String {
    format!("[Service]\nExecStart={command}\n")
}

fn paths(dirs: &[PathBuf]) -> Vec<&str> {
    dirs.iter().map(|dir| dir.to_str().expect("UTF-8")).collect()
}

#[test]
fn containerd_in_every_version_of_its_configuration() {
    for (config, conf_dir, bin_dirs, max_confs) in [
        ("", "/etc/cni/net.d", vec!["/opt/cni/bin"], 1),
        ("[plugins.cri.cni]\nconf_dir = '/1'\nbin_dir = '/b'", "/1", vec!["/b"], 1),
        (
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nconf_dir = \"/2\"\nmax_conf_num = 0",
            "/2",
            vec!["/opt/cni/bin"],
            0,
        ),
        (
            "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir = '/3'\nbin_dirs = ['/b', '/c']",
            "/3",
            vec!["/b", "/c"],
            1,
        ),
        // nodeadm's is version 3 with the plugin of 2.x, beside sections of others.
        (
            "version = 3\n[grpc]\naddress = '/run/c.sock'\n[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = true\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dir = '/opt/cni/bin'\nconf_dir = '/etc/cni/net.d'",
            "/etc/cni/net.d",
            vec!["/opt/cni/bin"],
            1,
        ),
    ] {
        let tree =
            Tree::new(&[(UNIT, &service("/usr/bin/containerd")), ("etc/containerd/config.toml", config)]);
        let runtime_config = tree.config();
        assert_eq!(runtime_config.setup.conf_dir, Path::new(conf_dir), "{config}");
        assert_eq!(
            (paths(&runtime_config.setup.bin_dirs), runtime_config.setup.max_confs),
            (bin_dirs, max_confs),
            "{config}"
        );
        assert_eq!(
            (runtime_config.kind, runtime_config.program, runtime_config.unit.as_deref()),
            (RuntimeKind::Containerd, None, Some("containerd.service"))
        );
    }
}

#[test]
fn containerd_listens_where_its_version_says_it() {
    for (config, endpoint) in [
        ("version = 2\n[grpc]\naddress = '/run/2.sock'", "unix:///run/2.sock"),
        ("version = 3\n[grpc]\naddress = '/run/3.sock'", "unix:///run/3.sock"),
        (
            "version = 4\n[plugins.'io.containerd.server.v1.grpc']\naddress = '/run/4.sock'",
            "unix:///run/4.sock",
        ),
        ("version = 4\n", "unix:///run/containerd/containerd.sock"),
    ] {
        let tree =
            Tree::new(&[(UNIT, &service("/usr/bin/containerd")), ("etc/containerd/config.toml", config)]);
        assert_eq!(tree.config().endpoint.as_deref(), Some(endpoint), "{config}");
    }
}

#[test]
fn a_template_of_confs_is_seen_in_every_version_of_the_configuration() {
    for (config, template) in [
        ("[plugins.cri.cni]\nconf_template = '/1'", Some("/1")),
        ("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nconf_template = '/2'", Some("/2")),
        ("version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_template = '/3'", Some("/3")),
        ("version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_template = ''", None),
        ("", None),
    ] {
        let tree =
            Tree::new(&[(UNIT, &service("/usr/bin/containerd")), ("etc/containerd/config.toml", config)]);
        assert_eq!(tree.config().template.as_deref(), template.map(Path::new), "{config}");
    }
}

#[test]
fn what_is_imported_replaces_a_section_in_1_and_is_merged_in_2() {
    let main = |version: u32, section: &str| {
        format!(
            "version = {version}\nimports = ['conf.d/*.toml']\n[plugins.'{section}'.cni]\nconf_dir = '/main'\nbin_dir = '/bin'\n"
        )
    };
    let import = |version: u32, section: &str| {
        format!("version = {version}\n[plugins.'{section}'.cni]\nconf_dir = '/imported'\n")
    };
    for (version, section, bin_dir) in
        [(2, "io.containerd.grpc.v1.cri", "/opt/cni/bin"), (3, "io.containerd.cri.v1.runtime", "/bin")]
    {
        let tree = Tree::new(&[
            (UNIT, &service("/usr/bin/containerd --config=/etc/c/c.toml")),
            ("etc/c/c.toml", &main(version, section)),
            ("etc/c/conf.d/50-x.toml", &import(version, section)),
            ("etc/c/conf.d/50-x.toml.bak", "not even TOML"),
        ]);
        let runtime_config = tree.config();
        assert_eq!(runtime_config.setup.conf_dir, Path::new("/imported"), "{version}");
        assert_eq!(paths(&runtime_config.setup.bin_dirs), [bin_dir], "{version}");
        let imports = containerd::imports(&Root::new(tree.0.path()), &runtime_config.file).expect("imports");
        assert_eq!(paths(&imports), ["/etc/c/conf.d/*.toml"]);
    }
}

#[test]
fn a_handler_with_confs_of_its_own_is_seen() {
    let tree = Tree::new(&[
        (UNIT, &service("/usr/bin/containerd")),
        (
            "etc/containerd/config.toml",
            "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\ncni_conf_dir = '/etc/kata'\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\ncni_conf_dir = ''\n",
        ),
    ]);
    assert_eq!(tree.config().handlers, [("kata".to_owned(), PathBuf::from("/etc/kata"))]);
}

#[test]
fn crio_s_files_count_by_name_and_its_command_line_last() {
    let base = (
        "etc/crio/crio.conf",
        "[crio.network]\nnetwork_dir = '/main/'\nplugin_dirs = ['/a/', '/b']\ncni_default_network = 'crio'\n",
    );
    for (more, command, conf_dir, bin_dirs, network) in [
        (vec![], "/usr/bin/crio", "/main", vec!["/a", "/b"], Some("crio")),
        (
            vec![(
                "etc/crio/crio.conf.d/10-a.conf",
                "[crio.network]\nnetwork_dir = '/ten'\ncni_default_network = ''\n",
            )],
            "/usr/bin/crio",
            "/ten",
            vec!["/a", "/b"],
            None,
        ),
        (
            vec![
                ("etc/crio/crio.conf.d/20-b.conf", "[crio.network]\nnetwork_dir = '/twenty'\n"),
                (
                    "etc/crio/crio.conf.d/10-a.conf",
                    "[crio.network]\nnetwork_dir = '/ten'\nplugin_dir = '/old'\n",
                ),
            ],
            "/usr/bin/crio",
            "/twenty",
            vec!["/a", "/b", "/old"],
            Some("crio"),
        ),
        (
            vec![("etc/other/x.conf", "[crio.network]\nplugin_dirs = ['/x']\n")],
            "/usr/bin/crio -d /etc/other --cni-config-dir /flag --cni-default-network=n",
            "/flag",
            vec!["/x"],
            Some("n"),
        ),
        (vec![], "/usr/bin/crio --cni-plugin-dir /p,/q", "/main", vec!["/p", "/q"], Some("crio")),
    ] {
        let mut files = vec![base];
        let service = service(command);
        files.push((CRIO_UNIT, &service));
        files.extend(more);
        let runtime_config = Tree::new(&files).config();
        assert_eq!(runtime_config.setup.conf_dir, Path::new(conf_dir), "{command}");
        assert_eq!(paths(&runtime_config.setup.bin_dirs), bin_dirs, "{command}");
        assert_eq!(runtime_config.default_network.as_deref(), network, "{command}");
    }
    let none = Tree::new(&[(CRIO_UNIT, &service("/usr/bin/crio $CRIO_CONFIG_OPTIONS"))]).config();
    assert_eq!(
        (none.setup.conf_dir, none.setup.bin_dirs),
        ("/etc/cni/net.d".into(), vec!["/opt/cni/bin".into()])
    );
}

#[test]
fn which_runtime_it_is_comes_from_units_or_node_json_and_is_never_guessed() {
    let both = [(UNIT, service("/usr/bin/containerd")), (CRIO_UNIT, service("/usr/bin/crio"))];
    let both: Vec<_> = both.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let k3s_config = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.cni]\nconf_dir = '/var/lib/rancher/k3s/agent/etc/cni/net.d'\nbin_dir = '/var/lib/rancher/k3s/data/current/bin'\n";
    let k3s = [
        ("etc/systemd/system/k3s.service", "[Service]\nExecStart=/usr/local/bin/k3s agent\n"),
        ("var/lib/rancher/k3s/agent/etc/containerd/config.toml", k3s_config),
    ];
    let named = r#", "runtime": {"config": "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"}"#;

    assert_eq!(Tree::new(&[]).read("").expect("readable"), None);
    assert!(Tree::new(&both).read("").expect_err("two").contains("runtime.name"));
    let crio = Tree::new(&both).read(r#", "runtime": {"name": "cri-o"}"#).expect("readable").expect("found");
    assert_eq!(crio.kind, RuntimeKind::Crio);

    let embedded = Tree::new(&k3s).read(named).expect("readable").expect("found");
    assert_eq!((embedded.unit, embedded.program), (None, None));
    assert_eq!(embedded.setup.conf_dir, Path::new("/var/lib/rancher/k3s/agent/etc/cni/net.d"));
    let unit = Tree::new(&k3s).read(r#", "runtime": {"unit": "k3s.service"}"#).expect_err("another program");
    assert!(unit.contains("k3s.service") && unit.contains("runtime.config"), "{unit}");
    let gone = Tree::new(&[]).read(r#", "runtime": {"name": "containerd"}"#).expect_err("no unit");
    assert!(gone.contains("containerd.service"), "{gone}");
}

#[test]
fn an_error_names_the_place_and_quotes_nothing() {
    let tree = Tree::new(&[
        (UNIT, &service("/usr/bin/containerd")),
        ("etc/containerd/config.toml", "version = 2\n[plugins]\npassword = \"s3cret\n"),
    ]);
    let why = tree.read("").expect_err("no TOML");
    assert!(why.contains("/etc/containerd/config.toml") && why.contains("line 3"), "{why}");
    assert!(!why.contains("s3cret"), "{why}");
}

/// As containerd 1.6 prints it, shortened.
const DUMP: &str = r#"disabled_plugins = []
imports = ["/etc/containerd/config.toml", "/etc/containerd/conf.d/x.toml"]
version = 2

[plugins]

  [plugins."io.containerd.gc.v1.scheduler"]
    pause_threshold = 0.02

  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "registry/pause:1"

    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/opt/cni/bin"
      conf_dir = "/etc/cni/net.d"
      conf_template = "/etc/containerd/template"

    [plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth]
      password = "p"
"#;

#[test]
fn a_copy_differs_in_conf_directory_and_template_and_imports_nothing() {
    let file = Path::new("/etc/containerd/config.toml");
    let copy = containerd::derive(file, DUMP, Path::new(PRIVATE_CONF_DIR)).expect("derived");
    let changed: Vec<_> = DUMP
        .lines()
        .zip(copy.lines())
        .filter(|(first, other)| first != other)
        .map(|(_, line)| line.trim())
        .collect();
    assert_eq!(changed, ["imports = []", r#"conf_dir = "/run/crossfade/net.d""#, r#"conf_template = """#]);
    let tree = |text: &str| -> Value { super::tree(file, text).expect("TOML") };
    let keys = [CniKey::ConfDir, CniKey::ConfTemplate].map(|key| key.path(&tree(DUMP)).join("."));
    assert_eq!(containerd::differences(&tree(DUMP), &tree(&copy)), keys);
    let without = DUMP.replace("      conf_template = \"/etc/containerd/template\"\n", "");
    let copy = containerd::derive(file, &without, Path::new(PRIVATE_CONF_DIR)).expect("derived");
    assert!(!copy.contains("conf_template"), "what was not said stays unsaid: {copy}");
    let none = containerd::derive(file, "version = 2\n[plugins.x]\n", Path::new("/x")).expect_err("no CRI");
    assert!(none.what.contains("CRI plugin"), "{none}");
}

#[test]
fn a_cri_plugin_that_is_switched_off_is_named() {
    let file = Path::new("/etc/containerd/config.toml");
    let section = "[plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir = '/etc/cni/net.d'\n";
    let is_off = |disabled: &str| {
        let dump = format!("disabled_plugins = [{disabled}]\nversion = 3\n{section}");
        containerd::ensure_cri(file, &super::tree(file, &dump).expect("TOML")).err()
    };
    for name in ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"] {
        let why = is_off(&format!("'io.containerd.internal.v1.tracing', '{name}'")).expect(name);
        assert!(why.what.contains("switched off") && why.fix.contains(name), "{why}");
    }
    assert!(is_off("'io.containerd.internal.v1.tracing'").is_none());
}

#[test]
fn differences_name_keys_and_no_values() {
    for (before, after, keys) in [
        (json!({"a": 1}), json!({"a": 1}), vec![]),
        (json!({"imports": [1]}), json!({"imports": []}), vec![]),
        (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1, "c": 3}}), vec!["a.c"]),
        (json!({"a": {"b": 1}}), json!({"a": {}}), vec!["a.b"]),
        (json!({"a": {}}), json!({"a": {"imports": 1}}), vec!["a.imports"]),
        (json!({"a": {"b": 1}}), json!({"a": 1}), vec!["a"]),
        (json!({"a": [1, 2]}), json!({"a": [2, 1]}), vec!["a"]),
    ] {
        assert_eq!(containerd::differences(&before, &after), keys, "{before} {after}");
    }
}

#[test]
fn a_program_that_fails_hangs_up_or_talks_too_much_is_no_answer() {
    let dir = tempfile::tempdir().expect("scratch");
    let program = dir.path().join("containerd");
    for (script, words) in [
        ("echo secret >&2; exit 3", "failed"),
        ("head -c 5000000 /dev/zero; exit 0", "cannot be read"),
        ("printf '\\377'", "UTF-8"),
    ] {
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
        let why = containerd::dump(&program, Path::new("/nowhere/config.toml")).expect_err(script);
        assert!(why.what.contains(words) && !why.to_string().contains("secret"), "{why}");
    }
    assert!(containerd::dump(&dir.path().join("absent"), Path::new("/x")).is_err());
}
