//! Files that were being written when the shim was killed.

use anyhow::{Context, Result, ensure};
use lab::runtime::caller::Plugin;

use crate::{case::Case, trials};

trials![
    killed_as_it_writes_its_record_leaves_no_file,
    record_is_written_where_files_without_names_are_unknown_or_cannot_be_linked,
];

/// A call of which strace traces these system calls and does this to one of them.
fn injected(case: &Case, verb: &str, path: Option<&str>, injection: &str) -> Plugin {
    let name = injection.split(':').next().unwrap_or_default();
    let (trace, inject) = (format!("trace={name}"), format!("inject={injection}"));
    let mut strace = vec!["strace", "-D", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    strace.extend(path.into_iter().flat_map(|path| ["-P", path]));
    case.call(verb).wrapped(&strace)
}

/// Nothing is left that only a sweep would find.
fn killed_as_it_writes_its_record_leaves_no_file() -> Result<()> {
    for attach in ["new", "both"] {
        let case = Case::attach(attach)?;
        let killed = injected(&case, "ADD", None, "fdatasync:signal=SIGKILL:when=1").run()?;
        ensure!(killed.status.code().is_none(), "the shim is killed: {killed:?}");
        case.expect_records(0)?;
        case.expect_calls(&[])?;
        case.add()?.succeeded()?;
        case.del()?.silent()?;
    }
    Ok(())
}

/// Overlays of older kernels have no files without names; linking one takes a privilege that a runtime may have given up.
fn record_is_written_where_files_without_names_are_unknown_or_cannot_be_linked() -> Result<()> {
    let case = Case::attach("new")?;
    case.added()?;
    let record = case.records()?.pop().context("a record")?;
    let shard = record.parent().context("its shard")?.display().to_string();
    case.del()?.silent()?;
    for (path, injection) in [
        (Some(shard.as_str()), "openat:error=EOPNOTSUPP:when=1"),
        (Some(shard.as_str()), "openat:error=EISDIR:when=1"),
        (None, "linkat:error=ENOENT:when=1"),
        (None, "linkat:error=EPERM:when=1"),
    ] {
        injected(&case, "ADD", path, injection).run()?.succeeded().with_context(|| injection.to_owned())?;
        ensure!(case.records()? == [record.clone()], "{injection}: {:?}", case.records()?);
        case.del()?.silent()?;
        case.expect_records(0)?;
    }
    Ok(())
}
