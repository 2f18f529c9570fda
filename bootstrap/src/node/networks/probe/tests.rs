use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic_health::ServingStatus as Set;

use super::*;

/// Answers one request over TLS, with a certificate that no authority has signed.
fn page(place: &str, answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
    let pair = rcgen::generate_simple_self_signed(["another-host".to_owned()]).expect("certificate");
    let key = pair.signing_key.serialize_der().try_into().expect("key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .expect("config");
    let listener = TcpListener::bind(place).expect("bind");
    let address = listener.local_addr().expect("address");
    let serve = move || {
        let (socket, _) = listener.accept().expect("accept");
        let session = ServerConnection::new(Arc::new(config)).expect("session");
        let mut stream = StreamOwned::new(session, socket);
        let (mut request, mut piece) = (Vec::new(), [0; 512]);
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut piece).expect("request");
            assert!(read > 0, "it ends in mid-request");
            request.extend_from_slice(&piece[..read]);
        }
        stream.write_all(answer.as_bytes()).expect("answer");
        stream.conn.send_close_notify();
        let _ = stream.flush();
        String::from_utf8_lossy(&request).into_owned()
    };
    (address, std::thread::spawn(serve))
}

#[test]
fn an_https_probe_wants_2xx_and_takes_any_certificate() {
    for (answer, good) in
        [("HTTP/1.1 200 OK\r\n\r\nok", true), ("HTTP/1.1 500 x\r\n\r\n", false), ("x", false)]
    {
        let (address, server) = page("127.0.0.1:0", answer);
        assert_eq!(https(&format!("{address}/readyz")).is_ok(), good, "{answer:?}");
        assert!(server.join().expect("server").starts_with("GET /readyz HTTP/1.1\r\n"));
    }
    let closed = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
    assert!(https(&format!("{closed}/readyz")).is_err());
}

#[test]
fn an_https_probe_of_localhost_is_asked_in_both_families() {
    for place in ["127.0.0.1:0", "[::1]:0"] {
        let (address, server) = page(place, "HTTP/1.1 200 OK\r\n\r\nok");
        https(&format!("localhost:{}/readyz", address.port())).expect(place);
        assert!(server.join().expect("server").contains(&format!("Host: {address}\r\n")));
    }
}

#[test]
fn a_grpc_probe_asks_the_first_place_that_takes_a_connection() {
    let dir = tempfile::tempdir().expect("scratch");
    let socket = dir.path().join("health.sock");
    let places =
        [dir.path().join("absent.sock"), socket.clone()].map(|path| path.to_string_lossy().into_owned());
    assert!(grpc(&places).expect_err("nothing listens").contains("connect to"));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let (reporter, service) = tonic_health::server::health_reporter();
    let server = runtime();
    // It ends with the test program.
    std::thread::spawn(move || {
        server.block_on(async move {
            let incoming = UnixListenerStream::new(UnixListener::bind(&socket).expect("bind"));
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await
        })
    });
    let end = Instant::now() + Duration::from_secs(60);
    while let Err(why) = grpc(&places) {
        assert!(Instant::now() < end, "{why}");
    }
    runtime().block_on(reporter.set_service_status("", Set::NotServing));
    assert!(grpc(&places).expect_err("not serving").contains("NOT_SERVING"));
    assert!(grpc(&["127.0.0.1".to_owned()]).expect_err("no port").contains("expected an address"));
}

#[test]
fn the_marker_is_kept_by_all_probes_but_itself() {
    let dir = tempfile::tempdir().expect("scratch");
    let marker = dir.path().join("new");
    let mut network = Network {
        profile: "generic".into(),
        conf: vec!["/n".into()],
        cidrs: vec![],
        ready: Some(vec![Probe::File(marker.clone())]),
        secondary: None,
        join: None,
    };
    assert_eq!(
        ask(&network, &marker, Profiles::built_in()),
        ProbeAnswers { all: Ok(()), marker: Some(Ok(())) }
    );
    network.ready = Some(vec![Probe::File(marker.clone()), Probe::File(dir.path().join("absent"))]);
    let answers = ask(&network, &marker, Profiles::built_in());
    assert!(answers.all.is_err() && answers.marker == Some(answers.all.clone()), "{answers:?}");
    network.ready = Some(vec![Probe::File(dir.path().join("absent"))]);
    assert!(ask(&network, &marker, Profiles::built_in()).marker.is_none());
    network.ready = None;
    assert_eq!(ask(&network, &marker, Profiles::built_in()), ProbeAnswers { all: Ok(()), marker: None });
}
