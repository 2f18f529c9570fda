//! The bundle's scripts where Packer is not needed to run them: what `install.sh` refuses, and images that lose the Crossfade that an
//! earlier one brought.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use lab::boot::Machine;
use lab::build::dist;
use lab::build::image_build;
use lab::build::preflight::trial;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::NEEDS;

/// Where a build has its packages, as the bundle's variables have it by default.
const UPLOADS: &str = "/tmp/crossfade";
const PLUGIN: &str = "/usr/libexec/crossfade/crossfade";
/// Of a migration image; the last of two counts.
const MIGRATION: &[&str] =
    &["CROSSFADE_IMAGE=migration", "CROSSFADE_OLD_CNI=flannel", "CROSSFADE_NEW_CNI=cilium"];

/// What is wrong with a build, and what `install.sh` says about it.
struct Refusal {
    settings: &'static [&'static str],
    make: fn(&Machine) -> Result<()>,
    words: &'static [&'static str],
}

const REFUSALS: &[Refusal] = &[
    Refusal {
        settings: &["CROSSFADE_IMAGE="],
        make: |_| Ok(()),
        words: &["CROSSFADE_IMAGE is not set: migration or final"],
    },
    Refusal {
        settings: &["CROSSFADE_IMAGE=golden"],
        make: |_| Ok(()),
        words: &["CROSSFADE_IMAGE is golden"],
    },
    Refusal {
        settings: &["CROSSFADE_OLDCNI=flannel"],
        make: |_| Ok(()),
        words: &["CROSSFADE_OLDCNI is no setting", "OLD_CNI"],
    },
    Refusal {
        settings: &["CROSSFADE_IMAGE=final"],
        make: |_| Ok(()),
        words: &["a final image has no old network"],
    },
    Refusal {
        settings: &["CROSSFADE_FORMAT=apk"],
        make: |_| Ok(()),
        words: &["CROSSFADE_FORMAT is apk: expected deb, rpm or tarball"],
    },
    Refusal {
        settings: &["CROSSFADE_SHA256=0000000000000000000000000000000000000000000000000000000000000000"],
        make: |_| Ok(()),
        words: &["SHA256SUMS is not the one that was pinned"],
    },
    Refusal {
        settings: &[],
        make: |machine| Ok(fs::remove_file(machine.disk(UPLOADS).join("SHA256SUMS"))?),
        words: &["SHA256SUMS is missing"],
    },
    Refusal {
        settings: &[],
        make: |machine| machine.write(format!("{UPLOADS}/SHA256SUMS"), "0  another.deb\n"),
        words: &["SHA256SUMS does not name crossfade_"],
    },
    Refusal {
        settings: &[],
        make: |machine| {
            machine.write(format!("{UPLOADS}/crossfade_0.0.1_amd64.deb"), "")?;
            machine.write(format!("{UPLOADS}/crossfade_0.0.1_arm64.deb"), "")
        },
        words: &["more than one package for this machine", "crossfade_0.0.1_"],
    },
    Refusal {
        settings: &["CROSSFADE_FORMAT=rpm"],
        make: |_| Ok(()),
        words: &[".rpm in /tmp/crossfade, and that is what"],
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("install_says_what_is_wrong_and_installs_nothing", NEEDS, refused),
        trial("a_final_image_loses_an_earlier_package", NEEDS, || lost("deb")),
        trial("a_final_image_loses_an_earlier_tarball", NEEDS, || lost("tarball")),
        trial("the_commands_of_the_examples_make_a_migration_image", NEEDS, exemplified),
    ]
}

fn refused() -> Result<()> {
    for refusal in REFUSALS {
        let machine = begun()?;
        (refusal.make)(&machine)?;
        let output = script(&machine, "install.sh", &[MIGRATION, refusal.settings].concat())?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{:?}: {}:\n{message}", refusal.settings, output.status);
        for words in refusal.words {
            ensure!(message.contains(words), "{:?}: does not say {words:?}:\n{message}", refusal.settings);
        }
        ensure!(!machine.disk(PLUGIN).exists(), "{:?}: installed all the same", refusal.settings);
    }
    Ok(())
}

