//! kubelet's credential as a connection needs it, in the forms of kubeadm (certificate files that kubelet rotates), EKS (a plugin)
//! and a token, in the file or beside it.
//!
//! Who could write one of these files could have watch run a program or believe a server of his. So each is held to the rule for files that
//! root runs ([`shim::host::trust`]), and so is the program that `exec` names ([`crate::host::program`]).
//!
//! All of it is read at once, so that a connection has one credential; [`ClientCredential::is_current`] says when there is another one.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use shim::host::file::read_bounded;
use shim::host::trust;
use types::command::problem::Problem;

use crate::publish::credential::plugin;
use crate::publish::error::{ErrorKind, Trouble};

/// Before a credential ends it is renewed: no request may be under way when it does.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(60);
/// Largest file of a credential, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A credential, ready to connect with.
pub(crate) struct ClientCredential {
    pub(crate) config: Config,
    /// The client certificate, PEM.
    pub(crate) certificate: Option<Vec<u8>>,
    /// When to get another one, where a plugin says until when it is good.
    renew: Option<Timestamp>,
    files: Vec<(PathBuf, Option<Stamp>)>,
}

impl ClientCredential {
    /// Whether what it was read from is as it was, and it has not ended.
    pub(crate) fn is_current(&self, now: Timestamp) -> bool {
        self.renew.is_none_or(|renew| now < renew)
            && self.files.iter().all(|(path, stamp)| Stamp::from_path(path) == *stamp)
    }
}

/// Which file it was that was read; rotation replaces it, or the link to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    changed_at: (i64, i64),
}

impl Stamp {
    fn from_path(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            changed_at: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// Reads the credential of a kubeconfig; may run its plugin, and waits for that.
///
/// # Errors
/// [`ErrorKind::NoCredential`] while a file of it is not there yet, [`ErrorKind::BadCredential`] otherwise; without anything of what is in
/// it.
pub(crate) async fn load(path: &Path) -> Result<ClientCredential, Trouble> {
    let bad = |why: &str| bad_file_trouble(path, why.into());
    let mut files = vec![(path.to_owned(), Stamp::from_path(path))];
    let none = || bad("is no kubeconfig; expected YAML or JSON with clusters, users and a current-context");
    let text = String::from_utf8(read(path)?).map_err(|_| none())?;
    let mut kubeconfig = Kubeconfig::from_yaml(&text).map_err(|_| none())?;
    resolve(&mut kubeconfig, path.parent().unwrap_or(Path::new("/")));
    // Files are stamped before they are read: what changes in between is noticed.
    for auth in kubeconfig.auth_infos.iter().filter_map(|named| named.auth_info.as_ref()) {
        for file in [&auth.client_certificate, &auth.client_key, &auth.token_file].into_iter().flatten() {
            files.push((file.into(), Stamp::from_path(Path::new(file))));
        }
    }
    for cluster in kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref()) {
        if let Some(file) = &cluster.certificate_authority {
            files.push((file.into(), Stamp::from_path(Path::new(file))));
        }
    }
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        if let (None, Some(file)) =
            (&cluster.certificate_authority_data, cluster.certificate_authority.take())
        {
            cluster.certificate_authority_data = Some(STANDARD.encode(read(Path::new(&file))?));
        }
    }
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| unusable_trouble(path, &error))?;
    if config.proxy_url.is_some() {
        return Err(bad("goes through a proxy; expected a server that is reached directly"));
    }
    if config.auth_info.auth_provider.is_some() {
        return Err(bad(
            "has an auth-provider, which kubelet no longer knows; expected a certificate, a token or exec",
        ));
    }
    let expires_at =
        plugin::resolve(&mut config.auth_info).map_err(|why| self::bad_file_trouble(path, why))?;
    let renew =
        expires_at.map(|expires_at| renew_at(Timestamp::now(), expires_at)).transpose().map_err(bad)?;
    let certificate = inline(&mut config.auth_info)?;
    Ok(ClientCredential { config, certificate, renew, files })
}

