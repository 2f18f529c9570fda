//! The DNS servers that kubelet gives its pods, by its command line and its configuration.

use std::net::IpAddr;
use std::path::Path;

use super::config;
use super::flags::values;
use super::runtime::words;
use crate::host::root::Root;

/// kubelet's own default of `clusterDomain` is empty; every installer sets this one.
const DOMAIN: &str = "cluster.local";

/// The DNS servers of a cluster, and its domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClusterDns {
    /// The servers' addresses, in kubelet's order.
    pub servers: Vec<IpAddr>,
    /// The domain of the cluster's names.
    pub domain: String,
}

/// The servers that kubelet is told of. A flag counts before the configuration, and of several files the last one that says something.
///
/// *Source*: `cmd/kubelet/app/options/options.go`, `--cluster-dns` and `--cluster-domain`; `KubeletConfiguration`, `clusterDNS` and
/// `clusterDomain`.
///
/// # Errors
/// In words, where nothing that can be read names a server: kubelet has no unit here, or it is not told of any.
pub(crate) fn cluster_dns(root: &Root, unit: &str) -> Result<ClusterDns, String> {
    let problem = |why: &str| format!("{why}; name the cluster's DNS servers in node.json, packets.dns");
    let words = words(root, unit).ok_or_else(|| problem(&format!("no {unit} can be read")))?;
    let flags = |name| values(&words, name).into_iter().flat_map(|flag| flag.value.split(','));
    let files = config::files(root, &words);
    let read = |file: &Path| config::read(root, file).ok().flatten();
    let configs: Vec<_> = files.all().rev().filter_map(|file| read(file)).collect();
    let mut servers: Vec<String> = flags("cluster-dns").map(str::to_owned).collect();
    if servers.is_empty() {
        servers = configs.iter().find_map(|config| config.cluster_dns.clone()).unwrap_or_default();
    }
    let by_flag = flags("cluster-domain").last().map(str::to_owned);
    let domain = by_flag.or_else(|| configs.into_iter().find_map(|config| config.cluster_domain));
    let servers: Vec<IpAddr> = servers.iter().filter_map(|server| server.trim().parse().ok()).collect();
    if servers.is_empty() {
        return Err(problem("kubelet is told of no clusterDNS"));
    }
    let domain = domain.filter(|domain| !domain.is_empty()).unwrap_or_else(|| DOMAIN.into());
    Ok(ClusterDns { servers, domain })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns_of(command: &str, files: &[(&str, &str)]) -> Result<(Vec<String>, String), String> {
        let dir = tempfile::tempdir().expect("scratch");
        let service = format!("[Service]\nExecStart={command}\n");
        let unit = ("usr/lib/systemd/system/kubelet.service", service.as_str());
        for (path, text) in files.iter().chain([&unit]) {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("below")).expect("directory");
            std::fs::write(path, text).expect("file");
        }
        let dns = cluster_dns(&Root::new(dir.path()), "kubelet.service")?;
        Ok((dns.servers.iter().map(ToString::to_string).collect(), dns.domain))
    }

    #[test]
    fn flags_count_before_the_configuration_and_drop_ins_before_the_file() {
        const MAIN: (&str, &str) = (
            "c.yaml",
            "kind: KubeletConfiguration\nclusterDNS: [10.96.0.10, 'fd00::a']\nclusterDomain: a.b\n",
        );
        const DROP_IN: (&str, &str) =
            ("d/1.conf", "kind: KubeletConfiguration\nclusterDNS: [169.254.20.10]\n");
        for (command, expected, domain) in [
            ("/k --config=/c.yaml", &["10.96.0.10", "fd00::a"][..], "a.b"),
            ("/k --config=/c.yaml --config-dir=/d", &["169.254.20.10"], "a.b"),
            (
                "/k --config=/c.yaml --cluster-dns=10.0.0.1,10.0.0.2 --cluster-domain=x.y",
                &["10.0.0.1", "10.0.0.2"],
                "x.y",
            ),
            ("/k --cluster-dns 10.0.0.1 --cluster-dns=10.0.0.2", &["10.0.0.1", "10.0.0.2"], "cluster.local"),
        ] {
            let (servers, cluster_domain) = dns_of(command, &[MAIN, DROP_IN]).expect(command);
            assert_eq!(
                (servers, cluster_domain.as_str()),
                (expected.iter().map(ToString::to_string).collect(), domain),
                "{command}"
            );
        }
        for (command, files) in
            [("/k", &[][..]), ("/k --config=/c.yaml", &[("c.yaml", "kind: KubeletConfiguration\n")])]
        {
            let why = dns_of(command, files).expect_err(command);
            assert!(why.contains("packets.dns"), "{why}");
        }
        let why = cluster_dns(&Root::new(Path::new("/nowhere")), "kubelet.service").expect_err("no unit");
        assert!(why.contains("kubelet.service") && why.contains("packets.dns"), "{why}");
    }
}
