//! The contents of the packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::build::dist;
use lab::build::preflight::{Need, trial};
use lab::host::command;
use lab::host::scratch::Scratch;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::architecture::current as architecture;
use crate::release::{self, Build, EntryKind, Tree, sha256};

const NEEDS: &[&[Need]] = &[&[
    Need::Program("dpkg-deb"),
    Need::Program("rpm"),
    Need::Program("unsquashfs"),
    Need::Program("sha256sum"),
]];
const SIGNS: &[&[Need]] = &[&[Need::Program("ssh-keygen"), Need::Program("sha256sum")]];
/// What only the Debian package has.
const DEBIAN: [&str; 2] = ["/usr/share/doc/crossfade/changelog.gz", "/usr/share/lintian/overrides/crossfade"];
/// What only the system extension has.
const MERGED: &str = "/usr/lib/extension-release.d/extension-release.crossfade";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("every_format_holds_the_same_tree", NEEDS, same_tree),
        trial("nothing_is_outside_of_usr_or_anybody_else_s_to_change", NEEDS, harmless),
        trial("the_tree_is_whole", NEEDS, whole),
        trial("a_release_names_its_programs_by_digest", NEEDS, release_file),
        trial("every_package_has_its_sum", NEEDS, sums),
        trial("the_provenance_names_every_file_and_what_it_is_made_of", NEEDS, provenance),
        trial("what_is_signed_verifies_and_another_byte_does_not", SIGNS, signatures),
        trial("a_bill_of_materials_names_licence_and_digest_of_every_crate", NEEDS, bills),
        trial("the_debian_package_says_what_policy_asks_for", NEEDS, debian),
        trial("the_extension_may_be_merged_into_any_distribution", NEEDS, extension),
        trial("scripts_are_of_the_plainest_shell", NEEDS, scripts),
    ]
}

fn tree() -> Result<Tree> {
    release::deb(&Build::Released.file(architecture()?.deb)?)
}

fn same_tree() -> Result<()> {
    let mut tree = tree()?;
    for path in DEBIAN {
        ensure!(tree.remove(path).is_some(), "{path} is missing");
    }
    for directory in ["/usr/share/lintian/overrides", "/usr/share/lintian"] {
        ensure!(tree.remove(directory).is_some(), "{directory} is missing");
    }
    let mut tarball = release::tarball(&Build::Released.file(architecture()?.tarball)?)?;
    ensure!(tarball.remove("/install.sh").is_some_and(|entry| entry.mode == 0o755));
    ensure_same(&tree, &tarball)?;

    let scratch = Scratch::new("sysext")?;
    let mut sysext = release::sysext(&Build::Released.file(architecture()?.extension)?, &scratch)?;
    ensure!(sysext.remove(MERGED).is_some());
    ensure!(sysext.remove(&parent(MERGED)).is_some());
    ensure_same(&tree, &sysext)?;

    // Of directories it has only those that belong to no other package.
    let rpm = release::rpm(&Build::Released.file(architecture()?.rpm)?)?;
    let mut in_rpm = tree;
    in_rpm.retain(|path, entry| entry.what != EntryKind::Directory || rpm.contains_key(path));
    ensure_same(&in_rpm, &rpm)
}

fn ensure_same(tree: &Tree, other: &Tree) -> Result<()> {
    for path in tree.keys().chain(other.keys()) {
        ensure!(tree.get(path) == other.get(path), "{path}: {:?}, {:?}", tree.get(path), other.get(path));
    }
    Ok(())
}

fn parent(path: &str) -> String {
    Path::new(path).parent().unwrap_or(Path::new("/")).display().to_string()
}

