//! kubectl's flags for the API server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use types::text::quote::shell_word;

use super::unsupported::UnsupportedFlags;

/// The heading of these options.
const CLUSTER: &str = "Cluster (as in kubectl)";

/// From this level on, kubectl says which requests it makes.
const REQUESTS: u8 = 6;

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
    /// Something else that is known of the user to act as. Repeat it for several values.
    #[arg(long = "as-user-extra", global = true, value_name = "KEY=VALUE", value_parser = pair, requires = "act_as", help_heading = CLUSTER)]
    pub act_as_extra: Vec<(String, String)>,
    /// The address of the API server.
    #[arg(long, short = 's', global = true, value_name = "URL", help_heading = CLUSTER)]
    pub server: Option<String>,
    /// A bearer token for the API server. Other users of this machine can read it in the list of processes.
    #[arg(long, global = true, value_name = "TOKEN", help_heading = CLUSTER)]
    pub token: Option<Token>,
    /// A file with your certificate.
    #[arg(long, global = true, value_name = "FILE", requires = "client_key", help_heading = CLUSTER)]
    pub client_certificate: Option<PathBuf>,
    /// A file with the key of your certificate.
    #[arg(long, global = true, value_name = "FILE", requires = "client_certificate", help_heading = CLUSTER)]
    pub client_key: Option<PathBuf>,
    /// A file with the certificate authority of the API server.
    #[arg(long, global = true, value_name = "FILE", help_heading = CLUSTER)]
    pub certificate_authority: Option<PathBuf>,
    /// The name in the certificate of the API server.
    #[arg(long, global = true, value_name = "NAME", help_heading = CLUSTER)]
    pub tls_server_name: Option<String>,
    /// Do not check the certificate of the API server.
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = ArgAction::Set, default_value_t = false, hide_default_value = true, hide_possible_values = true, help_heading = CLUSTER)]
    pub insecure_skip_tls_verify: bool,
    /// Ask the API server for answers that are not compressed.
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        action = ArgAction::Set, default_value_t = false, hide_default_value = true, hide_possible_values = true, help_heading = CLUSTER)]
    pub disable_compression: bool,
    /// How long one request may take, such as 30s or 2m; 0 means for ever [default: 60s].
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, help_heading = CLUSTER)]
    pub request_timeout: Option<Duration>,
    /// From 6 on, name each request on stderr, with its status and how long it took. Headers and bodies are never shown: they may hold secrets.
    #[arg(long = "v", short = 'v', global = true, value_name = "LEVEL", default_value_t = 0, hide_default_value = true, help_heading = CLUSTER)]
    pub verbosity: u8,
    /// What the parser refuses.
    #[command(flatten)]
    pub unsupported: UnsupportedFlags,
    /// What logs requests; none if they are not to be logged.
    #[arg(skip)]
    pub log: Option<fn(&str)>,
}

impl Access {
    /// Logs requests, if the level of verbosity asks for it.
    pub fn log_requests(&mut self, tell: fn(&str)) {
        self.log = (self.verbosity >= REQUESTS).then_some(tell);
    }

    /// The flags of this call that say which cluster it is and as whom, for a command to call next: ` --context NAME`. Without a token, and without what only
    /// says how to connect.
    #[must_use]
    pub fn flags(&self) -> String {
        let file = self.kubeconfig.as_deref().map(|file| file.to_string_lossy().into_owned());
        let single = [
            ("--kubeconfig", &file),
            ("--context", &self.context),
            ("--cluster", &self.cluster),
            ("--user", &self.user),
            ("--as", &self.act_as),
            ("--as-uid", &self.act_as_uid),
            ("--server", &self.server),
        ];
        let single = single.into_iter().filter_map(|(flag, value)| Some((flag, value.clone()?)));
        let groups = self.act_as_groups.iter().map(|group| ("--as-group", group.clone()));
        let extra =
            self.act_as_extra.iter().map(|(key, value)| ("--as-user-extra", format!("{key}={value}")));
        single
            .chain(groups)
            .chain(extra)
            .map(|(flag, value)| format!(" {flag} {}", shell_word(&value)))
            .collect()
    }
}

/// A bearer token, which is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself, for the client alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Reads `30s`, `1m30s`, `500ms`, or a number of seconds, as kubectl does.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = || text.parse().ok().map(Duration::from_secs);
    let named = || text.parse::<jiff::SignedDuration>().ok().and_then(|time| time.try_into().ok());
    seconds().or_else(named).ok_or_else(|| "expected a time such as 30s, 1m30s or 0".into())
}

/// Reads `key=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_kubectl_reads_them() {
        for (text, milliseconds) in [
            ("30s", Some(30_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("0", Some(0)),
            ("15", Some(15_000)),
            ("-1s", None),
            ("x", None),
            ("", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text).ok(), milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_command_to_call_next_goes_to_the_cluster_of_this_call() {
        assert_eq!(Access::default().flags(), "");
        let access = Access {
            kubeconfig: Some("a b".into()),
            context: Some("blue".into()),
            act_as: Some("alice".into()),
            act_as_groups: vec!["g".into(), "h".into()],
            act_as_extra: vec![("k".into(), "v".into())],
            token: Some("c4nary".into()),
            ..Access::default()
        };
        let expected =
            " --kubeconfig 'a b' --context blue --as alice --as-group g --as-group h --as-user-extra k=v";
        assert_eq!(access.flags(), expected);
    }

    #[test]
    fn a_token_is_not_in_what_is_printed_for_a_programmer() {
        let access = Access { token: Some("c4nary".into()), ..Access::default() };
        assert!(!format!("{access:?}").contains("c4nary"));
    }
}
