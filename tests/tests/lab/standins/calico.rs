//! The Calico-like plugin, called for bare netns beside a host that forwards.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::case::oracle::{Reply, read_reply};
use lab::host::command::run_line;
use lab::host::leases::Lease;
use lab::host::netns::Netns;
use lab::host::scratch::Scratch;
use serde_json::{Value, json};

use crate::call::Caller;

fn caller(id: &str, netns: &Netns) -> Caller {
    Caller {
        plugin: "lab-calico",
        id: id.to_owned(),
        netns: netns.path().to_owned(),
        args: format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={id}"),
    }
}

/// A conf with addresses by host-local, both families, out of subnets numbered `net`.
fn conf(scratch: &Scratch, net: u8) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "old", "type": "calico", "mtu": 1450,
        "ipam": {
            "type": "host-local", "dataDir": scratch.join("leases"),
            "ranges": [[{"subnet": format!("10.70.{net}.0/24")}], [{"subnet": format!("fd00:70:{net}::/64")}]],
        },
    })
}

fn leases(scratch: &Scratch) -> Result<Vec<Lease>> {
    lab::host::leases::leases(&scratch.join("leases/old"))
}

pub(crate) fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().cloned().unwrap_or_default();
    ips.iter()
        .filter_map(|ip| ip["address"].as_str())
        .map(|text| text.split('/').next().unwrap_or(text).to_owned())
        .collect()
}

/// Over the host, both ways, both families, at once after ADD.
pub(crate) fn calico_pods_reach_each_other() -> Result<()> {
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
    let scratch = Scratch::new("reach")?;
    let conf = conf(&scratch, 1);
    let (first_netns, second_netns) = (Netns::pod("calico-one")?, Netns::pod("calico-two")?);
    let (a, b) = (caller("one", &first_netns), caller("two", &second_netns));
    let from = addresses(&a.succeed("ADD", &conf)?.result()?);
    let to = addresses(&b.succeed("ADD", &conf)?.result()?);
    ensure!(from.len() == 2 && to.len() == 2, "{from:?} {to:?}");
    for address in &to {
        first_netns.run(&format!("busybox ping -c 1 -W 60 {address}"))?;
    }
    for address in &from {
        second_netns.run(&format!("busybox ping -c 1 -W 60 {address}"))?;
    }
    for caller in [&a, &b] {
        caller.succeed("CHECK", &conf)?;
        caller.succeed("DEL", &conf)?;
    }
    ensure!(leases(&scratch)?.is_empty(), "{:?}", leases(&scratch)?);
    Ok(())
}

/// A /32, a gateway whose address no interface has, a permanent neighbour, a route on the host; none of it in the result.
pub(crate) fn calico_pod_looks_like_one() -> Result<()> {
    let scratch = Scratch::new("looks")?;
    let mut conf = conf(&scratch, 2);
    let netns = Netns::pod("calico-looks")?;
    let pod = caller("looks", &netns);
    let result = pod.succeed("ADD", &conf)?.result()?;
    let host = result["interfaces"][0]["name"].as_str().context("a host end")?;
    ensure!(host.starts_with("cali") && host.len() == 15, "{host}");
    let expected = json!({
        "cniVersion": "1.0.0", "interfaces": [{"name": host}],
        "ips": [{"address": "10.70.2.2/32"}, {"address": "fd00:70:2::2/128"}], "dns": {},
    });
    ensure!(result == expected, "{result}");

    let routes = netns.run("ip -4 route")?;
    let lines: Vec<&str> = routes.lines().map(str::trim).collect();
    let expected = ["default via 169.254.1.1 dev eth0", "169.254.1.1 dev eth0 scope link"];
    ensure!(lines == expected, "{routes}");
    let routes = netns.run("ip -6 route show default")?;
    ensure!(routes.starts_with("default via fe80::ecee:eeff:feee:eeee dev eth0"), "{routes}");
    let shown = netns.run("ip -oneline address show dev eth0 scope global")?;
    ensure!(shown.contains("inet 10.70.2.2/32") && shown.contains("inet6 fd00:70:2::2/128"), "{shown}");
    let link = netns.run("ip -oneline link show eth0")?;
    ensure!(link.contains("mtu 1450"), "{link}");
    let neighbour = netns.run("ip neighbour show 169.254.1.1")?;
    ensure!(neighbour.contains("ee:ee:ee:ee:ee:ee") && neighbour.contains("PERMANENT"), "{neighbour}");
    let route = run_line("ip route show 10.70.2.2")?;
    ensure!(route.contains(&format!("10.70.2.2 dev {host} scope link")), "{route}");

    // The next sandbox of the same pod has the same host end and takes it over.
    let again = Netns::pod("calico-again")?;
    let next = Caller { id: "looks-again".to_owned(), netns: again.path().to_owned(), ..pod.clone() };
    conf["sandboxInResult"] = json!(true);
    let result = next.succeed("ADD", &conf)?.result()?;
    let mac = again.run("ip -oneline link show eth0")?;
    let interface = &result["interfaces"][0];
    ensure!(interface["name"] == host && interface["sandbox"] == json!(again.path()), "{result}");
    ensure!(interface["mac"].as_str().is_some_and(|seen| mac.contains(seen)), "{result} {mac}");
    ensure!(netns.run("ip link show eth0").is_err(), "the old sandbox is still attached");
    for caller in [&pod, &next] {
        caller.succeed("DEL", &conf)?;
    }
    Ok(())
}

