//! A node for real standard plugins: its own netns and lease directory, and the calls a runtime would make.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::Space;

/// Where Debian's containernetworking-plugins puts them.
const PLUGINS: &str = "/usr/lib/cni";

pub(crate) struct Node {
    pub(crate) space: Space,
    pub(crate) leases: PathBuf,
}

impl Node {
    pub(crate) fn new() -> Self {
        let space = Space::new("cfnode");
        for address in ["198.51.100.9/32", "2001:db8::9/128"] {
            space.ip(&format!("address add {address} dev lo"));
        }
        let leases = std::env::temp_dir().join(format!("{}-leases", space.name));
        Self { space, leases }
    }

    /// The conf of network `n`, called `net<n>`, giving pods the defaults named in `routes`.
    pub(crate) fn conf(&self, plugin: &str, n: u8, routes: &[&str]) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": format!("net{n}"),
            "type": plugin,
            "bridge": format!("cni{n}"),
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "dataDir": self.leases,
                "ranges": [[{"subnet": format!("10.{n}.0.0/24")}], [{"subnet": format!("fd00:{n}::/64")}]],
                "routes": routes.iter().map(|dst| json!({"dst": dst})).collect::<Vec<_>>(),
            }
        })
    }

    pub(crate) fn call(&self, verb: &str, pod: &Space, ifname: &str, conf: &Value) -> Output {
        let plugin = conf["type"].as_str().expect("a type");
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.space.name))
            .arg(format!("{PLUGINS}/{plugin}"))
            .envs([("CNI_COMMAND", verb), ("CNI_IFNAME", ifname), ("CNI_PATH", PLUGINS)])
            .env("CNI_CONTAINERID", &pod.name)
            .env("CNI_NETNS", pod.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a standard plugin");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(conf.to_string().as_bytes()).expect("write the conf");
        drop(stdin);
        child.wait_with_output().expect("a standard plugin's answer")
    }

    /// As [`Node::call`]; fails with the plugin's own words.
    pub(crate) fn must(&self, verb: &str, pod: &Space, ifname: &str, conf: &Value) -> Vec<u8> {
        let output = self.call(verb, pod, ifname, conf);
        assert!(output.status.success(), "{verb} {ifname}: {}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    }

    /// ADD; answers the conf with the result in it, as CHECK and DEL are given it.
    pub(crate) fn add(&self, pod: &Space, ifname: &str, conf: &Value) -> Value {
        let result = self.must("ADD", pod, ifname, conf);
        let mut with_result = conf.clone();
        with_result["prevResult"] = serde_json::from_slice(&result).expect("a CNI result");
        with_result
    }

    /// Does something in a thread that is in the node's netns, as the shim is.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = std::fs::File::open(self.space.path()).expect("the node's netns");
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                nix::sched::setns(&netns, nix::sched::CloneFlags::CLONE_NEWNET).expect("setns");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Absent if the test failed before the first ADD.
        let _ = std::fs::remove_dir_all(&self.leases);
    }
}