/// A final image without labels and taints, made of a migration image: nothing of ours is in it, and it is sealed all the same.
fn lost(format: &str) -> Result<()> {
    let machine = begun()?;
    let format = format!("CROSSFADE_FORMAT={format}");
    let installed = script(&machine, "install.sh", &[MIGRATION, &[&format]].concat())?;
    let policy = machine.disk("/usr/lib/crossfade/policy.json");
    ensure!(policy.exists(), "install.sh: {}", text(&installed));
    // What boots of the earlier image left, and a file of our plugin's name that is not ours.
    let ours = machine.disk("/opt/cni/bin/crossfade");
    fs::create_dir_all(machine.disk("/opt/cni/bin"))?;
    fs::copy(machine.disk(PLUGIN), &ours).context("a copy of the plugin")?;
    machine.write("/usr/lib/cni/crossfade", "of another program")?;
    machine.write("/var/lib/cni/networks/cbr0/10.244.0.2", "0123456789abcdef\neth0")?;

    // Twice: an image that is made anew of its own result.
    for _ in 0..2 {
        let settings = ["CROSSFADE_IMAGE=final", &format];
        let installed = script(&machine, "install.sh", &settings)?;
        ensure!(installed.status.success(), "install.sh: {}", text(&installed));
        let finished = script(&machine, "finish.sh", &settings)?;
        ensure!(finished.status.success(), "finish.sh: {}", text(&finished));
    }
    for gone in [
        "/usr/bin/crossfade-bootstrap",
        "/usr/libexec/crossfade",
        "/usr/lib/crossfade",
        "/etc/crossfade",
        "/usr/lib/systemd/system/kubelet.service.d/50-crossfade.conf",
        "/etc/systemd/system/multi-user.target.wants/crossfade-boot.service",
        "/var/lib/cni/networks/cbr0",
    ] {
        ensure!(fs::symlink_metadata(machine.disk(gone)).is_err(), "{gone} is in the image");
    }
    ensure!(!ours.exists(), "a copy of our plugin is in the image");
    ensure!(
        machine.read("/usr/lib/cni/crossfade")? == "of another program",
        "another program's plugin is gone"
    );
    let artifact = |name: &str| -> Result<Value> {
        let content = machine.read(format!("{UPLOADS}/artifacts/{name}.json"))?;
        serde_json::from_str(&content).with_context(|| format!("{name}.json: {content}"))
    };
    let image = artifact("image")?;
    ensure!(image["image"] == "final" && image["release"].is_null(), "{image:#}");
    ensure!(artifact("seal")?["sealed"] == true, "{:#}", artifact("seal")?);
    ensure!(artifact("selftest")?["skipped"].is_string(), "{:#}", artifact("selftest")?);
    let packages = artifact("packages")?;
    let has =
        |name: &str| packages.as_array().is_some_and(|all| all.iter().any(|package| package["name"] == name));
    ensure!(has("systemd") && !has("crossfade"), "{packages:#}");
    Ok(())
}

/// What people run where Packer does not: EC2 Image Builder's components, and the build of a bootable container.
fn exemplified() -> Result<()> {
    let example = |name: &str| {
        let path = dist::workspace().join("packer/examples").join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let mut component =
        [example("component.yaml")?, example("component-finish.yaml")?].map(commands).concat();
    for (parameter, value) in [("OldCni", "aws-vpc"), ("NewCni", "cilium"), ("Sha256", "")] {
        for command in &mut component {
            *command = command.replace(&format!("{{{{ {parameter} }}}}"), value);
        }
    }
    let container = example("Containerfile")?.replace("\\\n", " ");
    let steps = container.lines().filter_map(|line| line.strip_prefix("RUN ")).map(str::to_owned).collect();
    for (what, commands) in [("components", component), ("Containerfile", steps)] {
        ensure!(commands.len() >= 2, "{what}: {commands:?}");
        let machine = begun()?;
        image_build::furnish(&machine)?;
        for script in ["install.sh", "finish.sh"] {
            machine.write(Path::new(UPLOADS).join(script), machine.read(Path::new("/tmp").join(script))?)?;
        }
        for command in &commands {
            let line = ["env", "OLD=aws-vpc", "NEW=cilium", "SHA256=", "bash", "-c", command];
            let output = machine.chrooted(&line).output().context("bash")?;
            ensure!(output.status.success(), "{what}: {command}: {}", text(&output));
        }
        let policy = machine.read("/usr/lib/crossfade/policy.json")?;
        ensure!(policy.contains("aws-vpc") && policy.contains("cilium"), "{what}: {policy}");
        ensure!(!machine.disk(UPLOADS).exists(), "{what}: the uploads are in the image");
        ensure!(machine.read("/etc/machine-id")?.trim().is_empty(), "{what}: the image is not sealed");
    }
    Ok(())
}

/// The commands of a component of EC2 Image Builder.
fn commands(component: String) -> Vec<String> {
    let commands = component.lines().skip_while(|line| line.trim() != "commands:").skip(1);
    commands.filter_map(|line| line.trim().strip_prefix("- ")).map(str::to_owned).collect()
}

/// A machine that is off, with the scripts and the release uploaded.
fn begun() -> Result<Machine> {
    let machine = image_build::machine()?;
    for script in ["install.sh", "finish.sh"] {
        let path = dist::workspace().join("packer/bundle/scripts").join(script);
        machine.write(Path::new("/tmp").join(script), fs::read(path).context("a script of the bundle")?)?;
    }
    for entry in fs::read_dir(dist::packages()?)? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy().into_owned();
        let is_wanted = name == "SHA256SUMS"
            || path.extension().is_some_and(|extension| extension == "deb")
            || name.contains("-linux-") && name.ends_with(".tar.gz");
        if is_wanted {
            machine.write(Path::new(UPLOADS).join(name), fs::read(&path)?)?;
        }
    }
    Ok(machine)
}

fn script(machine: &Machine, name: &str, settings: &[&str]) -> Result<Output> {
    let path = format!("/tmp/{name}");
    let line = [&["env"], settings, &["bash", &path]].concat();
    machine.chrooted(&line).output().with_context(|| name.to_owned())
}

fn text(output: &Output) -> String {
    format!("{}\n{}", output.status, String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()))
}