/// No privilege that an installed file could lend; no file that another user than root could change.
fn harmless() -> Result<()> {
    let tree = tree()?;
    ensure!(!tree.is_empty());
    let times: std::collections::BTreeSet<u64> = tree.values().map(|entry| entry.time).collect();
    ensure!(times.len() == 1, "not one time: {times:?}");
    for (path, entry) in &tree {
        ensure!(path == "/usr" || path.starts_with("/usr/"), "{path} is outside of /usr");
        ensure!(entry.owner == (0, 0), "{path} is {:?}'s", entry.owner);
        let programs = ["/usr/bin/crossfade-bootstrap", "/usr/libexec/crossfade/crossfade"];
        let mode = match &entry.what {
            EntryKind::Directory => 0o755,
            EntryKind::Link(_) => 0o777,
            EntryKind::File(_) if programs.contains(&path.as_str()) => 0o755,
            EntryKind::File(_) => 0o644,
        };
        ensure!(entry.mode == mode, "{path} has the mode {:o}", entry.mode);
        if let EntryKind::Link(target) = &entry.what {
            ensure!(target.starts_with("../"), "{path} leads to {target}, which another root does not have");
        }
    }
    Ok(())
}

/// What the sources have, and that a link leads somewhere.
fn whole() -> Result<()> {
    let tree = tree()?;
    for mirrored in ["systemd", "packages"] {
        let root = dist::workspace().join(mirrored);
        for file in lab::host::scratch::files(&root.join("usr"))? {
            let mut path = format!("/{}", file.strip_prefix(&root)?.display());
            if path.starts_with("/usr/share/man/") {
                path.push_str(".gz");
            }
            ensure!(tree.contains_key(&path), "{path} is missing");
        }
    }
    let doc = "/usr/share/doc/crossfade";
    for file in ["LICENSE", "CHANGELOG.md", "copyright", "THIRD-PARTY", "crossfade.cdx.json"] {
        ensure!(tree.contains_key(&format!("{doc}/{file}")), "{doc}/{file} is missing");
    }
    for schema in ["node", "policy", "status"] {
        ensure!(tree.contains_key(&format!("/usr/share/crossfade/{schema}.schema.json")), "{schema}");
    }
    for (path, entry) in &tree {
        if let EntryKind::Link(target) = &entry.what {
            let mut to = Path::new(path).parent().context("a directory")?.to_path_buf();
            for part in Path::new(target) {
                if part == ".." { _ = to.pop() } else { to.push(part) }
            }
            ensure!(tree.contains_key(&to.display().to_string()), "{path} leads to {}", to.display());
        }
    }
    Ok(())
}

fn release_file() -> Result<()> {
    let scratch = Scratch::new("tarball")?;
    let root = Build::Released.unpack(scratch.path())?;
    let text = fs::read_to_string(root.join("usr/lib/crossfade/release.json")).context("release.json")?;
    let release: Value = serde_json::from_str(&text)?;
    ensure!(release["version"] == 1, "{release}");
    ensure!(release["release"] == env!("CARGO_PKG_VERSION"), "{release}");
    let commit = release["commit"].as_str().context("a commit")?;
    ensure!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
    let files = release["files"].as_object().context("files")?;
    ensure!(files.len() == 2, "{release}");
    for (path, digest) in files {
        let content = fs::read(root.join(path.trim_start_matches('/')))?;
        ensure!(digest.as_str() == Some(&sha256(&content)), "{path}: {digest}");
    }
    Ok(())
}

fn sums() -> Result<()> {
    let directory = Build::Released.directory();
    let mut named = Vec::new();
    for line in fs::read_to_string(directory.join("SHA256SUMS"))?.lines() {
        let (sum, name) = line.split_once("  ").context("a line of SHA256SUMS")?;
        ensure!(sum == sha256(&fs::read(directory.join(name))?), "{name} has another sum");
        named.push(name.to_owned());
    }
    let mut files = release::files(&directory)?;
    files.retain(|name| !name.starts_with("SHA256SUMS"));
    ensure!(named == files, "{named:?}, and there are {files:?}");
    Ok(())
}

