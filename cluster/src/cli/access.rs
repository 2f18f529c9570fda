//! kubectl's flags for the API server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// The heading of these options.
const CLUSTER: &str = "Cluster (as in kubectl)";

/// How to reach the API server, by kubectl's names.
#[derive(Debug, Clone, Default, Args)]
pub struct Access {
    /// The kubeconfig file [default: $KUBECONFIG, else ~/.kube/config].
    #[arg(long, global = true, value_name = "FILE", help_heading = CLUSTER)]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub context: Option<String>,
    /// The cluster of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub cluster: Option<String>,
    /// The user of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub user: Option<String>,
    /// The user to act as.
    #[arg(long = "as", global = true, value_name = "USER", help_heading = CLUSTER)]
    pub act_as: Option<String>,
    /// A group to act as. Repeat it for several groups.
    #[arg(long = "as-group", global = true, value_name = "GROUP", requires = "act_as", help_heading = CLUSTER)]
    pub act_as_groups: Vec<String>,
    /// The UID to act as.
    #[arg(long = "as-uid", global = true, value_name = "UID", requires = "act_as", help_heading = CLUSTER)]
    pub act_as_uid: Option<String>,
    /// The address of the API server.
    #[arg(long, global = true, value_name = "URL", help_heading = CLUSTER)]
    pub server: Option<String>,
    /// A file with the certificate authority of the API server.
    #[arg(long, global = true, value_name = "FILE", help_heading = CLUSTER)]
    pub certificate_authority: Option<PathBuf>,
    /// The name in the certificate of the API server.
    #[arg(long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub tls_server_name: Option<String>,
    /// Do not check the certificate of the API server.
    #[arg(long, global = true, help_heading = CLUSTER)]
    pub insecure_skip_tls_verify: bool,
    /// How long one request may take, such as 30s or 2m; 0 means for ever [default: 60s].
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, help_heading = CLUSTER)]
    pub request_timeout: Option<Duration>,
}

/// Reads `30s`, `2m`, `1h`, or a number of seconds, as kubectl does.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, factor) = match text.as_bytes().last() {
        Some(b'h') => (&text[..text.len() - 1], 3600),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b's') => (&text[..text.len() - 1], 1),
        _ => (text, 1),
    };
    let seconds: Option<u64> = number.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    seconds.map(Duration::from_secs).ok_or_else(|| "expected a time such as 30s, 2m or 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_kubectl_reads_them() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("2m", Some(120)),
            ("1h", Some(3600)),
            ("0", Some(0)),
            ("x", None),
            ("", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text).ok(), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
