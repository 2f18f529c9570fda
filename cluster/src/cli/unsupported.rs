//! Flags of kubectl that this program does not have. Each of them is answered with a reason, since a user who types it expects something of it.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, Error};

const NAMESPACE: RefusedValue =
    RefusedValue("a migration is of the whole cluster, and so is each answer; leave the flag out");
const PASSWORD: RefusedValue = RefusedValue(
    "API servers have not accepted passwords since Kubernetes 1.19; use --token, --client-certificate or a kubeconfig",
);
const CACHE: RefusedValue = RefusedValue("nothing is cached between two calls; leave the flag out");
const VERSION: RefusedValue = RefusedValue(
    "this program has versions of its own; kubectl crossfade check --requirements checks those of the cluster",
);
const WARNINGS: RefusedValue = RefusedValue(
    "warnings of the API server are not read; kubectl crossfade check says what is wrong, by its exit status as well",
);
const PREFERENCES: RefusedValue =
    RefusedValue("kubectl's preferences hold for its own commands; leave the flag out");
const INSIDE: RefusedValue =
    RefusedValue("this flag is about the inside of kubectl; -v 6 names each request on stderr");

/// Flags that are refused wherever they stand.
#[derive(Debug, Clone, Default, Args)]
pub struct UnsupportedFlags {
    #[arg(long, short = 'n', global = true, hide = true, value_parser = NAMESPACE)]
    namespace: Option<String>,
    #[arg(long, short = 'A', global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = NAMESPACE)]
    all_namespaces: Option<String>,
    #[arg(long, global = true, hide = true, value_parser = PASSWORD)]
    username: Option<String>,
    #[arg(long, global = true, hide = true, value_parser = PASSWORD)]
    password: Option<String>,
    #[arg(long, global = true, hide = true, value_parser = CACHE)]
    cache_dir: Option<String>,
    #[arg(long, global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = VERSION)]
    match_server_version: Option<String>,
    #[arg(long, global = true, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = WARNINGS)]
    warnings_as_errors: Option<String>,
    #[arg(long, global = true, hide = true, value_parser = PREFERENCES)]
    kuberc: Option<String>,
    #[arg(long, global = true, hide = true, value_parser = INSIDE)]
    profile: Option<String>,
    #[arg(long, global = true, hide = true, value_parser = INSIDE)]
    profile_output: Option<String>,
    #[arg(long, global = true, hide = true, value_parser = INSIDE)]
    log_flush_frequency: Option<String>,
    #[arg(long, global = true, hide = true, value_parser = INSIDE)]
    vmodule: Option<String>,
}

/// Refuses every value for this reason, and does not repeat the value: it may be a password.
#[derive(Debug, Clone, Copy)]
struct RefusedValue(&'static str);

impl TypedValueParser for RefusedValue {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, _: &OsStr) -> Result<String, Error> {
        let flag = arg.and_then(Arg::get_long).unwrap_or_default();
        let what = format!("the flag --{flag} of kubectl is not supported: {}", self.0);
        Err(command.clone().error(ErrorKind::InvalidValue, what))
    }
}
