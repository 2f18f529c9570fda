//! The probes that only `watch` asks: those of the policy, and HTTPS and gRPC for the profiles that need them. All bounded.

use convergence::node::networks::ProbeAnswers;

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream};
use shim::node::probe::{Depth, all_hold_within, ask_any, is_2xx, request};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use types::policy::{Network, Probe, split_target};
use types::profile::{self, Profile, Profiles};

/// How long one HTTPS or gRPC probe may take: a handshake on a busy node is slower than a connect.
const WITHIN: Duration = Duration::from_secs(2);
/// How long a policy's own probes of one network may take together.
const LOCAL_WITHIN: Duration = Duration::from_secs(2);

/// Whether the policy waits for the file that `watch` keeps while all probes of the network hold.
#[must_use]
pub(crate) fn waits_for(network: &Network, marker: &Path) -> bool {
    network.probes().iter().any(|probe| is_marker(probe, marker))
}

fn is_marker(probe: &Probe, marker: &Path) -> bool {
    matches!(probe, Probe::File(path) if path == marker)
}

/// Asks all probes of a network. `marker` is the file that `watch` keeps while all of them hold. Where the policy waits for `marker`, the
/// profile's probes that a policy cannot express are among them.
#[must_use]
pub(crate) fn ask(network: &Network, marker: &Path, profiles: &Profiles) -> ProbeAnswers {
    let local = network.probes().iter().filter(|probe| !is_marker(probe, marker));
    let local: Vec<Probe> = local.cloned().collect();
    let waits = waits_for(network, marker);
    // Longer than an ADD waits: an agent that answers slowly on a busy node is still there.
    let local = all_hold_within(&local, Depth::All, LOCAL_WITHIN, Instant::now() + LOCAL_WITHIN);
    let profile = profiles.find(&network.profile).filter(|_| waits);
    let all = local.map_err(|red| red.to_string()).and_then(|()| profile.map_or(Ok(()), ask_profile));
    ProbeAnswers { marker: waits.then(|| all.clone()), all }
}

/// The probes of a profile to which an agent answers now, in words. A file may be left by an agent that is gone, and is not asked.
#[must_use]
pub(crate) fn answering(profile: &Profile) -> Vec<String> {
    let mut endpoints = Vec::new();
    for probe in &profile.probes {
        let (holds, words) = match probe {
            profile::Probe::File { .. } => continue,
            profile::Probe::Unix { unix: path } => (is_held(probe), path.display().to_string()),
            profile::Probe::Http { http: target, .. } => (is_held(probe), target.clone()),
            profile::Probe::Https { https: target } => (https(target).is_ok(), target.clone()),
            profile::Probe::Grpc { grpc: places } => (grpc(places).is_ok(), places.join(", ")),
        };
        endpoints.extend(holds.then_some(words));
    }
    endpoints
}

fn is_held(probe: &profile::Probe) -> bool {
    let probes: Vec<Probe> = probe.to_policy().into_iter().collect();
    !probes.is_empty()
        && all_hold_within(&probes, Depth::All, LOCAL_WITHIN, Instant::now() + LOCAL_WITHIN).is_ok()
}

/// What identifies the lives of the agent that answers: an agent that restarts makes its sockets anew.
#[must_use]
pub(crate) fn sockets(network: &Network) -> Vec<PathBuf> {
    let unix = |probe: &Probe| if let Probe::Unix(path) = probe { Some(path.clone()) } else { None };
    network.probes().iter().filter_map(unix).collect()
}

fn ask_profile(profile: &Profile) -> Result<(), String> {
    for probe in &profile.probes {
        match probe {
            profile::Probe::Https { https: target } => {
                https(target).map_err(|e| format!("GET https://{target}: {e}"))?;
            }
            profile::Probe::Grpc { grpc: places } => {
                grpc(places).map_err(|e| format!("gRPC health of {}: {e}", places.join(" or ")))?;
            }
            profile::Probe::Unix { .. } | profile::Probe::File { .. } | profile::Probe::Http { .. } => {}
        }
    }
    Ok(())
}

/// Asks one URL and wants 2xx. The certificate is the agent's own: it proves nothing, and nothing secret is said.
fn https(target: &str) -> Result<(), String> {
    let text = |e: &dyn Display| e.to_string();
    let (addresses, path) = split_target(target)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| text(&e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let config = Arc::new(config);
    let end = Instant::now() + WITHIN;
    ask_any(&addresses, end, |address, connected_by| {
        let name = ServerName::IpAddress(address.ip().into());
        let mut session = ClientConnection::new(Arc::clone(&config), name).map_err(io::Error::other)?;
        get(&mut session, (address, path), connected_by, end)
    })
    .map_err(|e| text(&e))
}

fn get(
    session: &mut ClientConnection,
    (address, path): (SocketAddr, &str),
    connected_by: Instant,
    end: Instant,
) -> io::Result<()> {
    let remaining = |end: Instant| match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        time_left => Ok(time_left),
    };
    let mut socket = TcpStream::connect_timeout(&address, remaining(connected_by)?)?;
    socket.set_write_timeout(Some(WITHIN))?;
    socket.set_read_timeout(Some(WITHIN))?;
    let mut stream = Stream::new(session, &mut socket);
    // In one record, not one for each piece.
    stream.write_all(request(address, path, &[]).as_bytes())?;
    is_2xx(|chunk| {
        remaining(end)?;
        stream.read(chunk)
    })
}

/// A verifier that accepts every certificate; see [`https`].
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Asks the standard health service for the whole server, at the first of `places` that takes a connection.
///
/// *Source*: grpc/grpc: `doc/health-checking.md`; the empty service name is the whole server.
fn grpc(places: &[String]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let answer = async {
            let mut last = String::from("no place is named");
            for place in places {
                match connect(place).await {
                    Ok(channel) => return serving(channel).await,
                    Err(why) => last = format!("connect to {place}: {why}"),
                }
            }
            Err(last)
        };
        let late = |_| Err(format!("no answer within {} s", WITHIN.as_secs()));
        tokio::time::timeout(WITHIN, answer).await.unwrap_or_else(late)
    })
}

async fn connect(place: &str) -> Result<Channel, String> {
    if !place.starts_with('/') {
        let address: SocketAddr = place.parse().map_err(|_| "expected an address and a port")?;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| e.to_string())?;
        return endpoint.connect().await.map_err(|e| innermost_text(&e));
    }
    let socket = PathBuf::from(place);
    // The address is never used: the connector knows the socket.
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await;
    channel.map_err(|e| innermost_text(&e))
}

async fn serving(channel: Channel) -> Result<(), String> {
    let question = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(question).await.map_err(|e| e.message().to_owned())?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(format!("{}, expected SERVING", other.as_str_name())),
    }
}

/// What a chain of errors ends in; its beginning only says that a transport failed.
fn innermost_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests;