/// A kubeconfig with which no API server can be reached; a problem without a next step gets that of the file.
fn bad_file_trouble(path: &Path, why: Problem) -> Trouble {
    let (file, Problem { what, place, fix, .. }) = (path.display().to_string(), why);
    let fix = if fix.is_empty() {
        format!("correct {file}, or name another in node.json, kubelet.kubeconfig")
    } else {
        fix
    };
    let what = format!("kubeconfig {file}: {what}");
    let place = if place.is_empty() { file } else { place };
    Trouble::new(ErrorKind::BadCredential, Problem::new(what).with_place(place).fix(fix))
}

/// A minute before it ends, or when half of what is left is over: one that ends soon must not be asked for without a pause.
fn renew_at(now: Timestamp, expires_at: Timestamp) -> Result<Timestamp, &'static str> {
    let remaining = expires_at.duration_since(now);
    if remaining <= SignedDuration::ZERO {
        return Err(
            "credential plugin: gave a credential that has already ended; expected a clock that is right",
        );
    }
    Ok(expires_at - RENEW_BEFORE.min(remaining / 2))
}

/// Puts what the files hold in place of their names. Returns the certificate.
fn inline(auth: &mut AuthInfo) -> Result<Option<Vec<u8>>, Trouble> {
    let read = |path: &str| read(Path::new(path));
    if auth.client_certificate_data.is_none()
        && let Some(path) = &auth.client_certificate
    {
        auth.client_certificate_data = Some(STANDARD.encode(read(path)?));
    }
    if auth.client_key_data.is_none()
        && let Some(path) = &auth.client_key
    {
        auth.client_key_data = Some(STANDARD.encode(read(path)?).into());
    }
    if auth.token.is_none()
        && let Some(path) = &auth.token_file
    {
        let token = String::from_utf8(read(path)?).map_err(|_| {
            Trouble::new(
                ErrorKind::BadCredential,
                format!("token file {path}: expected text, found other bytes"),
            )
        })?;
        auth.token = Some(token.trim().into());
    }
    (auth.client_certificate, auth.client_key, auth.token_file) = (None, None, None);
    Ok(auth.client_certificate_data.as_ref().and_then(|data| STANDARD.decode(data.trim()).ok()))
}

/// A file of the credential; root's, and no other user may change it.
fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    let bad = |why: String| Trouble::new(ErrorKind::BadCredential, why);
    match trust::open(path) {
        Ok(mut file) => {
            read_bounded(&mut file, MAX_BYTES).map_err(|e| bad(format!("{}: {e}", path.display())))
        }
        Err(why) if why.is_absent() => {
            Err(Trouble::new(ErrorKind::NoCredential, format!("{} is not there yet", path.display())))
        }
        Err(why) => Err(bad(format!("{}, of kubelet's credential, is not trusted: {why}", path.display()))),
    }
}

/// Makes the paths in it absolute: they are relative to the kubeconfig's directory, and so is a plugin that is no plain name.
///
/// *Source*: client-go, `tools/clientcmd/loader.go`, `GetAuthInfoFileReferences`.
fn resolve(kubeconfig: &mut Kubeconfig, dir: &Path) {
    let absolute = |file: &mut Option<String>| {
        *file = file.take().map(|file| dir.join(file).to_string_lossy().into_owned());
    };
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        absolute(&mut cluster.certificate_authority);
    }
    for auth in kubeconfig.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        absolute(&mut auth.client_certificate);
        absolute(&mut auth.client_key);
        absolute(&mut auth.token_file);
        let plugin = auth.exec.as_mut().map(|exec| &mut exec.command);
        plugin.filter(|command| command.as_ref().is_some_and(|name| name.contains('/'))).map(absolute);
    }
}

