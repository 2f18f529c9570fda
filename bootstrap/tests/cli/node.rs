//! A node as a tree of files, and the program run on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use shim::attachment::conflist::Conflist;
use shim::host::boot::{self, Moment};
use shim::node::inventory;
use shim::node::layout::Layout;
use shim::node::store::{Key, Store};
use tempfile::TempDir;
use types::attachment::{Attachment, Event, FORMAT, Intent, Leg};

/// What fixtures write for the directory they are copied to.
const ROOT: &str = "@ROOT@";

/// A copy of `tests/fixtures/CASE`: net.d, bin, cache, package, etc/policy.json.
pub(crate) struct Node {
    root: TempDir,
}

/// How a call of the program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Everything about a file that a write changes: inode, mode, time of change in nanoseconds, content.
pub(crate) type Print = (u64, u32, i128, Vec<u8>);

impl Node {
    pub(crate) fn new(case: &str) -> Node {
        // On a disk, for a policy wants to outlive a reboot; and below a sticky directory, whatever the umask.
        let root = tempfile::Builder::new().prefix("crossfade-").tempdir_in("/var/tmp").expect("tempdir");
        mode(root.path(), 0o755);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(case);
        copy(&fixture, root.path(), &root.path().to_string_lossy());
        Node { root }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.path("net.d/01-crossfade.conflist")
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout {
            state_dir: self.path("state"),
            run_dir: self.path("run"),
            policy: Some(self.path("etc/policy.json")),
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path.parent().expect("below the root"))
            .expect("directory");
        fs::write(&path, text.replace(ROOT, &self.root.path().to_string_lossy())).expect("write");
        mode(&path, 0o644);
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Changes the policy's top level.
    pub(crate) fn policy(&self, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
        let Value::Object(mut policy) = self.json("etc/policy.json") else { panic!("no object") };
        change(&mut policy);
        self.write("etc/policy.json", &Value::Object(policy).to_string());
    }

    /// Runs the program; our directories are named unless the conf names them.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        let output = command.output().expect("runs");
        let text = |bytes| String::from_utf8(bytes).expect("utf-8");
        let status = output.status.code().expect("no signal");
        Run { status, out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossfade-bootstrap"));
        command.args(arguments);
        command.arg("--conf-dir").arg(self.path("net.d"));
        if !self.conf().exists() {
            if !matches!(arguments, ["policy", "show" | "check" | "explain", ..]) {
                command.arg("--state-dir").arg(self.path("state")).arg("--run-dir").arg(self.path("run"));
            }
            command.arg("--policy").arg(self.path("etc/policy.json"));
        }
        match arguments {
            ["install", ..] => {
                command.arg("--plugin").arg(self.path("package/crossfade"));
                command.arg("--cache-dir").arg(self.path("cache"));
                command.arg("--bin-dir").arg(self.path("bin")).args(["--runtime-endpoint", "none"]);
            }
            ["uninstall", ..] => {
                command.arg("--bin-dir").arg(self.path("bin")).args(["--runtime-endpoint", "none"]);
            }
            ["status", ..] => {
                command.args(["--runtime-endpoint", "none"]);
            }
            ["unit", "sweep", ..] => {
                command.arg("--bin-dir").arg(self.path("bin"));
            }
            _ => {}
        }
        command
    }

    /// Runs what must end with `status`.
    pub(crate) fn run_expecting(&self, arguments: &[&str], status: i32) -> String {
        let run = self.run(arguments);
        assert_eq!(run.status, status, "{arguments:?}: {}{}", run.out, run.err);
        run.out + &run.err
    }

    /// The same with `--output json`.
    pub(crate) fn document(&self, arguments: &[&str], status: i32) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let output = self.run_expecting(&all, status);
        let document: Value = serde_json::from_str(&output).unwrap_or_else(|e| panic!("{output}: {e}"));
        assert_eq!(document["version"], 1, "{document}");
        document
    }

    /// Every file below the root.
    pub(crate) fn files(&self) -> BTreeMap<String, Print> {
        let mut files = BTreeMap::new();
        collect(self.root.path(), self.root.path(), &mut files);
        files
    }

