//! A network as a pod sees it: a namespace that is its gateway, hosts behind that, and the outside world.

use ipnetwork::IpNetwork;
use shim::attachment::route::RouteSide;

use super::Space;

/// How a network's plugin sets up a pod.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// An address in a subnet, the gateway in the same one.
    Subnet,
    /// A /32 or /128, a gateway that is only reachable by a route of its own (IPv4) or by link-local address (IPv6).
    Calico,
}

/// Which families a network gives a default for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defaults {
    Both,
    OnlyV4,
    None,
}

/// One network, number `n`: pod 10.n.0.2 and fd00:n::2, a host of the network beyond the pod's subnet at 10.n.99.1 and
/// fd00:n:99::1, a host outside that only this network leads to at 198.51.100.n and 2001:db8::n, and one that both lead
/// to at 198.51.100.200 and 2001:db8::200.
pub(crate) struct Network {
    pub(crate) number: u8,
    pub(crate) kind: Kind,
    pub(crate) ifname: String,
    pub(crate) cidrs: Vec<IpNetwork>,
    pub(crate) router: Space,
}

impl Network {
    pub(crate) fn new(number: u8, kind: Kind, ifname: &str) -> Self {
        let router = Space::new(&format!("cfr{number}"));
        router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for address in ["198.51.100.200/32", "2001:db8::200/128", "169.254.1.1/32"] {
            router.ip(&format!("address add {address} dev lo"));
        }
        for address in ["10.N.99.1/32", "fd00:N:99::1/128", "198.51.100.N/32", "2001:db8::N/128"] {
            router.ip(&format!("address add {} dev lo", address.replace('N', &number.to_string())));
        }
        let cidrs = [format!("10.{number}.0.0/16"), format!("fd00:{number}::/32")];
        let cidrs = cidrs.map(|cidr| cidr.parse().expect("a CIDR")).to_vec();
        Self { number, kind, ifname: ifname.to_owned(), cidrs, router }
    }

    pub(crate) fn side(&self) -> RouteSide<'_> {
        RouteSide { ifname: &self.ifname, cidrs: &self.cidrs }
    }

    pub(crate) fn v4(&self) -> String {
        format!("10.{}.0.2", self.number)
    }

    pub(crate) fn v6(&self) -> String {
        format!("fd00:{}::2", self.number)
    }

    pub(crate) fn far_v4(&self) -> String {
        format!("10.{}.99.1", self.number)
    }

    pub(crate) fn far_v6(&self) -> String {
        format!("fd00:{}:99::1", self.number)
    }

    /// What the network's plugin does in ADD.
    pub(crate) fn attach(&self, pod: &Space, defaults: Defaults) {
        self.plug(pod);
        match self.kind {
            Kind::Subnet => self.attach_subnet(pod, defaults),
            Kind::Calico => self.attach_calico(pod, defaults),
        }
    }

    /// The wire: the pod's interface and the router's end of it, called `gw`.
    pub(crate) fn plug(&self, pod: &Space) {
        let (ifname, router) = (&self.ifname, &self.router);
        pod.ip(&format!("link add {ifname} type veth peer name gw netns {}", router.name));
        router.ip("link set gw up");
        pod.ip(&format!("link set {ifname} up"));
    }

    fn attach_subnet(&self, pod: &Space, defaults: Defaults) {
        let (n, ifname, router) = (self.number, &self.ifname, &self.router);
        router.ip(&format!("address add 10.{n}.0.1/24 dev gw"));
        router.ip(&format!("address add fd00:{n}::1/64 dev gw nodad"));
        pod.ip(&format!("address add 10.{n}.0.2/24 dev {ifname}"));
        pod.ip(&format!("address add fd00:{n}::2/64 dev {ifname} nodad"));
        if defaults != Defaults::None {
            pod.ip(&format!("route add default via 10.{n}.0.1 dev {ifname} mtu 1400 advmss 1300"));
        }
        if defaults == Defaults::Both {
            pod.ip(&format!("-6 route add default via fd00:{n}::1 dev {ifname} metric 77 mtu 1400"));
        }
    }

    fn attach_calico(&self, pod: &Space, defaults: Defaults) {
        let (n, ifname, router) = (self.number, &self.ifname, &self.router);
        router.ip("address add fe80::1/64 dev gw nodad");
        router.ip(&format!("route add 10.{n}.0.2/32 dev gw"));
        router.ip(&format!("-6 route add fd00:{n}::2/128 dev gw"));
        pod.ip(&format!("address add 10.{n}.0.2/32 dev {ifname}"));
        pod.ip(&format!("address add fd00:{n}::2/128 dev {ifname} nodad"));
        pod.ip(&format!("route add 169.254.1.1 dev {ifname} scope link"));
        if defaults != Defaults::None {
            pod.ip(&format!("route add default via 169.254.1.1 dev {ifname}"));
        }
        if defaults == Defaults::Both {
            pod.ip(&format!("-6 route add default via fe80::1 dev {ifname}"));
        }
    }
}

/// A pod whose kernel drops what arrives where it would not answer (strict reverse path check).
pub(crate) fn pod() -> Space {
    let pod = Space::new("cfpod");
    pod.run("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1");
    pod
}
