//! Readiness probes: what they lead to may be hostile or broken, and none of it keeps the shim.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::symlink, net::UnixListener},
    thread,
};

use anyhow::{Result, ensure};
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::{Value, json};

use crate::{case::Case, files::device, trials};

trials![
    unix_probe_of_what_is_no_socket_is_red,
    unix_probe_follows_a_link_to_a_socket,
    file_probe_of_what_is_no_file_is_red,
    http_probe_of_a_slow_server_is_bounded,
    http_probe_of_a_flood_is_bounded,
];

fn set_probe(case: &Case, probe: &Value) -> Result<()> {
    case.change_policy(|policy| policy["networks"]["new"]["ready"] = json!([probe]))
}

/// A path that no socket address can hold is reported like any other at which no program listens.
fn unix_probe_of_what_is_no_socket_is_red() -> Result<()> {
    let case = Case::attach("new")?;
    let (fifo, zero, file) = (case.path("fifo"), case.path("zero"), case.path("file"));
    mkfifo(&fifo, Mode::from_bits_truncate(0o600))?;
    device(&zero)?;
    fs::write(&file, "")?;
    for path in [case.path(&"long/".repeat(40)), fifo, zero, file, case.path("")] {
        set_probe(&case, &json!({"unix": path}))?;
        let refusal = case.add()?.refused(11)?;
        ensure!(refusal.text().contains("connect to unix socket"), "{refusal:?}");
    }
    case.expect_calls(&[])
}

/// A user who may replace the link may as well listen: a probe says when to begin, not what to run.
fn unix_probe_follows_a_link_to_a_socket() -> Result<()> {
    let case = Case::attach("new")?;
    let (real, link) = (case.path("real.sock"), case.path("link.sock"));
    let _listener = UnixListener::bind(&real)?;
    symlink(&real, &link)?;
    set_probe(&case, &json!({"unix": link}))?;
    case.add()?.result()?;
    case.del()?.silent()
}

/// It is looked at and not opened.
fn file_probe_of_what_is_no_file_is_red() -> Result<()> {
    let case = Case::attach("new")?;
    let (fifo, zero) = (case.path("fifo"), case.path("zero"));
    mkfifo(&fifo, Mode::from_bits_truncate(0o600))?;
    device(&zero)?;
    for path in [fifo, zero, case.path("")] {
        set_probe(&case, &json!({"file": path}))?;
        case.add()?.refused(11)?;
    }
    case.expect_calls(&[])
}

/// A server on loopback that serves each connection so.
fn server(serve: fn(TcpStream)) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn status_of(serve: fn(TcpStream)) -> Result<()> {
    let mut case = Case::attach("new")?;
    case.shim["cniVersion"] = json!("1.1.0");
    let address = server(serve)?;
    set_probe(&case, &json!({"http": format!("{address}/healthz")}))?;
    let outcome = case.call("STATUS").run()?;
    let refusal = outcome.refused(50)?;
    ensure!(refusal.text().contains("healthz"), "{refusal:?}");
    ensure!(
        outcome.stdout.len() < 4096,
        "what the server said is not passed on: {} bytes",
        outcome.stdout.len()
    );
    Ok(())
}

/// One byte whenever the last one was taken, and never a whole line; or nothing at all.
fn http_probe_of_a_slow_server_is_bounded() -> Result<()> {
    status_of(|mut stream| {
        // For ever, as far as the client goes.
        while stream.read(&mut [0; 16]).is_ok_and(|read| read > 0) {}
    })?;
    status_of(|mut stream| {
        let _asked = stream.read(&mut [0; 16]);
        while stream.write_all(b"H").is_ok() {
            thread::park_timeout(std::time::Duration::from_millis(50));
        }
    })
}

/// A header without an end, as fast as it goes.
fn http_probe_of_a_flood_is_bounded() -> Result<()> {
    // What follows the status is not waited for.
    let mut case = Case::attach("new")?;
    case.shim["cniVersion"] = json!("1.1.0");
    let address = server(|mut stream| {
        let _ok = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
    })?;
    set_probe(&case, &json!({"http": format!("{address}/healthz")}))?;
    case.call("STATUS").run()?.silent()?;
    status_of(|mut stream| while stream.write_all(&[b'x'; 1 << 16]).is_ok() {})?;
    status_of(|mut stream| {
        let _ok = stream.write_all(b"HTTP/1.1 500 x\r\n");
        while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
    })
}