/// Every file of the release is a subject, and what it was made of is what the release itself names.
fn provenance() -> Result<()> {
    let directory = Build::Released.directory();
    let statement: Value = serde_json::from_slice(&fs::read(directory.join("provenance.json"))?)?;
    ensure!(statement["_type"] == "https://in-toto.io/Statement/v1");
    ensure!(statement["predicateType"] == "https://slsa.dev/provenance/v1");
    let mut files = release::files(&directory)?;
    files.retain(|name| !name.starts_with("SHA256SUMS") && !name.starts_with("provenance.json"));
    let subjects = statement["subject"].as_array().context("subjects")?;
    let named: Vec<_> = subjects.iter().filter_map(|subject| subject["name"].as_str()).collect();
    ensure!(named == files, "{named:?}, and there are {files:?}");
    for subject in subjects {
        let name = subject["name"].as_str().context("a name")?;
        ensure!(subject["digest"]["sha256"] == sha256(&fs::read(directory.join(name))?), "{name}");
    }
    let build = &statement["predicate"]["buildDefinition"];
    let scratch = Scratch::new("provenance")?;
    Build::Released.unpack(scratch.path())?;
    let find = command::run(Command::new("find").arg(scratch.path()).args(["-name", "release.json"]))?;
    let release: Value = serde_json::from_slice(&fs::read(find.trim())?)?;
    ensure!(build["resolvedDependencies"][0]["digest"]["gitCommit"] == release["commit"], "{build:#}");
    let compilers = &build["internalParameters"]["compilers"];
    ensure!(compilers[0].as_str().is_some_and(|text| text.starts_with("rustc version ")), "{compilers}");
    let text = statement.to_string();
    for of_machine in [dist::workspace().display().to_string(), "/tmp".to_owned()] {
        ensure!(!text.contains(&of_machine), "{of_machine} is in it");
    }
    Ok(())
}

/// By a key that was made for it, as docs/packages.md verifies them; a byte that was changed is found.
fn signatures() -> Result<()> {
    let scratch = Scratch::new("signed")?;
    let release = scratch.dir("a release")?;
    for name in release::files(&Build::Released.directory())? {
        fs::copy(Build::Released.directory().join(&name), release.join(&name))?;
    }
    let key = scratch.join("key");
    command::run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
    let sign = || {
        let mut sign = Command::new(dist::workspace().join("packages/sign"));
        sign.arg("--ssh").arg(&key).arg(&release).output().context("packages/sign")
    };
    let signed = sign()?;
    ensure!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let public = fs::read_to_string(key.with_extension("pub"))?;
    fs::write(scratch.join("allowed"), format!("crossfade-release {public}"))?;
    let verify = |file: &str| -> Result<bool> {
        let mut verify = Command::new("ssh-keygen");
        verify.args(["-Y", "verify", "-I", "crossfade-release", "-n", "crossfade-release", "-f"]);
        verify.arg(scratch.join("allowed")).arg("-s").arg(release.join(format!("{file}.sig")));
        Ok(verify.stdin(fs::File::open(release.join(file))?).output()?.status.success())
    };
    for file in ["SHA256SUMS", "provenance.json"] {
        ensure!(verify(file)?, "{file}");
        let good = fs::read(release.join(file))?;
        fs::write(release.join(file), [good.as_slice(), b" "].concat())?;
        ensure!(!verify(file)?, "{file} with another byte");
        fs::write(release.join(file), good)?;
    }
    // Nothing is signed that the sums do not name.
    fs::write(release.join("crossfade.yaml"), "other: bytes\n")?;
    let refused = sign()?;
    ensure!(refused.status.code() == Some(3), "{refused:?}");
    Ok(())
}

