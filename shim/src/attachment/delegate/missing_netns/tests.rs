use super::*;

const PATH: &str = "/var/run/netns/cni-3c1f";

fn error_with(msg: &str) -> CniError {
    CniError::new(999, msg)
}

/// cilium-cni up to 1.17.5, as measured: with a path, and without one.
#[test]
fn words_of_cilium_after_it_has_deleted_the_endpoint_count() {
    for (netns_path, msg) in [
        ("", "opening netns pinned at : open : no such file or directory"),
        (
            PATH,
            "opening netns pinned at /var/run/netns/cni-3c1f: open /var/run/netns/cni-3c1f: no such file or directory",
        ),
    ] {
        assert_eq!(
            only_netns_was_missing("cilium", netns_path, &error_with(msg)),
            Some(FailedStep::Released),
            "{msg}"
        );
        // A plugin of another profile that says so need not have released anything.
        assert_eq!(
            only_netns_was_missing("generic", netns_path, &error_with(msg)),
            Some(FailedStep::Unknown),
            "{msg}"
        );
    }
}

#[test]
fn any_plugin_may_fail_on_nothing_but_the_netns() {
    for (netns_path, msg) in [
        (
            PATH,
            "failed to open netns \"/var/run/netns/cni-3c1f\": failed to Statfs \"/var/run/netns/cni-3c1f\": no such file or directory",
        ),
        (PATH, "failed to open netns \"/var/run/netns/cni-3c1f\": no such file or directory"),
        (PATH, "network namespace /var/run/netns/cni-3c1f not found"),
        (PATH, "cannot enter netns \"/var/run/netns/cni-3c1f\": not found"),
        (
            PATH,
            "plugin type=\"cilium-cni\" failed (delete): opening netns pinned at /var/run/netns/cni-3c1f: open /var/run/netns/cni-3c1f: no such file or directory",
        ),
        (
            PATH,
            "plugin type=\"x\" name=\"y\" failed (delete): open netns: open /var/run/netns/cni-3c1f: No such file or directory (os error 2)",
        ),
        ("", "failed to open netns \"\": failed to Statfs \"\": no such file or directory"),
        ("", "open netns: open : no such file or directory"),
    ] {
        assert_eq!(
            only_netns_was_missing("generic", netns_path, &error_with(msg)),
            Some(FailedStep::Unknown),
            "{msg}"
        );
    }
}

#[test]
fn an_agent_that_is_down_and_anything_else_is_a_failure() {
    let cilium = "opening netns pinned at /var/run/netns/cni-3c1f: open /var/run/netns/cni-3c1f: no such file or directory";
    for (netns_path, msg) in [
        // Real ones: Cilium's agent, Calico's kubeconfig and datastore.
        (
            "",
            "unable to connect to Cilium agent: failed to create cilium agent client after 30.000000 seconds timeout: Get \"http://localhost/v1/config\": dial unix /var/run/cilium/cilium.sock: connect: no such file or directory\nIs the agent running?",
        ),
        (
            PATH,
            "unable to connect to Cilium agent: dial unix /var/run/cilium/cilium.sock: connect: no such file or directory\nIs the agent running?",
        ),
        ("", "stat /etc/cni/net.d/calico-kubeconfig: no such file or directory"),
        ("", "error getting ClusterInformation: connection is unauthorized: Unauthorized"),
        // Two errors in one message, whichever way they are joined.
        (
            PATH,
            &format!("{cilium}\ndial unix /var/run/cilium/cilium.sock: connect: no such file or directory"),
        ),
        (
            PATH,
            &format!("dial unix /var/run/cilium/cilium.sock: connect: no such file or directory\n{cilium}"),
        ),
        (PATH, &format!("dial unix /var/run/cilium/cilium.sock: {cilium}")),
        (PATH, &format!("release address: connection refused; {cilium}")),
        (PATH, &format!("failed to release the address and {cilium}")),
        (PATH, &format!("agent did not answer {cilium}")),
        // Another netns, another file, or nothing that says which.
        (
            PATH,
            "opening netns pinned at /var/run/netns/cni-9999: open /var/run/netns/cni-9999: no such file or directory",
        ),
        (PATH, "opening netns pinned at : open : no such file or directory"),
        ("", cilium),
        (
            PATH,
            "opening netns pinned at /var/run/netns/cni-3c1f: open /var/run/netns/cni-3c1f.sock: no such file or directory",
        ),
        (
            PATH,
            "opening netns /other pinned at /var/run/netns/cni-3c1f: open /var/run/netns/cni-3c1f: no such file or directory",
        ),
        (PATH, "open /var/run/netns/cni-3c1f: no such file or directory"),
        (PATH, "netns: no such file or directory"),
        ("", "netns: no such file or directory"),
        ("", "netns not found"),
        ("", "no such file or directory"),
        ("", "link eth0 not found"),
        ("", "endpoint of netns not found"),
        // The netns is there, and something else is wrong with it.
        (
            PATH,
            "opening netns pinned at /var/run/netns/cni-3c1f: open /var/run/netns/cni-3c1f: permission denied",
        ),
        ("", ""),
    ] {
        for profile in ["cilium", "calico", "generic"] {
            assert_eq!(
                only_netns_was_missing(profile, netns_path, &error_with(msg)),
                None,
                "{netns_path:?}: {msg}"
            );
        }
    }
}

#[test]
fn details_must_not_tell_of_another_failure() {
    let msg = "opening netns pinned at : open : no such file or directory";
    let with = |details: &str| only_netns_was_missing("cilium", "", &error_with(msg).details(details));
    assert_eq!(with(" "), Some(FailedStep::Released));
    assert_eq!(with(msg), Some(FailedStep::Released));
    assert_eq!(with("dial unix /var/run/cilium/cilium.sock: connect: no such file or directory"), None);
    assert_eq!(with("IPAM release failed"), None);
    let long = format!("netns {}: open : no such file or directory", "x".repeat(MAX_BYTES));
    assert_eq!(only_netns_was_missing("generic", "", &error_with(&long)), None);
}