/// As release 3.31 answers.
pub(crate) fn calico_names_the_pod_where_it_is_told_to() -> Result<()> {
    let netns = Netns::pod("calico-names")?;
    let pod = caller("names", &netns);
    let conf = json!({"cniVersion": "1.0.0", "name": "old", "type": "calico", "addresses": ["10.70.7.9"],
                      "podInResult": true});
    let result = pod.succeed("ADD", &conf)?.result()?;
    let [host, inside] = [&result["interfaces"][0], &result["interfaces"][1]];
    ensure!(host.get("sandbox").is_none() && host["name"] != "eth0", "{result}");
    let shown = netns.run("ip -oneline link show eth0")?;
    ensure!(inside["mac"].as_str().is_some_and(|mac| shown.contains(mac)), "{result} {shown}");
    ensure!(inside["name"] == "eth0" && inside["sandbox"] == json!(netns.path()), "{result}");
    ensure!(result["ips"] == json!([{"address": "10.70.7.9/32", "interface": 1}]), "{result}");
    pod.succeed("DEL", &conf)?;
    Ok(())
}

/// `version` in an address before 1.0.0 only; 1.1.0 and later are refused with code 1.
pub(crate) fn calico_answers_in_the_callers_version() -> Result<()> {
    let netns = Netns::pod("calico-version")?;
    let pod = caller("version", &netns);
    let mut conf = json!({"name": "old", "type": "calico", "addresses": ["10.70.3.9"]});
    for version in ["0.3.1", "0.4.0", "1.0.0"] {
        conf["cniVersion"] = json!(version);
        let answer = pod.succeed("ADD", &conf)?;
        let result = answer.result()?;
        ensure!(result["cniVersion"] == version, "{result}");
        let numbered = result["ips"][0]["version"] == "4";
        ensure!(numbered == (version != "1.0.0"), "{result}");
        let Reply::Success(read) = read_reply(answer.stdout.as_bytes())? else {
            anyhow::bail!("not a result: {result}");
        };
        ensure!(read.ips[0].address.to_string() == "10.70.3.9/32", "{read:?}");
        ensure!(read.ips[0].gateway.is_none() && read.routes.is_empty(), "{read:?}");
        pod.succeed("DEL", &conf)?;
    }
    conf["cniVersion"] = json!("1.1.0");
    for verb in ["ADD", "DEL", "CHECK"] {
        pod.call(verb, &conf)?.refused(1).context(verb)?;
    }
    conf["cniVersion"] = json!("1.0.0");
    pod.call("STATUS", &conf)?.refused(4).context("STATUS is no verb of 1.0.0")?;
    let Reply::Version(versions) = read_reply(pod.succeed("VERSION", &conf)?.stdout.as_bytes())? else {
        anyhow::bail!("VERSION answers something else");
    };
    ensure!(versions == ["0.3.0", "0.3.1", "0.4.0", "1.0.0"], "{versions:?}");
    Ok(())
}

