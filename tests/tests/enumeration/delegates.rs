//! The delegates: stubs that take a lease file each, and in both-mode an interface.

use std::{net::Ipv4Addr, path::PathBuf};

use lab::stub::{Act, Reply, Stub};
use serde_json::json;

/// Every plugin: that of `old`, and the two of `new`.
pub(crate) const NAMES: [&str; 3] = ["stub-old", "stub-new", "stub-tail"];

/// What the delegates of one world leave, and where.
#[derive(Debug)]
pub(crate) struct Delegates {
    /// The directory of the leases.
    pub(crate) leases: PathBuf,
    /// Whether they plug interfaces in as well.
    pub(crate) plug: bool,
}

impl Delegates {
    /// The stub of this name; it does something before its ADD.
    pub(crate) fn stub(&self, name: &str, before: Reply) -> Stub {
        match name {
            "stub-old" => self.attaching(Ipv4Addr::new(10, 1, 0, 5), "0.4.0", before),
            "stub-new" => self.attaching(Ipv4Addr::new(10, 2, 0, 7), "1.1.0", before),
            _ => self.chained(before),
        }
    }

    /// A plugin that attaches and answers with its own result.
    fn attaching(&self, address: Ipv4Addr, version: &str, mut add: Reply) -> Stub {
        let host = "{id}{ifname}".to_owned();
        let mut ip = json!({"interface": 0, "address": format!("{address}/32")});
        if version == "0.4.0" {
            ip["version"] = json!("4");
        }
        let result = json!({
            "cniVersion": version,
            "interfaces": [{"name": "{ifname}", "sandbox": "{netns}"}],
            "ips": [ip],
        });
        add.0.push(Act::Lease(self.leases.clone()));
        let mut del = vec![Act::Release(self.leases.clone())];
        if self.plug {
            add.0.push(Act::Plug { host: host.clone(), address });
            del.insert(0, Act::Unplug(host));
        }
        Stub::answering(add.then(Act::Print(result.to_string()))).on("DEL", Reply(del))
    }

    /// The second plugin of a chain. It takes a lease too, so that its own DEL is seen to come.
    fn chained(&self, add: Reply) -> Stub {
        let leases = self.leases.join("tail");
        Stub::answering(add.then(Act::Lease(leases.clone())).then(Act::PrintPrevResult))
            .on("DEL", Reply(vec![Act::Release(leases)]))
    }
}
