//! The files on the node: policy, confs, scripts, sockets, the disk, the records.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use lab::{
    host::deadline::until,
    standin::stub::{Act, Gate, PATIENCE, Reply, Stub},
};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
};
use serde_json::{Value, json};

use super::{SECRET, Stage};
use crate::history::{Breakage, Disk, FailureKind, Fault, Key, Part, Policy, Side, Verb};

/// What tearing did to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TornPart {
    /// There is none, or nothing was cut off.
    Nothing,
    /// The line with the intent.
    Head,
    /// A line behind it.
    Tail,
}

impl Stage {
    fn conf_path(&self, side: Side) -> std::path::PathBuf {
        self.path("net.d").join(match side {
            Side::Old => "10-old.conflist",
            Side::New => "20-new.conflist",
        })
    }

    fn replace(path: &Path, text: &str) -> Result<()> {
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("write {}", path.display()))
    }

    pub(crate) fn write_conf(&self, side: Side) -> Result<()> {
        if self.real {
            return Self::replace(&self.conf_path(side), &self.real_conf(side).to_string());
        }
        let plugins: Vec<Value> = self
            .setup
            .chain_of(side)
            .iter()
            .map(|part| json!({"type": part.plugin(), "token": SECRET}))
            .collect();
        let conf = json!({
            "cniVersion": self.setup.versions[side.index()], "name": side.network(), "plugins": plugins
        });
        Self::replace(&self.conf_path(side), &conf.to_string())
    }

    /// bridge or ptp with addresses of both families from host-local, portmap behind it.
    fn real_conf(&self, side: Side) -> Value {
        let number = side.index() + 1;
        let ipam = json!({
            "type": "host-local",
            "dataDir": self.path("leases"),
            "ranges": [
                [{"subnet": format!("10.{number}.0.0/24")}],
                [{"subnet": format!("fd00:{number}::/64")}]
            ],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
        });
        let first = match side {
            Side::Old => {
                json!({"type": "bridge", "bridge": "br0", "isGateway": true, "ipam": ipam, "token": SECRET})
            }
            Side::New => json!({"type": "ptp", "ipam": ipam, "token": SECRET}),
        };
        let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}, "snat": false});
        json!({"cniVersion": "1.0.0", "name": side.network(), "plugins": [first, portmap]})
    }

    /// What host-local holds: network, container id and ifname of every lease.
    pub(crate) fn leases(&self) -> Result<Vec<(String, String, String)>> {
        let mut leases = Vec::new();
        for side in Side::BOTH {
            let entries = lab::host::leases::leases(&self.path("leases").join(side.network()))?;
            leases
                .extend(entries.into_iter().map(|lease| (side.network().to_owned(), lease.id, lease.ifname)));
        }
        leases.sort();
        Ok(leases)
    }

    pub(crate) fn set_conf(&self, side: Side, there: bool) -> Result<()> {
        if there { self.write_conf(side) } else { gone(fs::remove_file(self.conf_path(side))) }
    }

    /// The binary of a network's first plugin.
    pub(crate) fn set_binary(&self, side: Side, there: bool) -> Result<()> {
        let (name, kept) = match (side, self.real) {
            (Side::Old, true) => ("bridge", self.path("bridge")),
            (Side::New, true) => ("ptp", self.path("ptp")),
            (Side::Old, false) => (Part::Old.plugin(), self.stubs.template().to_owned()),
            (Side::New, false) => (Part::New.plugin(), self.stubs.template().to_owned()),
        };
        let program = self.stubs.program(name);
        match (there, program.exists()) {
            (true, false) => fs::hard_link(kept, program).context("bring a plugin back"),
            (false, true) => self.stubs.remove(name),
            _ => Ok(()),
        }
    }

    /// The socket that a network's probe asks.
    pub(crate) fn set_socket(&self, side: Side, there: bool) -> Result<()> {
        let path = self.path("sock").join(side.name());
        let listener = &mut self.sockets.borrow_mut()[side.index()];
        *listener = None;
        gone(fs::remove_file(&path))?;
        if there {
            *listener = Some(UnixListener::bind(&path).context("bind a probe's socket")?);
        }
        Ok(())
    }

    /// Writes the policy; `hurried` is for operations in which a delegate hangs.
    pub(crate) fn write_policy(&self, policy: &Policy, hurried: bool) -> Result<()> {
        self.policy.set(*policy);
        let network = |side: Side| {
            let probe = json!([{"unix": self.path("sock").join(side.name())}]);
            let ready = if self.setup.probes[side.index()] { probe } else { json!([]) };
            json!({"profile": "generic", "conf": [self.conf_path(side)], "ready": ready})
        };
        let deadlines = if hurried {
            json!({"addSeconds": 3, "delSeconds": 2, "checkSeconds": 2, "statusMillis": 1500, "gcSeconds": 2})
        } else {
            json!({"addSeconds": 90, "delSeconds": 90, "checkSeconds": 90, "statusMillis": 60_000, "gcSeconds": 90})
        };
        let mut text = json!({
            "version": 1,
            "networks": {"old": network(Side::Old), "new": network(Side::New)},
            "attach": policy.attach.name(),
            "both": {
                "primary": policy.primary.name(),
                "defaultRoute": policy.default_route.name(),
                "secondaryFailure": if policy.tolerate { "tolerate" } else { "fail" }
            },
            "gc": {"graceSeconds": if policy.no_grace { 0 } else { 600 }, "forward": policy.forward},
            "deadlines": deadlines
        });
        if let Some(attach) = policy.rule {
            text["rules"] = json!([{"namespace": "ns1", "pod": "special-*", "attach": attach.name()}]);
        }
        if policy.annotation {
            text["podAnnotation"] = json!({"key": "crossfade/attach", "allow": ["both"]});
        }
        if policy.retired {
            text["retired"] = json!([{"network": "old", "forceAfterSeconds": 0}]);
        }
        Self::replace(&self.path("policy.json"), &text.to_string())
    }

    /// Writes the policy as it was last, with other deadlines.
    pub(crate) fn hurry(&self, hurried: bool) -> Result<()> {
        self.write_policy(&self.policy.get(), hurried)
    }

    pub(crate) fn break_policy(&self, how: Breakage) -> Result<()> {
        let path = self.path("policy.json");
        self.hurry(false)?;
        match how {
            Breakage::Missing => gone(fs::remove_file(&path)),
            Breakage::Torn => {
                let text = fs::read(&path)?;
                fs::write(&path, &text[..text.len() / 2]).context("tear the policy")
            }
            Breakage::WritableByOthers => fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
                .context("let others write the policy"),
            Breakage::UnknownKey => {
                let mut policy: Value = serde_json::from_slice(&fs::read(&path)?)?;
                policy["atach"] = json!("new");
                Self::replace(&path, &policy.to_string())
            }
        }
    }

    /// Tells every stub how to answer: by its fault, behind the gate if it is the one, else well.
    pub(crate) fn write_scripts(&self, faults: &[Fault], gate: Option<(Part, Verb, &Gate)>) -> Result<()> {
        for part in Part::ALL {
            let mut stub = Stub::answering(self.add_reply(part));
            for verb in [Verb::Add, Verb::Del, Verb::Check, Verb::Status, Verb::Gc] {
                let fault = faults.iter().find(|fault| fault.part == part && fault.verb == verb);
                let sound = if verb == Verb::Add { self.add_reply(part) } else { Reply::silent() };
                let mut reply = fault.map_or(sound, |fault| failing(fault.how));
                if let Some((_, _, gate)) = gate.filter(|(at, when, _)| (*at, *when) == (part, verb)) {
                    reply = reply.behind(gate);
                }
                stub = stub.on(verb.name(), reply);
            }
            self.stubs.write_script(part.plugin(), &stub)?;
        }
        Ok(())
    }

    /// The address that a network gives.
    pub(crate) const fn address(side: Side) -> &'static str {
        match side {
            Side::Old => "10.1.0.5/32",
            Side::New => "10.2.0.7/32",
        }
    }

    fn add_reply(&self, part: Part) -> Reply {
        let side = match part {
            Part::Map => return Reply(vec![Act::PrintPrevResult]),
            Part::Old => Side::Old,
            Part::New => Side::New,
        };
        let mut address = json!({"interface": 0, "address": Self::address(side)});
        if !self.setup.speaks(side, "1.0.0") {
            address["version"] = json!("4");
        }
        Reply::json(&json!({
            "cniVersion": self.setup.versions[side.index()],
            "interfaces": [{"name": "{ifname}", "sandbox": "{netns}"}],
            "ips": [address]
        }))
    }

    /// Fills the disk, frees it, or makes it one that cannot be written.
    pub(crate) fn set_disk(&self, disk: Disk) -> Result<()> {
        let state = self.path("state");
        let none: Option<&str> = None;
        let remount = |more| {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | more;
            // A file that another player's child has inherited and not yet closed keeps it busy for a moment.
            until("the disk's remount", PATIENCE, || match mount(none, &state, none, flags, none) {
                Err(Errno::EBUSY) => Ok(None),
                other => other.map(Some).context("remount the disk"),
            })
        };
        remount(MsFlags::empty())?;
        let ballast = state.join("ballast");
        if disk != Disk::Full {
            gone(fs::remove_file(&ballast))?;
        }
        match disk {
            Disk::Sound => {}
            // Another process does it, for the same reason.
            Disk::Full => {
                let fill = format!("exec cat /dev/zero >>{} 2>/dev/null", ballast.display());
                ensure!(!Command::new("sh").args(["-c", &fill]).status()?.success(), "the disk has no end");
            }
            Disk::ReadOnly => remount(MsFlags::MS_RDONLY)?,
        }
        self.disk.set(disk);
        Ok(())
    }

    /// The records that are there, by the file names that the documentation gives them.
    pub(crate) fn papers(&self) -> Result<BTreeMap<Key, std::path::PathBuf>> {
        let mut papers = BTreeMap::new();
        let shards = match fs::read_dir(self.path("state/attachments")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(papers),
            shards => shards?,
        };
        for shard in shards {
            for entry in fs::read_dir(shard?.path())? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if let Some(key) = Key::all().find(|key| key.to_string() == name) {
                    papers.insert(key, entry.path());
                }
            }
        }
        Ok(papers)
    }

    /// Cuts a record off. Never exactly behind a line: a record that ends with a whole line looks as if it had been written so.
    pub(crate) fn tear(&self, key: Key, permille: u16) -> Result<TornPart> {
        let Some(path) = self.papers()?.remove(&key).filter(|_| self.disk.get() != Disk::ReadOnly) else {
            return Ok(TornPart::Nothing);
        };
        let bytes = fs::read(&path)?;
        let mut cut = bytes.len() * usize::from(permille) / 1000;
        if cut > 0 && bytes[cut - 1] == b'\n' {
            cut -= 1;
        }
        let head = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        fs::OpenOptions::new().write(true).open(&path)?.set_len(cut as u64).context("cut a record off")?;
        Ok(if cut <= head { TornPart::Head } else { TornPart::Tail })
    }

    /// What was given up: container id and network of every line in the ledger of forced DELs.
    pub(crate) fn given_up(&self) -> Result<Vec<(String, String)>> {
        let text = fs::read_to_string(self.path("state/ledger.jsonl")).unwrap_or_default();
        let line = |line: &str| -> Result<(String, String)> {
            let line: Value = serde_json::from_str(line).context("a line of the ledger")?;
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            Ok((text("containerID"), text("network")))
        };
        text.lines().map(line).collect()
    }
}

fn failing(how: FailureKind) -> Reply {
    match how {
        FailureKind::Error(code) => Reply::fail(code, "no luck", "as it was told"),
        FailureKind::NotFound => {
            Reply::fail(999, "link eth0 not found", "open /proc/1: no such file or directory")
        }
        FailureKind::NetnsMissing => {
            Reply::fail(999, "opening netns: open {netns}: no such file or directory", "")
        }
        FailureKind::Silent => Reply(vec![Act::Exit(1)]),
        FailureKind::Signal => Reply(vec![Act::Signal(9)]),
        FailureKind::Garbage => Reply::text("all is well"),
        FailureKind::Nothing => Reply::silent(),
        FailureKind::Hang => {
            Reply(vec![Act::Spawn(vec!["/bin/sleep".to_owned(), "100000".to_owned()]), Act::Hang])
        }
    }
}

/// What is not there is gone as well.
fn gone(outcome: std::io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("remove a file"),
        _ => Ok(()),
    }
}
