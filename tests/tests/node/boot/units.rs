//! The units without a boot: what `systemd-analyze` says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use lab::boot::Kit;
use lab::build::dist::workspace;
use lab::build::preflight::UNITS;
use lab::host::command::run;
use lab::host::scratch::Scratch;
use libtest_mimic::Trial;

/// Where our own units are, below a root.
const UNITS_DIR: &str = "usr/lib/systemd/system";

pub(crate) fn trials() -> Vec<Trial> {
    lab::trials_of![
        &[UNITS];
        systemd_has_nothing_to_say_about_our_units,
        a_misspelt_key_is_noticed,
        boot_and_watch_are_as_closed_as_promised,
        every_directive_that_orders_or_opens_has_its_reason,
        presets_enable_exactly_our_units,
    ]
}

/// Our package in a tree of its own, with whatever else `systemd-analyze` wants to see.
fn tree() -> Result<Scratch> {
    let scratch = Scratch::new("units")?;
    Kit::lay_out(scratch.path())?;
    let units = scratch.dir(UNITS_DIR)?;
    for unit in ["kubelet", "containerd", "crio"] {
        let shadow = format!("[Service]\nExecStart=/usr/bin/{unit}\n");
        fs::write(units.join(format!("{unit}.service")), shadow).context("a shadow unit")?;
        scratch.install(Path::new("/bin/true"), Path::new("usr/bin").join(unit))?;
    }
    Ok(scratch)
}

/// Every unit of the tree, by path.
fn units(tree: &Scratch) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(tree.join(UNITS_DIR)).context("our units")?;
    let mut all: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    all.sort();
    ensure!(all.len() == 6, "{all:?}");
    Ok(all)
}

/// `systemd-analyze verify` inside the tree, the distribution's units and libraries beside ours.
fn analyze(tree: &Scratch, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("unshare");
    // Over the lab's /usr, in a mount namespace of its own: units are looked for where they will be.
    let script = r#"mkdir -p "$1/upper" "$1/work"
mount -t overlay -o "lowerdir=$1/usr:/usr,upperdir=$1/upper,workdir=$1/work" overlay /usr
shift
exec "$@""#;
    command.args(["--mount", "--propagation", "private", "sh", "-ec", script, "analyze"]).arg(tree.path());
    command.arg("systemd-analyze").args(arguments).env("LC_ALL", "C");
    command.output().context("running systemd-analyze")
}

fn verified(tree: &Scratch) -> Result<Output> {
    let names = units(tree)?;
    let names = names.iter().filter_map(|path| path.file_name()?.to_str());
    let paths: Vec<String> = names.map(|name| format!("/{UNITS_DIR}/{name}")).collect();
    let mut arguments = vec!["verify", "--man=no"];
    arguments.extend(paths.iter().map(String::as_str));
    analyze(tree, &arguments)
}

/// Without what is said of units of the machine that builds: a newer systemd says that of an older one's.
fn about_ours(message: &str, tree: &Scratch) -> String {
    let is_theirs = |line: &&str| {
        let path = line.strip_prefix('/').and_then(|line| line.split(':').next());
        path.is_some_and(|path| Path::new("/").join(path).is_file() && !tree.join(path).exists())
    };
    message.lines().filter(|line| !is_theirs(line)).collect::<Vec<_>>().join("\n")
}

fn systemd_has_nothing_to_say_about_our_units() -> Result<()> {
    let tree = tree()?;
    let output = verified(&tree)?;
    let message = about_ours(&String::from_utf8_lossy(&output.stderr), &tree);
    // It ends with 0 over a misspelt key, which it only tells.
    ensure!(
        output.status.success() && message.is_empty() && output.stdout.is_empty(),
        "{}: {message}",
        output.status
    );
    Ok(())
}

fn a_misspelt_key_is_noticed() -> Result<()> {
    for file in ["crossfade-watch.service", "kubelet.service.d/50-crossfade.conf"] {
        let tree = tree()?;
        let path = tree.join(UNITS_DIR).join(file);
        let text = fs::read_to_string(&path)?.replace("[Service]", "[Service]\nWatchdogSecs=30");
        fs::write(&path, text)?;
        let message = String::from_utf8_lossy(&verified(&tree)?.stderr).into_owned();
        ensure!(message.contains("WatchdogSecs"), "{file}: {message:?}");
    }
    Ok(())
}

/// man 1 `systemd-analyze`, "security": the exposure of a unit, here in tenths; above the threshold it fails.
fn boot_and_watch_are_as_closed_as_promised() -> Result<()> {
    let tree = tree()?;
    for (unit, threshold) in
        [("crossfade-watch.service", 25), ("crossfade-boot.service", 40), ("crossfade-retract.service", 25)]
    {
        let threshold = format!("--threshold={threshold}");
        let path = format!("/{UNITS_DIR}/{unit}");
        let output = analyze(&tree, &["security", "--offline=yes", "--no-pager", &threshold, &path])?;
        let table = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{unit}:\n{table}{}", String::from_utf8_lossy(&output.stderr));
        ensure!(table.contains("Overall exposure level"), "{unit}: no verdict: {table}");
    }
    Ok(())
}

/// Directives that need a reason of their own in the comment above them.
const EXPLAINED: [&str; 18] = [
    "After",
    "Before",
    "BindsTo",
    "CapabilityBoundingSet",
    "ConditionPathExists",
    "EnvironmentFile",
    "ExecStartPre",
    "PartOf",
    "ProtectHome",
    "ProtectSystem",
    "ReadWritePaths",
    "Requires",
    "Restart",
    "RestrictAddressFamilies",
    "StartLimitIntervalSec",
    "TimeoutStartSec",
    "WatchdogSec",
    "Wants",
];

/// A comment is for the next such line below it.
fn every_directive_that_orders_or_opens_has_its_reason() -> Result<()> {
    let root = workspace().join("systemd").join(UNITS_DIR);
    let mut held = 0;
    for file in lab::host::scratch::files(&root)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let (mut before, mut explained) = ("", false);
        for line in text.lines() {
            let key = line.split('=').next().unwrap_or_default();
            if EXPLAINED.contains(&key) {
                // One reason is for one line, or for what is wanted together with the order to it.
                let pair = (before.split('=').next(), key) == (Some("Wants"), "After");
                ensure!(pair || explained, "{}: {line}: a reason above it is missing", file.display());
                explained = false;
                held += 1;
            }
            explained |= line.starts_with('#');
            before = line;
        }
    }
    ensure!(held > 20, "only {held} directives were looked at");
    Ok(())
}

fn presets_enable_exactly_our_units() -> Result<()> {
    let tree = tree()?;
    let mut systemctl = Command::new("systemctl");
    systemctl.arg("--root").arg(tree.path()).args(["preset-all", "--preset-mode=enable-only"]);
    // What is not named by a preset is disabled, so that only ours can be enabled.
    fs::write(tree.join("usr/lib/systemd/system-preset/99-none.preset"), "disable *\n")
        .context("a preset")?;
    run(&mut systemctl)?;
    let mut links: Vec<String> = Vec::new();
    for link in lab::host::scratch::files(&tree.join("etc/systemd/system"))? {
        links.push(link.strip_prefix(tree.path())?.display().to_string());
    }
    links.sort();
    let wants = "etc/systemd/system/multi-user.target.wants";
    ensure!(
        links == [format!("{wants}/crossfade-boot.service"), format!("{wants}/crossfade-watch.service")],
        "{links:?}"
    );
    Ok(())
}
