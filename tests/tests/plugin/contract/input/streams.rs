//! Standard streams that the caller closed.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use lab::standin::stub::Reply;

use crate::{
    case::{Case, rn, stub_new},
    trials,
};

trials![closed_streams_are_not_given_to_files, reply_that_no_runtime_reads_undoes_the_add];

/// The next file that is opened gets the lowest free number: were that stdout's, the reply would go into a file of state.
fn closed_streams_are_not_given_to_files() -> Result<()> {
    let case = Case::attach("new")?;
    let gate = case.gate("gate")?;
    let answer = rn("{netns}", "{ifname}");
    case.stubs.write("stub-new", &stub_new().on("ADD", Reply::json(&answer).behind(&gate)))?;
    let closing = ["sh", "-c", "exec \"$@\" >&- 2>&-", "closing"];
    let add = case.call("ADD").wrapped(&closing).spawn()?;
    case.stubs.log().wait_for("stub-new ADD eth0", 1)?;
    for stream in [1, 2] {
        let target = fs::read_link(format!("/proc/{}/fd/{stream}", add.pid()))?;
        ensure!(target == Path::new("/dev/null"), "stream {stream} is {}", target.display());
    }
    gate.open()?;
    add.wait()?.silent()?;
    case.del()?.silent()?;
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])?;
    case.expect_records(0)
}

/// The runtime calls an ADD without a reply a failure, and may never send its DEL.
fn reply_that_no_runtime_reads_undoes_the_add() -> Result<()> {
    let case = Case::attach("new")?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let mut add = Command::new(Case::program())
        .env_clear()
        .envs(case.environment("ADD"))
        .stdin(Stdio::piped())
        .stdout(writer)
        .spawn()?;
    add.stdin.take().context("stdin")?.write_all(case.shim.to_string().as_bytes())?;
    let status = add.wait()?;
    ensure!(status.code() == Some(1), "{status}");
    case.expect_calls(&["stub-new ADD eth0", "stub-new DEL eth0"])?;
    case.expect_records(0)
}
