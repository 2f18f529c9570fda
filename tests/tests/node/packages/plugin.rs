//! The operator's program: its tarball, and the manifest by which krew installs it.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::build::dist;
use lab::host::command;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::architecture;
use crate::release::{self, Build, files};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        &[];
        the_manifest_of_krew_names_every_tarball_of_the_plugin_by_its_digest,
        the_plugin_has_both_names_and_the_rights_that_it_names,
    ]
}

/// *Source*: <https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest>.
fn the_manifest_of_krew_names_every_tarball_of_the_plugin_by_its_digest() -> Result<()> {
    let directory = Build::Released.directory();
    let text = fs::read_to_string(directory.join("crossfade.yaml"))?;
    let manifest: Value = serde_saphyr::from_str(&text)?;
    ensure!(
        manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
            && manifest["kind"] == "Plugin"
    );
    // krew wants the file's name for the plugin's, and a `v` before the version.
    ensure!(manifest["metadata"]["name"] == "crossfade");
    ensure!(manifest["spec"]["version"] == format!("v{}", env!("CARGO_PKG_VERSION")), "{manifest:#}");
    let about = manifest["spec"]["shortDescription"].as_str().context("shortDescription")?;
    ensure!(about.len() <= 80 && !about.ends_with('.'), "{about}");
    let platforms = manifest["spec"]["platforms"].as_array().context("platforms")?;
    let mut named = Vec::new();
    for platform in platforms {
        let uri = platform["uri"].as_str().context("uri")?;
        let name = uri.rsplit('/').next().context("a name")?;
        let bytes = fs::read(directory.join(name))?;
        ensure!(platform["sha256"] == release::sha256(&bytes), "{name}");
        let labels = &platform["selector"]["matchLabels"];
        let (os, arch) = (labels["os"].as_str().context("os")?, labels["arch"].as_str().context("arch")?);
        ensure!(name.ends_with(&format!("-{os}-{arch}.tar.gz")), "{name}: {labels}");
        named.push(name.to_owned());
    }
    let is_plugin = |name: &String| name.starts_with("kubectl-crossfade-") && name.ends_with(".tar.gz");
    let there: Vec<String> = files(&directory)?.into_iter().filter(is_plugin).collect();
    ensure!(!there.is_empty() && there == named, "{there:?}, {named:?}");
    Ok(())
}

fn the_plugin_has_both_names_and_the_rights_that_it_names() -> Result<()> {
    let name =
        format!("kubectl-crossfade-{}-linux-{}", env!("CARGO_PKG_VERSION"), architecture::current()?.debian);
    let archive = Build::Released.directory().join(format!("{name}.tar.gz"));
    let listed = command::run(
        Command::new("tar").args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(&archive),
    )?;
    let entry = |path: &str| {
        let suffix = format!(" {name}/{path}");
        let entry =
            listed.lines().find(|line| line.split(" -> ").next().is_some_and(|line| line.ends_with(&suffix)));
        entry.with_context(|| format!("no {path}:\n{listed}"))
    };
    ensure!(entry("kubectl-crossfade")?.starts_with("-rwxr-xr-x 0/0 "), "{listed}");
    ensure!(entry("kubectl_complete-crossfade")?.ends_with(" -> kubectl-crossfade"), "{listed}");
    let rights = files(&dist::workspace().join("deploy/cluster"))?;
    ensure!(rights.len() >= 6, "{rights:?}");
    let rights = rights.iter().map(|file| format!("deploy/cluster/{file}"));
    for path in ["LICENSE", "THIRD-PARTY", "man/man1/kubectl-crossfade-check.1"]
        .map(str::to_owned)
        .into_iter()
        .chain(rights)
    {
        ensure!(entry(&path)?.starts_with("-rw-r--r-- 0/0 "), "{listed}");
    }
    let bill = fs::read_to_string(Build::Released.directory().join(format!("{name}.cdx.json")))?;
    let bill: Value = serde_json::from_str(&bill)?;
    let components = bill["components"].as_array().context("components")?;
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    ensure!(has("kube") && has("comfy-table") && !has("containerd-client"), "another program's bill");
    Ok(())
}
