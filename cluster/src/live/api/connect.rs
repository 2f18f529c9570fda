//! A client from a kubeconfig and kubectl's flags.

mod direct;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::Scheme;
use kube::client::ClientBuilder;
use kube::config::{
    AuthInfo, Cluster, Config, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use kube::{Client, Error};
use types::command::problem::Problem;

pub(in crate::live) use direct::RequestGuard;

use crate::cli::access::Access;
use crate::live::api::error;
use crate::live::api::request_log::RequestLog;

/// The name of the cluster in which this program runs as a pod.
const IN_CLUSTER: &str = "in-cluster";
/// How long one request may take unless the operator says otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Makes a client. It connects with the first request.
///
/// # Errors
/// The kubeconfig is missing or invalid.
pub(in crate::live) async fn connect(access: &Access) -> Result<Client, Problem> {
    let within = access.request_timeout.unwrap_or(ANSWER_WITHIN);
    client(access, (!within.is_zero()).then_some(within)).await
}

/// The same for requests that stay open: who makes them says how long they may be silent.
///
/// # Errors
/// The kubeconfig is missing or invalid.
pub(in crate::live) async fn connect_for_ever(access: &Access) -> Result<Client, Problem> {
    client(access, None).await
}

async fn client(access: &Access, within: Option<Duration>) -> Result<Client, Problem> {
    let mut config = configure(access).await.map_err(|why| {
        Problem::new(format!("kubeconfig: {why}"))
            .with_place(place(access))
            .fix("name a kubeconfig and context that kubectl works with: --kubeconfig FILE --context NAME")
    })?;
    // The library retries whatever fails, and does not say so.
    config.default_retry = false;
    config.read_timeout = within;
    config.reset_reader_on_write = true;
    let request_log = access.log.map(|tell| RequestLog::new(&config.cluster_url, tell));
    let builder = match config.proxy_url {
        None => direct::builder(&config),
        Some(_) => ClientBuilder::try_from(config),
    };
    let builder = builder.map_err(|e| credential(access, &e))?;
    Ok(match request_log {
        Some(request_log) => builder.with_layer(&request_log).build(),
        None => builder.build(),
    })
}

fn credential(access: &Access, e: &Error) -> Problem {
    Problem::new(format!("the credential cannot be used: {}", error::chain(e)))
        .with_place(place(access))
        .fix("correct the kubeconfig; kubectl get nodes must work with it")
}

fn place(access: &Access) -> String {
    access.kubeconfig.as_ref().map_or_else(|| "$KUBECONFIG".into(), |file| file.display().to_string())
}

/// The name that the kubeconfig gives the cluster; [`IN_CLUSTER`] where there is no kubeconfig, as in a pod.
#[must_use]
pub(crate) fn cluster_name(access: &Access) -> String {
    let kubeconfig = match &access.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let of_context = || {
        let kubeconfig = kubeconfig.ok()?;
        let name = access.context.clone().or(kubeconfig.current_context)?;
        let context = kubeconfig.contexts.into_iter().find(|context| context.name == name)?;
        Some(context.context?.cluster)
    };
    access.cluster.clone().or_else(of_context).unwrap_or_else(|| IN_CLUSTER.to_owned())
}

async fn configure(access: &Access) -> Result<Config, String> {
    let is_empty = access.kubeconfig.is_none() && access.context.is_none() && access.server.is_none();
    let kubeconfig = match &access.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let mut kubeconfig = match kubeconfig {
        Ok(kubeconfig) => kubeconfig,
        // As for kubectl, an address suffices where nothing else is named.
        Err(_) if access.server.is_some() && access.kubeconfig.is_none() && access.context.is_none() => {
            without_file()
        }
        // In a pod, kubectl uses the pod's service account.
        Err(e) => {
            let pod = is_empty.then(Config::incluster).and_then(Result::ok);
            return pod.ok_or_else(|| error::chain(&e));
        }
    };
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        override_cluster(access, cluster);
    }
    for user in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        override_user(access, user);
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
        let mut extra: HashMap<String, Vec<String>> = HashMap::new();
        for (key, value) in &access.act_as_extra {
            extra.entry(key.clone()).or_default().push(value.clone());
        }
        who.impersonate_user_extra = (!extra.is_empty()).then_some(extra);
    }
    config.disable_compression |= access.disable_compression;
    if config.cluster_url.scheme() != Some(&Scheme::HTTPS) {
        config.auth_info = without_credential(config.auth_info);
    }
    Ok(config)
}