/// Against what cargo links: nothing is left out.
fn bills() -> Result<()> {
    for (program, package) in
        [("crossfade", "shim"), ("crossfade-bootstrap", "bootstrap"), ("crossfade-probe", "probe")]
    {
        let debian = architecture()?.debian;
        let name = format!("{program}-{}-linux-{debian}.cdx.json", env!("CARGO_PKG_VERSION"));
        let file = Build::Released.directory().join(name);
        let text = fs::read_to_string(file)?;
        ensure!(
            !text.contains("path+file:///tmp") && !text.contains("serialNumber"),
            "{program}: of one build"
        );
        let bill: Value = serde_json::from_str(&text)?;
        ensure!(bill["bomFormat"] == "CycloneDX" && bill["specVersion"] == "1.5");
        let components = bill["components"].as_array().context("components")?;
        for component in components {
            ensure!(component["licenses"][0].is_object(), "no licence: {component}");
            let ours = component["bom-ref"].as_str().is_some_and(|name| name.starts_with("path+file:"));
            ensure!(ours || component["hashes"][0]["alg"] == "SHA-256", "no digest: {component}");
        }
        let named = |name: &str| components.iter().any(|component| component["name"] == name);
        let lock = fs::read_to_string(dist::workspace().join("Cargo.lock"))?;
        ensure!(lock.contains("name = \"serde_json\""), "Cargo.lock");
        ensure!(named("serde_json") && named("nix"), "{package} is linked with more than that");
        ensure!(named("kube") == (package == "bootstrap"), "{program} and kube");
        ensure!(!named("proptest") && !named("libtest-mimic"), "{program} and what only tests use");
    }
    Ok(())
}

fn debian() -> Result<()> {
    let file = Build::Released.file(architecture()?.deb)?;
    let field = |name: &str| {
        let text = command::run(Command::new("dpkg-deb").arg("--field").arg(&file).arg(name))?;
        Ok::<_, anyhow::Error>(text.trim().to_owned())
    };
    ensure!(field("Package")? == "crossfade" && field("Version")? == env!("CARGO_PKG_VERSION"));
    ensure!(field("Architecture")? == architecture()?.debian && field("Section")? == "net");
    // Static programs; a runtime and kubelet come by any way, or not as packages at all.
    for none in ["Depends", "Pre-Depends", "Recommends", "Conflicts"] {
        ensure!(field(none)?.is_empty(), "{none}: {}", field(none)?);
    }
    let size: u64 = field("Installed-Size")?.parse().context("Installed-Size")?;
    ensure!((5_000..20_000).contains(&size), "Installed-Size: {size} KiB");
    let description = field("Description")?;
    let lines: Vec<&str> = description.lines().collect();
    ensure!(lines[0].len() < 80 && !lines[0].ends_with('.') && lines.len() > 1, "{description}");
    Ok(())
}

fn extension() -> Result<()> {
    let scratch = Scratch::new("sysext")?;
    release::sysext(&Build::Released.file(architecture()?.extension)?, &scratch)?;
    let text = fs::read_to_string(scratch.join("extension").join(&MERGED[1..]))?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let version = format!("SYSEXT_VERSION_ID={}", env!("CARGO_PKG_VERSION"));
    let architecture = format!("ARCHITECTURE={}", architecture()?.systemd);
    ensure!(
        lines == [architecture.as_str(), "EXTENSION_RELOAD_MANAGER=1", "ID=_any", version.as_str()],
        "{text}"
    );
    Ok(())
}

/// They run where /bin/sh is dash, bash in its oldest supported version, or busybox.
fn scripts() -> Result<()> {
    let scratch = Scratch::new("scripts")?;
    let control = scratch.join("control");
    command::run(
        Command::new("dpkg-deb")
            .arg("--control")
            .arg(Build::Released.file(architecture()?.deb)?)
            .arg(&control),
    )?;
    let mut scripts: Vec<_> =
        ["preinst", "postinst", "prerm", "postrm"].map(|name| control.join(name)).into();
    scripts.push(Build::Released.unpack(&scratch.join("tarball"))?.join("install.sh"));
    for script in scripts {
        for shell in [&["dash", "-n"][..], &["bash", "--posix", "-n"], &["busybox", "sh", "-n"]] {
            command::run(Command::new(shell[0]).args(&shell[1..]).arg(&script))
                .with_context(|| format!("{} {}", shell[0], script.display()))?;
        }
        ensure!(fs::read_to_string(&script)?.starts_with("#!/bin/sh\n"), "{}", script.display());
    }
    Ok(())
}
