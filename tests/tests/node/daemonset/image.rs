//! The image that pods run: that of `make packages`, and one of a later release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use lab::build::dist;
use lab::host::command::run;
use lab::host::scratch::Scratch;
use libtest_mimic::Trial;
use serde_json::Value;

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

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        &[];
        the_image_holds_what_the_package_holds,
        the_agent_of_the_probe_starts_in_the_image,
    ]
}

/// The image is the install tree, with the owners and modes that the package gives it, and the agent of the probe.
fn the_image_holds_what_the_package_holds() -> Result<()> {
    let (scratch, image) = unpacked()?;
    let package = scratch.dir("package")?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(published(&format!("crossfade_{}_", version()))?)
        .arg(&package))?;
    // What dpkg's world has beside the tree.
    fs::remove_file(package.join("usr/share/doc/crossfade/changelog.gz"))?;
    fs::remove_dir_all(package.join("usr/share/lintian"))?;
    for only in ["usr/bin/crossfade-probe", "usr/share/doc/crossfade/crossfade-probe.cdx.json"] {
        fs::remove_file(image.join(only)).with_context(|| only.to_owned())?;
    }
    // The list of crates, which has those of the agent as well.
    let crates = "usr/share/doc/crossfade/THIRD-PARTY";
    for root in [&image, &package] {
        fs::write(root.join(crates), "")?;
    }
    // The way to the node's /run.
    ensure!(fs::read_link(image.join("var/run"))? == Path::new("../run"));
    fs::remove_dir_all(image.join("var"))?;
    let list = |root: &Path| -> Result<String> {
        let mut find = Command::new("find");
        find.args([".", "-mindepth", "1", "-printf", "%p %y %m %U %G %l\n"]).current_dir(root);
        let text = run(&mut find)?;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        Ok(lines.join("\n"))
    };
    let (ours, theirs) = (list(&image)?, list(&package)?);
    ensure!(ours.contains("./usr/bin/crossfade-bootstrap f 755 0 0"), "{ours}");
    ensure!(ours == theirs, "image:\n{ours}\npackage:\n{theirs}");
    run(Command::new("diff").arg("--recursive").arg(&image).arg(&package)).map(drop)
}

/// It is static, and what the image says of it names its crates.
fn the_agent_of_the_probe_starts_in_the_image() -> Result<()> {
    let (_scratch, image) = unpacked()?;
    let mut agent = Command::new("chroot");
    agent.arg(&image).args(["/usr/bin/crossfade-probe", "--help"]);
    let help = run(&mut agent)?;
    ensure!(help.contains("CROSSFADE_PROBE_KEY"), "{help}");
    let documents = image.join("usr/share/doc/crossfade");
    let bill: Value = serde_json::from_slice(&fs::read(documents.join("crossfade-probe.cdx.json"))?)?;
    ensure!(bill["metadata"]["component"]["name"] == "crossfade-probe", "{}", bill["metadata"]);
    let crates = fs::read_to_string(documents.join("THIRD-PARTY"))?;
    ensure!(crates.lines().next().is_some_and(|line| line.contains("crossfade-probe")), "{crates}");
    Ok(())
}

/// The archive as it is published; `$CROSSFADE_OCI` names another one, such as the one for all architectures.
pub(crate) fn archive() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CROSSFADE_OCI") {
        return Ok(path.into());
    }
    published(&format!("crossfade-{}-oci-", version()))
}

fn published(prefix: &str) -> Result<PathBuf> {
    let dir = std::env::var_os("CROSSFADE_PACKAGES")
        .map_or_else(|| dist::workspace().join("target/packages"), PathBuf::from);
    let archive = fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
    archive.with_context(|| format!("{prefix}* in {}: run `make packages`", dir.display()))
}

/// The archive of [`NEXT`], made of this one by the script that makes them: with another plugin in it.
pub(crate) fn next() -> Result<&'static Path> {
    static MADE: OnceLock<Result<(Scratch, PathBuf), String>> = OnceLock::new();
    let made = MADE.get_or_init(|| make_next().map_err(|error| format!("{error:#}")));
    made.as_ref().map(|(_, path)| path.as_path()).map_err(|why| anyhow::anyhow!("{why}"))
}

/// The image's root directory.
fn unpacked() -> Result<(Scratch, PathBuf)> {
    let scratch = Scratch::new("image")?;
    let (layout, tree) = (scratch.dir("layout")?, scratch.dir("tree")?);
    run(Command::new("tar").arg("-xf").arg(archive()?).arg("-C").arg(&layout))?;
    for blob in fs::read_dir(layout.join("blobs/sha256"))? {
        let blob = blob?.path();
        // The one that is no JSON is the layer.
        if fs::read(&blob)?.first() != Some(&b'{') {
            run(Command::new("tar").arg("-xzf").arg(&blob).arg("-C").arg(&tree))?;
        }
    }
    Ok((scratch, tree))
}

fn make_next() -> Result<(Scratch, PathBuf)> {
    let (scratch, tree) = unpacked()?;
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
