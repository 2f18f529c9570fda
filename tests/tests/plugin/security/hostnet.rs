//! CNI_NETNS: the host's own network namespace, and what is none.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
};

use anyhow::{Context, Result, ensure};
use lab::host::command::run_line;
use nix::{sys::stat::Mode, unistd::mkfifo};

use crate::{
    case::Case,
    files::{Fault, device},
    trials,
};

trials![
    add_into_the_hosts_netns_is_refused,
    del_in_the_hosts_netns_goes_on_without_it,
    what_is_no_netns_holds_up_no_call,
    link_to_a_netns_is_followed,
];

/// The shim of these tests runs where the lab does.
const HOSTS: [&str; 3] = ["/proc/1/ns/net", "/proc/self/ns/net", "/proc/thread-self/ns/net"];

/// A plugin told to attach there takes the host's own interfaces for a pod's, and so would the route step.
fn add_into_the_hosts_netns_is_refused() -> Result<()> {
    for attach in ["new", "both"] {
        let case = Case::attach(attach)?;
        let link = case.path("link");
        symlink(HOSTS[0], &link)?;
        let link = link.display().to_string();
        for path in HOSTS.into_iter().chain([link.as_str()]) {
            let refusal =
                case.call("ADD").env("CNI_NETNS", path).run()?.refused(4).context(path.to_owned())?;
            ensure!(refusal.msg.contains("host"), "{refusal:?}");
        }
        case.expect_calls(&[])?;
        case.expect_records(0)?;
    }
    Ok(())
}

/// As after a reboot: what a plugin keeps on the host goes, and no delegate enters the host's netns to delete its eth0.
fn del_in_the_hosts_netns_goes_on_without_it() -> Result<()> {
    for path in HOSTS {
        let case = Case::attach("both")?;
        case.added()?;
        let rules = run_line("ip rule")?;
        case.call("DEL").env("CNI_NETNS", path).run()?.silent().context(path)?;
        case.expect_calls(&["stub-new DEL net1", "stub-old DEL eth0"])?;
        for call in case.calls()? {
            assert_eq!(call.var("CNI_NETNS"), "", "{path}");
        }
        assert_eq!(run_line("ip rule")?, rules);
        case.expect_records(0)?;
    }
    Ok(())
}

/// One network alone is the delegate's to judge by; both need the netns for their routes.
fn what_is_no_netns_holds_up_no_call() -> Result<()> {
    let things: [Fault; 6] = [
        ("a FIFO", |path| Ok(mkfifo(path, Mode::from_bits_truncate(0o600))?)),
        ("a device", device),
        ("an empty file", |path| Ok(fs::write(path, "")?)),
        ("a directory", |path| Ok(fs::create_dir(path)?)),
        ("a link to nothing", |path| Ok(symlink("gone", path)?)),
        ("a socket", |path| {
            drop(UnixListener::bind(path)?);
            Ok(())
        }),
    ];
    for (what, make) in things {
        for attach in ["new", "both"] {
            let case = Case::attach(attach)?;
            let path = case.path("netns");
            make(&path)?;
            let path = path.display().to_string();
            let add = case.call("ADD").env("CNI_NETNS", &path).run()?;
            if attach == "both" {
                add.refused(4).context(what)?;
                case.expect_calls(&[]).context(what)?;
            } else {
                add.succeeded().context(what)?;
                assert_eq!(case.the_call("stub-new ADD eth0")?.var("CNI_NETNS"), path);
                case.call("DEL").env("CNI_NETNS", &path).run()?.silent().context(what)?;
            }
            case.expect_records(0).context(what)?;
            // A DEL whose netns became such a thing.
            let case = Case::attach(attach)?;
            case.added()?;
            let path = case.path("netns");
            make(&path)?;
            case.call("DEL").env("CNI_NETNS", &path.display().to_string()).run()?.silent().context(what)?;
            case.expect_records(0).context(what)?;
        }
    }
    Ok(())
}

/// /var/run is a link on most nodes, and so is what it leads through.
fn link_to_a_netns_is_followed() -> Result<()> {
    let case = Case::attach("both")?;
    let link = case.path("link");
    symlink(case.netns.path(), &link)?;
    let link = link.display().to_string();
    case.call("ADD").env("CNI_NETNS", &link).run()?.result()?;
    case.call("DEL").env("CNI_NETNS", &link).run()?.silent()?;
    case.expect_records(0)
}