/// What is wrong with a kubeconfig, in this program's words: a parser's may show what it parsed.
fn unusable_trouble(path: &Path, error: &KubeconfigError) -> Trouble {
    let what = match error {
        KubeconfigError::CurrentContextNotSet => "current-context: missing",
        KubeconfigError::LoadContext(_) => "current-context: names no context that is in it",
        KubeconfigError::LoadClusterOfContext(_) => "the current context names no cluster that is in it",
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "cluster.server: expected https://HOST:PORT"
        }
        KubeconfigError::LoadCertificateAuthority(_) | KubeconfigError::ParseCertificates(_) => {
            "the cluster's certificate authority: expected certificates in PEM"
        }
        _ => "cannot be used",
    };
    Trouble::new(ErrorKind::BadCredential, format!("kubeconfig {}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    /// Fails the test that finds it in an error.
    const CANARY: &str = "canary-77ab";

    fn load_now(path: &Path) -> Result<ClientCredential, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(load(path))
    }

    fn write(dir: &Path, user: &str) -> PathBuf {
        let path = dir.join("kubeconfig");
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{{"name":"c","context":{{"cluster":"k","user":"u"}}}}],
            "clusters":[{{"name":"k","cluster":{{"server":"https://192.0.2.1:6443"}}}}],"users":[{{"name":"u","user":{user}}}]}}"#
        );
        fs::write(&path, text).expect("kubeconfig");
        path
    }

    fn now() -> Timestamp {
        Timestamp::now()
    }

    #[test]
    fn certificate_files_relative_to_the_kubeconfig_and_their_rotation() {
        let dir = tempfile::tempdir().expect("scratch");
        let path = write(dir.path(), r#"{"client-certificate":"current.pem","client-key":"current.pem"}"#);
        let missing = load_now(&path).err().expect("no certificate yet");
        assert_eq!(missing.kind, ErrorKind::NoCredential, "{}", missing.why);
        fs::write(dir.path().join("1.pem"), "one").expect("certificate");
        fs::write(dir.path().join("2.pem"), "two").expect("certificate");
        let current = dir.path().join("current.pem");
        std::os::unix::fs::symlink("1.pem", &current).expect("link");
        let loaded = load_now(&path).expect("loaded");
        assert_eq!(loaded.certificate.as_deref(), Some(b"one".as_slice()));
        assert!(loaded.is_current(now()));
        fs::remove_file(&current).expect("rotation");
        std::os::unix::fs::symlink("2.pem", &current).expect("rotation");
        assert!(!loaded.is_current(now()));
        assert_eq!(load_now(&path).expect("loaded").certificate.as_deref(), Some(b"two".as_slice()));
    }

    #[test]
    fn tokens_inline_from_a_file_and_from_a_plugin_that_says_until_when() {
        let dir = tempfile::tempdir().expect("scratch");
        fs::write(dir.path().join("token"), "from-file\n").expect("token");
        let token = |user: &str| {
            let loaded = load_now(&write(dir.path(), user)).expect("loaded");
            let auth = serde_json::to_value(&loaded.config.auth_info).expect("JSON");
            (auth["token"].as_str().unwrap_or_default().to_owned(), loaded)
        };
        assert_eq!(token(r#"{"token":"inline"}"#).0, "inline");
        let (from_file, loaded) = token(r#"{"tokenFile":"token"}"#);
        assert_eq!(from_file, "from-file");
        fs::write(dir.path().join("token"), "another").expect("token");
        assert!(!loaded.is_current(now()));
        let given = r#"{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"given\",\"expirationTimestamp\":\"2030-01-01T00:00:00Z\"}}"#;
        let (given, loaded) = token(&format!(
            r#"{{"exec":{{"apiVersion":"client.authentication.k8s.io/v1","command":"/bin/echo","args":["{given}"]}}}}"#
        ));
        assert_eq!(given, "given");
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        assert!(loaded.is_current(time("2029-12-31T23:58:59Z")));
        assert!(!loaded.is_current(time("2029-12-31T23:59:00Z")));
    }

    #[test]
    fn one_that_ends_soon_is_used_for_half_of_what_is_left() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = time("2026-01-01T00:00:00Z");
        for (expires_at, renew) in [
            ("2026-01-01T00:15:00Z", Ok(time("2026-01-01T00:14:00Z"))),
            ("2026-01-01T00:01:00Z", Ok(time("2026-01-01T00:00:30Z"))),
            ("2026-01-01T00:00:02Z", Ok(time("2026-01-01T00:00:01Z"))),
            ("2026-01-01T00:00:00Z", Err(())),
            ("2020-01-01T00:00:00Z", Err(())),
        ] {
            assert_eq!(renew_at(now, time(expires_at)).map_err(drop), renew, "{expires_at}");
        }
    }

    #[test]
    fn a_file_that_others_could_change_is_refused_and_named() {
        let dir = tempfile::tempdir().expect("scratch");
        let path_of = |name: &str| dir.path().join(name);
        for (name, text) in [("cert.pem", "c"), ("key.pem", "k"), ("token", "t"), ("ca.pem", "a")] {
            fs::write(path_of(name), text).expect(name);
        }
        let given =
            r#"{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"given\"}}"#;
        fs::write(
            path_of("plugin"),
            format!("#!/bin/sh\ntouch {}\necho {given}\n", path_of("ran").display()),
        )
        .expect("plugin");
        fs::set_permissions(path_of("plugin"), fs::Permissions::from_mode(0o755)).expect("mode");
        let exec = r#"{"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"./plugin"}}"#;
        for (file, user) in [
            ("kubeconfig", r#"{"token":"t"}"#),
            ("cert.pem", r#"{"client-certificate":"cert.pem","client-key":"key.pem"}"#),
            ("key.pem", r#"{"client-certificate":"cert.pem","client-key":"key.pem"}"#),
            ("token", r#"{"tokenFile":"token"}"#),
            ("plugin", exec),
        ] {
            let path = write(dir.path(), user);
            let mode = path_of(file).metadata().expect(file).permissions().mode();
            for (wrong, word) in [(mode | 0o020, "writable by others"), (mode | 0o002, "writable by others")]
            {
                fs::set_permissions(path_of(file), fs::Permissions::from_mode(wrong)).expect("mode");
                let trouble = load_now(&path).err().expect(file);
                assert_eq!(trouble.kind, ErrorKind::BadCredential, "{}", trouble.why);
                let named = trouble.why.to_string().contains(path_of(file).to_str().expect("UTF-8"));
                assert!(named && trouble.why.to_string().contains(word), "{file}: {}", trouble.why);
            }
            fs::set_permissions(path_of(file), fs::Permissions::from_mode(mode)).expect("mode");
        }
        assert!(!path_of("ran").exists(), "a plugin that others could replace was run");
        let path = write(dir.path(), exec);
        load_now(&path).map_err(|trouble| trouble.why).expect("relative to the kubeconfig");
        assert!(path_of("ran").exists());
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("mode");
        assert_eq!(
            load_now(&path).err().expect("in a directory that other users may write").kind,
            ErrorKind::BadCredential
        );
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("mode");
    }

    #[test]
    fn nothing_of_what_is_in_it_gets_into_an_error() {
        let dir = tempfile::tempdir().expect("scratch");
        let path = dir.path().join("kubeconfig");
        for (text, kind) in [
            (format!("users: [{{token: {CANARY}"), ErrorKind::BadCredential),
            (format!("{CANARY}: {CANARY}"), ErrorKind::BadCredential),
            (format!("current-context: {CANARY}"), ErrorKind::BadCredential),
            (format!("- {CANARY}\n\t- {CANARY}"), ErrorKind::BadCredential),
        ] {
            fs::write(&path, &text).expect("kubeconfig");
            let trouble = load_now(&path).err().expect("refused");
            assert_eq!(trouble.kind, kind, "{text}");
            assert!(!trouble.why.to_string().contains(CANARY), "{}", trouble.why);
            assert!(trouble.why.to_string().contains(path.to_str().expect("UTF-8")), "{}", trouble.why);
        }
        fs::remove_file(&path).expect("removed");
        assert_eq!(load_now(&path).err().expect("absent").kind, ErrorKind::NoCredential);
        for user in [
            format!(r#"{{"auth-provider":{{"name":"{CANARY}","config":{{"access-token":"{CANARY}"}}}}}}"#),
            format!(
                r#"{{"exec":{{"apiVersion":"x","command":"/bin/true","env":[{{"name":"A","value":"{CANARY}"}}]}}}}"#
            ),
        ] {
            let trouble = load_now(&write(dir.path(), &user)).err().expect("refused");
            assert_eq!(trouble.kind, ErrorKind::BadCredential);
            assert!(!trouble.why.to_string().contains(CANARY), "{}", trouble.why);
        }
    }
}
