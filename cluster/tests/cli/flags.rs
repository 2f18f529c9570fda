//! kubectl's own flags: what the API server sees of them, and which of them are refused.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::run::{run_in, stderr, stdout};

/// An API server without encryption, which knows its version and has no objects and no evictions. It hands out the head of each request.
fn server() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (heads, received) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let heads = heads.clone();
            thread::spawn(move || serve(&stream, &heads));
        }
    });
    (address, received)
}

fn answer(head: &str) -> (&'static str, &'static str) {
    if head.starts_with("get /version ") {
        return ("200 OK", r#"{"gitVersion":"v1.33.1"}"#);
    }
    if head.starts_with("get /api/v1 ") {
        return ("200 OK", r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[]}"#);
    }
    if head.starts_with("get /api/v1/") && head.contains("?limit=") {
        return ("200 OK", r#"{"kind":"List","apiVersion":"v1","metadata":{},"items":[]}"#);
    }
    let refusal = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":404,"reason":"NotFound","message":"no"}"#;
    ("404 Not Found", refusal)
}

fn serve(stream: &TcpStream, heads: &std::sync::mpsc::Sender<String>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if lines.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        lines.by_ref().take(length.unwrap_or(0)).read_to_end(&mut Vec::new())?;
        let (status, body) = answer(&head);
        let length = body.len();
        let kind = "Content-Type: application/json";
        // As one piece, which does not wait for the acknowledgement of another.
        let reply = format!("HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}");
        // The caller may be gone by now.
        let _ = heads.send(head);
        (&mut &*stream).write_all(reply.as_bytes())?;
    }
}

/// What the program says, and the heads of its requests, in lower case. Nothing but these arguments names a server.
pub(crate) fn output_and_requests(command: &str, arguments: &[&str]) -> (std::process::Output, Vec<String>) {
    let (address, received) = server();
    let dir = tempfile::tempdir().expect("a directory");
    let output = run_in(dir.path(), &[&[command, "--server", &address], arguments].concat());
    (output, received.try_iter().collect())
}

#[test]
fn the_api_server_sees_what_the_flags_say() {
    let (output, heads) = output_and_requests(
        "snapshot",
        &[
            "--token",
            "c4nary",
            "--as",
            "alice",
            "--as-group",
            "a",
            "--as-group",
            "b",
            "--as-uid",
            "7",
            "--as-user-extra",
            "scopes=view",
            "--disable-compression",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("v1.33.1"), "{}", stdout(&output));
    assert!(heads.len() > 3, "{heads:?}");
    for head in &heads {
        for line in [
            "impersonate-user: alice",
            "impersonate-group: a",
            "impersonate-group: b",
            "impersonate-uid: 7",
            "impersonate-extra-scopes: view",
        ] {
            assert!(head.lines().any(|item| item == line), "{line} is not in {head}");
        }
        assert!(!head.contains("gzip"), "{head}");
        // As with kubectl, any host on the way could read it.
        assert!(!head.contains("authorization:") && !head.contains("c4nary"), "{head}");
    }
    let (_, heads) = output_and_requests("snapshot", &[]);
    assert!(heads.iter().all(|head| head.contains("accept-encoding: gzip")), "{heads:?}");
}

#[test]
fn requests_are_named_from_level_six_on_and_no_secret_is_among_them() {
    for (level, is_named) in [("-v=5", false), ("-v6", true), ("--v=9", true)] {
        let (output, _) = output_and_requests("snapshot", &["--token", "c4nary", level]);
        let text = stderr(&output);
        let is_version =
            |line: &str| line.starts_with("GET http://127.0.0.1:") && line.contains("/version 200 in ");
        assert_eq!(text.lines().any(is_version), is_named, "{level}: {text}");
        assert_eq!(text.contains("/api/v1/nodes?limit=500 200 in "), is_named, "{level}: {text}");
        assert!(!text.to_ascii_lowercase().contains("c4nary"), "{text}");
    }
}

#[test]
fn flags_of_kubectl_that_have_no_meaning_here_are_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    for (arguments, flag, reason) in [
        (&["-n", "web"][..], "--namespace", "the whole cluster"),
        (&["--namespace=web"], "--namespace", "the whole cluster"),
        (&["-A"], "--all-namespaces", "the whole cluster"),
        (&["--all-namespaces=true"], "--all-namespaces", "the whole cluster"),
        (&["--username", "alice"], "--username", "--token"),
        (&["--password", "c4nary"], "--password", "--token"),
        (&["--cache-dir", "x"], "--cache-dir", "cached"),
        (&["--match-server-version"], "--match-server-version", "requirements"),
        (&["--match-server-version=false"], "--match-server-version", "requirements"),
        (&["--warnings-as-errors"], "--warnings-as-errors", "exit status"),
        (&["--kuberc", "x"], "--kuberc", "preferences"),
        (&["--profile", "cpu"], "--profile", "-v 6"),
        (&["--vmodule", "x=1"], "--vmodule", "-v 6"),
        (&["--client-key", "x"], "--client-certificate", "required"),
        (&["--as-group", "x"], "--as", "required"),
        (&["--as", "x", "--as-user-extra", "y"], "--as-user-extra", "KEY=VALUE"),
        (&["--request-timeout", "soon"], "--request-timeout", "30s"),
    ] {
        let output = run_in(dir.path(), &[&["snapshot"], arguments].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(flag) && text.contains(reason), "{arguments:?}: {text}");
        assert!(!text.contains("c4nary"), "{text}");
    }
}

/// kubectl reads `--flag` and `--flag=true` alike.
#[test]
fn switches_may_be_given_a_value() {
    for value in ["", "=true", "=false"] {
        let (output, _) = output_and_requests(
            "snapshot",
            &[&format!("--insecure-skip-tls-verify{value}"), &format!("--disable-compression{value}")],
        );
        assert_eq!(output.status.code(), Some(0), "{value}: {}", stderr(&output));
    }
}
