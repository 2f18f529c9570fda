//! The delegates: stubs that take a lease file each, and in both-mode an interface.

use std::{net::Ipv4Addr, path::PathBuf};

use lab::standin::stub::{Act, Reply, Stub};
use serde_json::json;

use crate::miniature::STALE;

/// Every plugin: that of `old`, and the two of `new`.
pub(crate) const NAMES: [&str; 3] = ["stub-old", "stub-new", "stub-tail"];

/// The address that `oldnet` gives to the pod.
pub(crate) const OLD: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);
/// The address that `newnet` gives to the pod.
pub(crate) const NEW: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 7);

/// The name of the host's end of an interface.
const HOST_END: &str = "{id}{ifname}";

/// What the delegates of one miniature leave, and where.
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
            "stub-old" => self.attaching(OLD, "0.4.0", before),
            "stub-new" => self.attaching(NEW, "1.1.0", before),
            _ => self.chained(before),
        }
    }

    /// A plugin that attaches and answers with its own result. The stale pod has the next address: two that live never share one.
    fn attaching(&self, address: Ipv4Addr, version: &str, before: Reply) -> Stub {
        let mut del = vec![Act::Release(self.leases.clone())];
        if self.plug {
            del.insert(0, Act::Unplug(HOST_END.to_owned()));
        }
        let next = Ipv4Addr::from_bits(address.to_bits() + 1);
        Stub::answering(self.add(address, version, before.clone()))
            .on_pod(STALE, "ADD", vec![self.add(next, version, before)])
            .on("DEL", Reply(del))
    }

    fn add(&self, address: Ipv4Addr, version: &str, mut add: Reply) -> Reply {
        let mut ip = json!({"interface": 0, "address": format!("{address}/32")});
        if version == "0.4.0" {
            ip["version"] = json!("4");
        }
        let mut interfaces = vec![json!({"name": "{ifname}", "sandbox": "{netns}"})];
        add.0.push(Act::Lease(self.leases.clone()));
        if self.plug {
            // As real plugins do; by it the shim finds the way to the pod.
            interfaces.push(json!({"name": HOST_END}));
            add.0.push(Act::Plug { host: HOST_END.to_owned(), address });
        }
        let result = json!({"cniVersion": version, "interfaces": interfaces, "ips": [ip]});
        add.then(Act::Print(result.to_string()))
    }

    /// The second plugin of a chain. It takes a lease too, so that its own DEL is seen to come.
    fn chained(&self, add: Reply) -> Stub {
        let leases = self.leases.join("tail");
        Stub::answering(add.then(Act::Lease(leases.clone())).then(Act::PrintPrevResult))
            .on("DEL", Reply(vec![Act::Release(leases)]))
    }
}
