//! The image that pods run: that of `make packages`, and one of a later release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use lab::dist;
use lab::scratch::Scratch;

/// The name that the archive gives it, but for the version.
const NAME: &str = "localhost/crossfade";
/// The release after this one.
pub(crate) const NEXT: &str = "9.9.9";

/// The version of the workspace.
pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The image's name at a version.
pub(crate) fn name(version: &str) -> String {
    format!("{NAME}:{version}")
}

/// The archive as it is published.
pub(crate) fn archive() -> Result<PathBuf> {
    let dir = std::env::var_os("CROSSFADE_PACKAGES")
        .map_or_else(|| dist::workspace().join("target/packages"), PathBuf::from);
    let prefix = format!("crossfade-{}-oci-", version());
    let found = fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)));
    found.with_context(|| format!("{prefix}*.tar in {}: run `make packages`", dir.display()))
}

/// The archive of [`NEXT`], made of this one by the script that makes them: with another plugin in it.
pub(crate) fn next() -> Result<&'static Path> {
    static MADE: OnceLock<Result<(Scratch, PathBuf), String>> = OnceLock::new();
    let made = MADE.get_or_init(|| make_next().map_err(|error| format!("{error:#}")));
    made.as_ref().map(|(_, path)| path.as_path()).map_err(|why| anyhow::anyhow!("{why}"))
}

fn make_next() -> Result<(Scratch, PathBuf)> {
    let scratch = Scratch::new("next-image")?;
    let (layout, tree) = (scratch.dir("layout")?, scratch.dir("tree")?);
    run(Command::new("tar").arg("-xf").arg(archive()?).arg("-C").arg(&layout))?;
    for blob in fs::read_dir(layout.join("blobs/sha256"))? {
        let blob = blob?.path();
        // The one that is no JSON is the layer.
        if fs::read(&blob)?.first() != Some(&b'{') {
            run(Command::new("tar").arg("-xzf").arg(&blob).arg("-C").arg(&tree))?;
        }
    }
    // The image's own; the script makes it anew.
    fs::remove_dir_all(tree.join("var"))?;
    let plugin = tree.join("usr/libexec/crossfade/crossfade");
    let mut bytes = fs::read(&plugin)?;
    bytes.extend(b"the next release");
    fs::write(&plugin, bytes)?;
    let output = scratch.dir("output")?;
    let mut script = Command::new(dist::workspace().join("packages/oci"));
    script.arg(&tree).arg(&output).env("CROSSFADE_VERSION", NEXT);
    // Nothing of this image tells the commit, and a test may run where there is no git.
    script.env("CROSSFADE_COMMIT", "next").env("SOURCE_DATE_EPOCH", "1");
    run(&mut script)?;
    let archive = fs::read_dir(&output)?.next().context("an archive")??.path();
    Ok((scratch, archive))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}