    /// Lines that the stub delegates wrote: name, verb, container id, ifname.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Inventory entries as (container id, network).
    pub(crate) fn inventory(&self) -> Vec<(String, String)> {
        let inventory = inventory::load(&self.layout()).expect("inventory");
        inventory.attachments.into_iter().map(|entry| (entry.container_id, entry.network)).collect()
    }

    /// The records.
    pub(crate) fn records(&self) -> Vec<Attachment> {
        Store::new(&self.layout()).load_all().expect("records").0
    }

    /// The directory of the first record's shard.
    pub(crate) fn shard(&self) -> PathBuf {
        let shards = fs::read_dir(self.path("state/attachments")).expect("shards").next();
        shards.expect("one").expect("one").path()
    }

    /// A finished attachment through us, begun at `begun`; its networks are those of these confs.
    pub(crate) fn attach(&self, container_id: &str, begun: Moment, confs: &[&str]) {
        let confs: Vec<PathBuf> = confs.iter().map(|file| self.path("net.d").join(file)).collect();
        attach(&self.layout(), container_id, begun, &confs);
    }
}

/// A finished attachment through us, begun at `begun`, in the state of `layout`.
pub(crate) fn attach(layout: &Layout, container_id: &str, begun: Moment, confs: &[PathBuf]) {
    attach_pod(layout, (container_id, "p"), begun, confs);
}

/// The same for a pod of this name.
pub(crate) fn attach_pod(
    layout: &Layout,
    (container_id, pod): (&str, &str),
    begun: Moment,
    confs: &[PathBuf],
) {
    let legs = confs.iter().enumerate().map(|(at, path)| {
        let (conf, _) = Conflist::load(std::slice::from_ref(path)).expect("conf");
        Leg {
            network: conf.name.clone(),
            profile: "generic".into(),
            conf_path: path.to_str().map(str::to_owned),
            ifname: if at == 0 { "eth0".into() } else { "net1".into() },
            primary: at == 0,
            tolerated: false,
            host_route: false,
            conf: conf.raw,
            runtime_config: None,
        }
    });
    let intent = Intent {
        version: FORMAT,
        container_id: container_id.into(),
        ifname: "eth0".into(),
        began_at: begun,
        netns: "/run/netns/gone".into(),
        netns_id: None,
        netns_cookie: None,
        cni_args: Some(format!(
            "K8S_POD_INFRA_CONTAINER_ID={container_id};K8S_POD_NAME={pod};K8S_POD_NAMESPACE=n"
        )),
        cni_path: None,
        route: None,
        legs: legs.collect(),
    };
    let mut open = Store::new(layout).begin(intent, &[]).expect("record");
    let mut events: Vec<Event> = (1..confs.len()).map(|leg| Event::Started { leg }).collect();
    events.push(Event::Attached {});
    open.append(&events).expect("record");
}

/// The key of a pod's interface.
pub(crate) fn key(container_id: &str) -> Key {
    Key::new(container_id, "eth0")
}

/// Now.
pub(crate) fn now() -> Moment {
    boot::now().expect("clock")
}

/// Some time before this boot.
pub(crate) fn earlier_boot() -> Moment {
    Moment { boot_id: "another".into(), ..now() }
}

/// The lines that say what is done, notes left out.
pub(crate) fn changes(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("note: ")).collect()
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

fn copy(from: &Path, to: &Path, root: &str) {
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            fs::create_dir(&to).expect("directory");
            mode(&to, 0o755);
            copy(&from, &to, root);
        } else {
            let text = fs::read_to_string(&from).expect("text");
            fs::write(&to, text.replace(ROOT, root)).expect("copy");
            let program = from.metadata().expect("metadata").mode() & 0o100 != 0;
            mode(&to, if program { 0o755 } else { 0o644 });
        }
    }
}

/// Every file below `dir`, by its path from `root`.
pub(crate) fn collect(dir: &Path, root: &Path, files: &mut BTreeMap<String, Print>) {
    for entry in fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        let meta = path.symlink_metadata().expect("metadata");
        let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
        if meta.is_dir() {
            collect(&path, root, files);
        } else {
            let changed = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
            files.insert(name, (meta.ino(), meta.mode(), changed, fs::read(&path).unwrap_or_default()));
        }
    }
}