/// A pod that has a default route: "file exists", nothing left behind; or, if told so, the route is left alone.
pub(crate) fn calico_fails_on_an_existing_default() -> Result<()> {
    let scratch = Scratch::new("default")?;
    let mut conf = conf(&scratch, 4);
    for family in ["-4", "-6"] {
        let netns = Netns::pod("calico-default")?;
        let pod = caller("default", &netns);
        netns.run("ip link add first0 type veth peer name second0")?;
        netns.run("ip link set first0 up")?;
        netns.run("ip link set second0 up")?;
        netns.run(&format!("ip {family} route add default dev first0"))?;
        conf["existingDefault"] = json!("fail");
        let refusal = pod.call("ADD", &conf)?.refused(999).context(family)?;
        ensure!(refusal.msg.contains("file exists"), "{family}: {refusal:?}");
        ensure!(netns.run("ip link show eth0").is_err(), "{family}: the interface is left");
        ensure!(leases(&scratch)?.is_empty(), "{family}: {:?}", leases(&scratch)?);

        conf["existingDefault"] = json!("keep");
        pod.succeed("ADD", &conf)?;
        let routes = netns.run(&format!("ip {family} route show default"))?;
        ensure!(routes.lines().count() == 1 && routes.contains("first0"), "{family}: {routes}");
        pod.succeed("DEL", &conf)?;
    }
    Ok(())
}

/// With the netns, without it, with a path that is gone, and again.
pub(crate) fn calico_del_can_be_repeated() -> Result<()> {
    let scratch = Scratch::new("repeat")?;
    let conf = conf(&scratch, 5);
    let netns = Netns::pod("calico-repeat")?;
    let pod = caller("repeat", &netns);
    let nowhere = |path: &str| Caller { netns: Path::new(path).to_owned(), ..pod.clone() };
    pod.succeed("DEL", &conf).context("before any ADD")?;
    for round in 0..2 {
        pod.succeed("ADD", &conf)?;
        ensure!(leases(&scratch)?.len() == 2, "{:?}", leases(&scratch)?);
        match round {
            0 => {
                pod.succeed("DEL", &conf)?;
                ensure!(netns.run("ip link show eth0").is_err(), "the interface is left");
            }
            _ => drop(nowhere("").succeed("DEL", &conf)?),
        }
        ensure!(leases(&scratch)?.is_empty(), "{:?}", leases(&scratch)?);
        pod.succeed("DEL", &conf).context("once more")?;
    }
    fs::write(scratch.join("unmounted"), "")?;
    for gone in ["/run/netns/never-was".into(), scratch.join("unmounted")] {
        let gone = Caller { netns: gone, ..pod.clone() };
        gone.succeed("DEL", &conf).with_context(|| format!("{}", gone.netns.display()))?;
    }
    Ok(())
}

/// CHECK says OK whatever there is, and whatever there is not.
pub(crate) fn calico_check_is_empty() -> Result<()> {
    let scratch = Scratch::new("check")?;
    let conf = conf(&scratch, 6);
    let netns = Netns::pod("calico-check")?;
    let pod = caller("check", &netns);
    let says_ok = |pod: &Caller, when: &str| -> Result<()> {
        let answer = pod.succeed("CHECK", &conf).with_context(|| when.to_owned())?;
        ensure!(answer.stdout == "OK\n", "{when}: {answer:?}");
        Ok(())
    };
    says_ok(&pod, "an unknown container")?;
    pod.succeed("ADD", &conf)?;
    says_ok(&pod, "all is well")?;
    netns.run("ip link delete eth0")?;
    fs::remove_dir_all(scratch.join("leases/old"))?;
    says_ok(&pod, "without interface and lease")?;
    says_ok(&Caller { netns: "/run/netns/never-was".into(), ..pod.clone() }, "without the netns")?;
    pod.succeed("DEL", &conf)?;
    Ok(())
}
