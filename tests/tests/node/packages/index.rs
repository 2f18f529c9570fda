//! The OCI archive for all architectures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::host::command;
use lab::host::scratch::Scratch;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::release::{self, Build, sha256};

/// What the image specification calls an index.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        &[];
        one_index_names_the_image_of_each_architecture,
    ]
}

/// One name, and below it the very images that are published alone.
fn one_index_names_the_image_of_each_architecture() -> Result<()> {
    let scratch = Scratch::new("index")?;
    let layout = unpacked(&Build::Released.file("-oci.tar")?, &scratch.dir("both")?)?;
    for name in release::files(&layout.join("blobs/sha256"))? {
        let content = fs::read(layout.join("blobs/sha256").join(&name))?;
        ensure!(name == sha256(&content), "a blob {name} has another digest");
    }

    let top = read(&layout.join("index.json"))?;
    let named = entries(&top)?;
    ensure!(named.len() == 1 && named[0]["mediaType"] == INDEX, "{top}");
    let name = format!("localhost/crossfade:{}", env!("CARGO_PKG_VERSION"));
    ensure!(named[0]["annotations"]["org.opencontainers.image.ref.name"] == name.as_str(), "{top}");

    let index = read(&blob(&layout, &named[0])?)?;
    ensure!(index["schemaVersion"] == 2 && index["mediaType"] == INDEX, "{index}");
    let images = entries(&index)?;
    ensure!(images.len() == 2, "{index}");
    for (image, (architecture, machine)) in images.iter().zip([("amd64", 62), ("arm64", 183)]) {
        ensure!(
            image["platform"] == serde_json::json!({ "architecture": architecture, "os": "linux" }),
            "{index}"
        );
        let alone = Build::Released.file(&format!("-oci-{architecture}.tar"))?;
        let alone = unpacked(&alone, &scratch.dir(architecture)?)?;
        let published = read(&alone.join("index.json"))?;
        ensure!(entries(&published)?[0]["digest"] == image["digest"], "{architecture}: another image");
        let manifest = read(&blob(&layout, image)?)?;
        ensure!(image["size"] == fs::metadata(blob(&layout, image)?)?.len(), "{index}");
        let configuration = read(&blob(&layout, &manifest["config"])?)?;
        ensure!(configuration["architecture"] == architecture, "{configuration}");
        let tree = scratch.dir(format!("{architecture} tree"))?;
        for layer in manifest["layers"].as_array().context("layers")? {
            unpacked(&blob(&layout, layer)?, &tree)?;
        }
        for program in ["bin/crossfade-bootstrap", "bin/crossfade-probe", "libexec/crossfade/crossfade"] {
            let bytes = fs::read(tree.join("usr").join(program)).context(program)?;
            // e_machine of the ELF header.
            ensure!(bytes.get(18..20) == Some(&[machine, 0][..]), "{architecture}: {program}");
        }
    }
    Ok(())
}

fn unpacked(archive: &Path, directory: &Path) -> Result<PathBuf> {
    command::run(
        Command::new("tar").arg("--extract").arg("--file").arg(archive).arg("--directory").arg(directory),
    )?;
    Ok(directory.to_path_buf())
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}", file.display()))
}

fn entries(index: &Value) -> Result<&Vec<Value>> {
    index["manifests"].as_array().context("manifests")
}

/// Where the content of a descriptor is.
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
    Ok(layout.join("blobs/sha256").join(digest.context("a digest")?))
}
