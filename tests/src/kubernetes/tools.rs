//! The image of a cluster's pods: a web server, a DNS server, and a shell that resolves names as programs do.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::dist;
use crate::build::image::{self, File};

/// The image's name for runtimes; it is never pulled.
pub const IMAGE: &str = "localhost/lab/tools:1";
/// The same image, by the names of the agents that it stands in for: the operator's program reads their releases there.
pub const FLANNEL: &str = "localhost/flannel/flannel:v0.26.1";
/// As [`FLANNEL`]; the release of docs/migrate-in-place.md.
pub const CILIUM: &str = "localhost/cilium/cilium:v1.17.4";
/// As [`FLANNEL`], for the agents that `kubectl crossfade probe` brings. Their program is the real one.
const CROSSFADE: &str = concat!("localhost/crossfade:", env!("CARGO_PKG_VERSION"));
/// Where the distribution has the programs; a lab has the fetched ones there.
pub const DNSMASQ: &str = "/usr/sbin/dnsmasq";
/// Asks for names by the C library; the static busybox, which cannot load the library's modules, must not.
pub const BASH: &str = "/usr/bin/bash";
/// Static.
pub const BUSYBOX: &str = "/usr/bin/busybox";

/// The image as an archive: the programs, with the libraries that the loader finds for them.
///
/// # Errors
/// One of them is not there.
pub fn archive() -> Result<Vec<u8>> {
    archive_named(&[])
}

/// The same with more names.
///
/// # Errors
/// As [`archive`].
pub fn archive_named(more: &[&str]) -> Result<Vec<u8>> {
    let mut paths: BTreeSet<String> = [DNSMASQ, BASH, BUSYBOX].map(str::to_owned).into();
    for program in [DNSMASQ, BASH] {
        let output = crate::host::command::run(Command::new("ldd").arg(program))
            .with_context(|| format!("the libraries of {program}"))?;
        paths.extend(output.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
    }
    let mut files = paths.iter().map(|path| File::copy(Path::new(path))).collect::<Result<Vec<_>>>()?;
    for (path, text) in
        [("/etc/passwd", "root:x:0:0::/:/bin/false\n"), ("/etc/nsswitch.conf", "hosts: files dns\n")]
    {
        files.push(File { path: path.into(), content: text.as_bytes().to_vec(), mode: 0o644 });
    }
    let content = std::fs::read(dist::probe()?).context("the agent that probes")?;
    files.push(File { path: "/usr/bin/crossfade-probe".into(), content, mode: 0o755 });
    let names = [&[IMAGE, FLANNEL, CILIUM, CROSSFADE], more].concat();
    image::archive(&names, &[BUSYBOX, "sleep", "1000000000"], &files)
}
