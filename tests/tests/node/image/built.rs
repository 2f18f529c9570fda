//! Images that Packer makes, its leftovers, and its failures.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::build::dist;
use lab::build::image_build::{Build, BuildResult};
use lab::host::scratch::{Scratch, files};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::NEEDS;
use crate::node::{FINAL_LABEL, LABEL, final_image, migration, migration_variables};

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        NEEDS;
        packer_makes_a_migration_image,
        packer_makes_a_final_image,
        packer_fails_over_a_package_that_is_not_the_release_s,
        packer_fails_over_a_label_that_kubelet_refuses,
        packer_fails_over_what_a_smoke_test_left,
    ]
}

fn packer_makes_a_migration_image() -> Result<()> {
    let image = migration()?;
    ensure_artifacts(image, "migration")?;
    let machine = image.machine()?;
    let policy: Value = serde_json::from_str(&machine.read("/usr/lib/crossfade/policy.json")?)?;
    ensure!(
        policy["attach"] == "new"
            && policy["networks"]["old"]["profile"] == "flannel"
            && policy["networks"]["new"]["profile"] == "cilium",
        "{policy:#}"
    );
    let node: Value = serde_json::from_str(&machine.read("/usr/lib/crossfade/node.json")?)?;
    ensure!(node["confDir"] == "private" && node["labels"][LABEL.0] == LABEL.1, "{node:#}");
    let about: Value = serde_json::from_str(&image.artifact("image.json")?)?;
    let identity = &node["labels"]["crossfade/image"];
    ensure!(identity.is_string() && about["identity"] == *identity, "{about:#}\n{node:#}");
    ensure_sealed(image, &machine)
}

fn packer_makes_a_final_image() -> Result<()> {
    let image = final_image()?;
    ensure_artifacts(image, "final")?;
    let machine = image.machine()?;
    ensure!(!machine.disk("/usr/lib/crossfade/policy.json").exists(), "a final image with a policy");
    let node: Value = serde_json::from_str(&machine.read("/usr/lib/crossfade/node.json")?)?;
    ensure!(
        node["confDir"] == "none" && node["labels"] == json!({ FINAL_LABEL.0: FINAL_LABEL.1 }),
        "{node:#}"
    );
    ensure_sealed(image, &machine)
}

/// Packer's post-processors ran, and what was fetched says what is in the image.
fn ensure_artifacts(image: &BuildResult, kind: &str) -> Result<()> {
    let manifest: Value = serde_json::from_str(&image.artifact("manifest.json")?)?;
    let build = &manifest["builds"][0];
    ensure!(build["custom_data"]["crossfade_image"] == kind, "{manifest:#}");
    let sums = image.artifact("artifacts.sha256")?;
    let listed: Vec<&str> =
        build["files"].as_array().into_iter().flatten().filter_map(|file| file["name"].as_str()).collect();
    for name in ["image.json", "packages.json", "selftest.json", "seal.json"] {
        ensure!(sums.contains(name), "artifacts.sha256 lacks {name}:\n{sums}\n{}", image.output);
        ensure!(listed.iter().any(|file| file.ends_with("artifacts.sha256")), "{manifest:#}");
    }
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--quiet", "--strict", "artifacts.sha256"]).current_dir(image.artifacts());
    ensure!(check.status().context("sha256sum")?.success(), "artifacts.sha256:\n{sums}");

    let about: Value = serde_json::from_str(&image.artifact("image.json")?)?;
    ensure!(about["image"] == kind && about["release"]["version"] == 1, "{about:#}");
    let packages: Value = serde_json::from_str(&image.artifact("packages.json")?)?;
    let has =
        |name: &str| packages.as_array().is_some_and(|all| all.iter().any(|package| package["name"] == name));
    ensure!(has("crossfade") && has("containerd") && has("systemd"), "{packages:#}");
    let selftest: Value = serde_json::from_str(&image.artifact("selftest.json")?)?;
    ensure!(!selftest.to_string().contains("\"failed\""), "{selftest:#}");
    let _seal: Value = serde_json::from_str(&image.artifact("seal.json")?)?;
    Ok(())
}