/// Whom to act for, without a credential. Over a connection without encryption, kubectl sends none and starts no plugin that would make one.
///
/// *Source*: kubernetes/client-go, `tools/clientcmd/client_config.go`, `DirectClientConfig.ClientConfig`.
fn without_credential(user: AuthInfo) -> AuthInfo {
    AuthInfo {
        impersonate: user.impersonate,
        impersonate_uid: user.impersonate_uid,
        impersonate_groups: user.impersonate_groups,
        impersonate_user_extra: user.impersonate_user_extra,
        ..AuthInfo::default()
    }
}

/// A kubeconfig of which flags say everything.
fn without_file() -> Kubeconfig {
    let name = || "flags".to_owned();
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: name(),
            cluster: Some(Cluster::default()),
            ..Default::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: name(),
            auth_info: Some(AuthInfo::default()),
            ..Default::default()
        }],
        contexts: vec![NamedContext {
            name: name(),
            context: Some(Context { cluster: name(), user: Some(name()), ..Default::default() }),
            ..Default::default()
        }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    }
}

/// Flags win over the file, in whichever cluster the context names.
fn override_cluster(access: &Access, cluster: &mut Cluster) {
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

/// A credential of the command line takes the place of those of the file: with two of them, it would be open which one the API server sees.
fn override_user(access: &Access, user: &mut AuthInfo) {
    if access.token.is_none() && access.client_certificate.is_none() {
        return;
    }
    let path = |file: &PathBuf| file.display().to_string();
    *user = AuthInfo {
        token: access.token.as_ref().map(|token| token.expose().to_owned().into()),
        client_certificate: access.client_certificate.as_ref().map(path),
        client_key: access.client_key.as_ref().map(path),
        impersonate: user.impersonate.take(),
        impersonate_uid: user.impersonate_uid.take(),
        impersonate_groups: user.impersonate_groups.take(),
        impersonate_user_extra: user.impersonate_user_extra.take(),
        ..AuthInfo::default()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_goes_over_a_connection_that_anybody_can_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("config");
        let exec =
            "exec: {apiVersion: client.authentication.k8s.io/v1, command: /nowhere, interactiveMode: Never}";
        let users = ["token: secret", "tokenFile: /nowhere", "username: a, password: secret", exec];
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for (server, is_kept) in [("http://127.0.0.1:1", false), ("https://127.0.0.1:1", true)] {
            for user in users {
                let text = format!(
                    "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
                     users: [{{name: u, user: {{as: alice, {user}}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
                );
                std::fs::write(&file, text).expect("written");
                let access = Access { kubeconfig: Some(file.clone()), ..Access::default() };
                let credential = runtime.block_on(configure(&access)).expect("a configuration").auth_info;
                let presence = [
                    credential.token.is_some(),
                    credential.token_file.is_some(),
                    credential.username.is_some(),
                    credential.password.is_some(),
                    credential.exec.is_some(),
                ];
                assert_eq!(presence.contains(&true), is_kept, "{server} {user}");
                assert_eq!(credential.impersonate.as_deref(), Some("alice"), "{server} {user}");
            }
        }
        let access = Access {
            server: Some("http://127.0.0.1:1".into()),
            token: Some("secret".into()),
            kubeconfig: Some(file),
            ..Access::default()
        };
        assert!(runtime.block_on(configure(&access)).expect("a configuration").auth_info.token.is_none());
    }

    #[test]
    fn a_credential_of_the_command_line_takes_the_place_of_the_files() {
        let file = || AuthInfo {
            token_file: Some("/var/run/token".into()),
            client_certificate_data: Some("data".into()),
            impersonate: Some("alice".into()),
            ..AuthInfo::default()
        };
        let with = |access: &Access| {
            let mut user = file();
            override_user(access, &mut user);
            user
        };
        assert_eq!(with(&Access::default()).token_file, file().token_file);
        let user = with(&Access { token: Some("t".into()), ..Access::default() });
        assert!(user.token.is_some() && user.token_file.is_none() && user.client_certificate_data.is_none());
        assert_eq!(user.impersonate.as_deref(), Some("alice"));
        let access = Access {
            client_certificate: Some("c".into()),
            client_key: Some("k".into()),
            ..Access::default()
        };
        let user = with(&access);
        assert_eq!((user.client_certificate.as_deref(), user.client_key.as_deref()), (Some("c"), Some("k")));
        assert!(user.token_file.is_none() && user.client_certificate_data.is_none());
    }
}
