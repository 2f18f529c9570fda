//! A client from a kubeconfig and kubectl's flags.

use std::time::Duration;

use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, Error};
use types::problem::Problem;

use super::error;
use crate::cli::access::Access;

/// How long one request may take unless the operator says otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Makes a client. It connects with the first request.
///
/// # Errors
/// The kubeconfig is missing or invalid.
pub(super) async fn connect(access: &Access) -> Result<Client, Problem> {
    let within = access.request_timeout.unwrap_or(ANSWER_WITHIN);
    client(access, (!within.is_zero()).then_some(within)).await
}

/// The same for requests that stay open: who makes them says how long they may be silent.
///
/// # Errors
/// The kubeconfig is missing or invalid.
pub(super) async fn connect_for_ever(access: &Access) -> Result<Client, Problem> {
    client(access, None).await
}

async fn client(access: &Access, within: Option<Duration>) -> Result<Client, Problem> {
    let mut config = configured(access).await.map_err(|why| {
        Problem::new(format!("kubeconfig: {why}"))
            .at(place(access))
            .fix("name a kubeconfig and context that kubectl works with: --kubeconfig FILE --context NAME")
    })?;
    // The library retries whatever fails, and does not say so.
    config.default_retry = false;
    config.read_timeout = within;
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|e| credential(access, &e))
}

fn credential(access: &Access, e: &Error) -> Problem {
    Problem::new(format!("the credential cannot be used: {}", error::chain(e)))
        .at(place(access))
        .fix("correct the kubeconfig; kubectl get nodes must work with it")
}

fn place(access: &Access) -> String {
    access.kubeconfig.as_ref().map_or_else(|| "$KUBECONFIG".into(), |file| file.display().to_string())
}

async fn configured(access: &Access) -> Result<Config, String> {
    let says_nothing = access.kubeconfig.is_none() && access.context.is_none();
    let kubeconfig = match &access.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let mut kubeconfig = match kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        // In a pod, kubectl uses the pod's service account.
        Err(e) => {
            let pod = says_nothing.then(Config::incluster).and_then(Result::ok);
            return pod.ok_or_else(|| error::chain(&e));
        }
    };
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        override_cluster(access, cluster);
    }
    let options = KubeConfigOptions {
        context: access.context.clone(),
        cluster: access.cluster.clone(),
        user: access.user.clone(),
    };
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| error::chain(&e))?;
    let who = &mut config.auth_info;
    if access.act_as.is_some() {
        who.impersonate.clone_from(&access.act_as);
        who.impersonate_groups = (!access.act_as_groups.is_empty()).then(|| access.act_as_groups.clone());
        who.impersonate_uid.clone_from(&access.act_as_uid);
    }
    Ok(config)
}

/// Flags win over the file, in whichever cluster the context names.
fn override_cluster(access: &Access, cluster: &mut kube::config::Cluster) {
    if access.server.is_some() {
        cluster.server.clone_from(&access.server);
    }
    if access.tls_server_name.is_some() {
        cluster.tls_server_name.clone_from(&access.tls_server_name);
    }
    if let Some(file) = &access.certificate_authority {
        cluster.certificate_authority = Some(file.display().to_string());
        cluster.certificate_authority_data = None;
    }
    if access.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
    }
}