/// The package is whole, and nothing of the build machine's life is left: not before its shutdown, and not by it.
fn ensure_sealed(image: &BuildResult, machine: &Machine) -> Result<()> {
    let verified = machine.chrooted(&["dpkg", "--verify", "crossfade"]).output().context("dpkg --verify")?;
    let differences = String::from_utf8_lossy(&verified.stdout).into_owned();
    ensure!(verified.status.success() && differences.is_empty(), "dpkg --verify: {differences}");
    ensure!(machine.read("/etc/machine-id").is_ok_and(|id| id.is_empty()), "a baked machine-id");
    for gone in ["/tmp/crossfade", "/var/tmp/parts", "/root/.ssh", "/var/lib/crossfade/attachments"] {
        ensure!(!image.root().join(gone.trim_start_matches('/')).exists(), "{gone} is in the image");
    }
    let keys = files(&machine.disk("/etc/ssh"))?;
    ensure!(!keys.iter().any(|key| key.display().to_string().contains("ssh_host_")), "{keys:?}");
    let check = machine
        .chrooted(&["crossfade-bootstrap", "image", "seal", "--check"])
        .output()
        .context("seal --check")?;
    let output = [check.stdout, check.stderr].concat();
    ensure!(
        check.status.success(),
        "seal --check of the finished image: {}",
        String::from_utf8_lossy(&output)
    );
    Ok(())
}

fn packer_fails_over_a_package_that_is_not_the_release_s() -> Result<()> {
    let packages = Scratch::new("packages")?;
    for entry in fs::read_dir(dist::packages()?)? {
        let path = entry?.path();
        let name = path.file_name().map(Path::new).context("a name")?.to_owned();
        if path.extension().is_some_and(|extension| extension == "deb") {
            let mut bytes = fs::read(&path)?;
            bytes.push(b'\n');
            fs::write(packages.join(name), bytes)?;
        } else if name == Path::new("SHA256SUMS") {
            fs::copy(&path, packages.join(name))?;
        }
    }
    let mut variables = migration_variables();
    variables["crossfade_packages"] = json!(packages.path());
    let built = Build::new(variables)?.run()?;
    ensure_failed(&built, &["amd64.deb has not the bytes of SHA256SUMS: expected "])?;
    ensure!(!built.root().join("usr/bin/crossfade-bootstrap").exists(), "installed all the same");
    Ok(())
}

fn packer_fails_over_a_label_that_kubelet_refuses() -> Result<()> {
    let mut variables = migration_variables();
    variables["crossfade_labels"] = json!({ "app.kubernetes.io/name": "x" });
    let built = Build::new(variables)?.run()?;
    ensure_failed(&built, &["app.kubernetes.io/name", "kubelet"])
}

/// A machine on which another CNI was tried while it was provisioned: its conf would be every node's network.
fn packer_fails_over_what_a_smoke_test_left() -> Result<()> {
    let build = Build::new(migration_variables())?;
    let conflist = json!({ "cniVersion": "1.0.0", "name": "weave", "plugins": [{ "type": "weave-net" }] });
    build.machine().write("/etc/cni/net.d/10-weave.conflist", conflist.to_string())?;
    let built = build.run()?;
    ensure_failed(
        &built,
        &[
            "/etc/cni/net.d/10-weave.conflist",
            "a conf of weave that the policy does not name",
            "seal refuses",
        ],
    )
}

/// Packer failed as it does over a provisioner, and said why.
fn ensure_failed(built: &BuildResult, words: &[&str]) -> Result<()> {
    ensure!(built.status == 1, "packer: exit status {}\n{}", built.status, built.output);
    for words in words {
        ensure!(built.output.contains(words), "packer does not say {words:?}:\n{}", built.output);
    }
    ensure!(!built.artifacts().join("manifest.json").exists(), "a failed build with a manifest");
    Ok(())
}
