//! Images made by hand: the sandbox image, and those of a few files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The image's name for runtimes; it is never pulled.
pub const PAUSE: &str = "localhost/lab/pause:1";

/// Commands of the image, all of them busybox.
const COMMANDS: [&str; 6] = ["httpd", "ip", "nc", "ping", "sh", "sleep"];

/// Writes the sandbox image as a docker archive: a static busybox that sleeps.
///
/// The same busybox gives the same bytes.
///
/// # Errors
/// No static busybox, or an unwritable `path`.
pub fn pause_tar(path: &Path) -> Result<()> {
    let busybox = crate::build::packages::part("busybox")?;
    let busybox = fs::read(&busybox).with_context(|| format!("reading {}", busybox.display()))?;
    let archive = pause(&busybox).context("the sandbox image")?;
    fs::write(path, archive).with_context(|| format!("writing {}", path.display()))
}

/// A file of an image.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path, absolute.
    pub path: PathBuf,
    pub content: Vec<u8>,
    /// Its permissions, as in 0o755.
    pub mode: u32,
}

impl File {
    /// A program or library that is at the same path in the image as it is here.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn copy(path: &Path) -> Result<File> {
        let content = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(File { path: path.to_path_buf(), content, mode: 0o755 })
    }
}

/// An image of these files as a docker archive, by each of these names.
///
/// The same files give the same bytes.
///
/// # Errors
/// A path that an archive cannot hold.
pub fn archive(names: &[&str], entrypoint: &[&str], files: &[File]) -> Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for file in files {
        let mut header = header(EntryType::Regular, file.mode);
        header.set_size(u64::try_from(file.content.len())?);
        let path = file.path.strip_prefix("/").unwrap_or(&file.path);
        layer.append_data(&mut header, path, file.content.as_slice())?;
    }
    archive_of(names, entrypoint, layer.into_inner()?)
}

fn pause(busybox: &[u8]) -> Result<Vec<u8>> {
    archive_of(&[PAUSE], &["/bin/busybox", "sleep", "1000000000"], layer(busybox)?)
}

fn archive_of(names: &[&str], entrypoint: &[&str], layer: Vec<u8>) -> Result<Vec<u8>> {
    let layer_digest = hex(&Sha256::digest(&layer));
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": { "Entrypoint": entrypoint, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
    }))?;
    let config_name = format!("{}.json", hex(&Sha256::digest(&config)));
    let layer_name = format!("{layer_digest}.tar");
    let manifest = json!([{ "Config": config_name, "RepoTags": names, "Layers": [layer_name] }]);
    let mut archive = Builder::new(Vec::new());
    let manifest = ("manifest.json".to_owned(), serde_json::to_vec(&manifest)?);
    for (name, content) in [(config_name, config), (layer_name, layer), manifest] {
        let mut header = header(EntryType::Regular, 0o644);
        header.set_size(u64::try_from(content.len())?);
        archive.append_data(&mut header, name, content.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

fn layer(busybox: &[u8]) -> Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    for directory in ["bin", "tmp", "etc"] {
        let mut header = header(EntryType::Directory, 0o755);
        layer.append_data(&mut header, directory, std::io::empty())?;
    }
    let mut program = header(EntryType::Regular, 0o755);
    program.set_size(u64::try_from(busybox.len())?);
    layer.append_data(&mut program, "bin/busybox", busybox)?;
    for command in COMMANDS {
        let mut link = header(EntryType::Symlink, 0o777);
        layer.append_link(&mut link, format!("bin/{command}"), "busybox")?;
    }
    Ok(layer.into_inner()?)
}

/// A header without time, owner or size.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_busybox_gives_the_same_image() -> Result<()> {
        assert_eq!(pause(b"busybox")?, pause(b"busybox")?);
        assert_ne!(pause(b"busybox")?, pause(b"another")?);
        // Known from another day: nothing of the clock or the machine is in it.
        assert_eq!(&hex(&Sha256::digest(layer(b"busybox")?))[..16], "c72e357bc14b837d");
        Ok(())
    }
}
