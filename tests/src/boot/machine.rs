//! A machine: its disk, its boots, and what is asked of it while it runs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use super::disk::Disk;
use super::journal::Journal;
use super::nspawn::{self, BootExit, Nspawn};
use super::{Kit, furniture};
use crate::host::{command, deadline};

/// What a change of root needs around it.
const CHROOT: &str = r#"
root=$1
shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
exec chroot "$root" "$@"
"#;

/// A machine; everything of it is gone when it is dropped.
#[derive(Debug)]
pub struct Machine {
    // Before the disk, so that it ends before it.
    running: Option<Nspawn>,
    name: String,
    arguments: Vec<String>,
    netns: Option<PathBuf>,
    disk: Disk,
}

impl Machine {
    /// A machine with containerd, our package, and no settings: everything enabled that the presets enable.
    ///
    /// # Errors
    /// A program is not built, or a part is not fetched.
    pub fn new() -> Result<Self> {
        let package = Kit::shared()?.package();
        let machine = Self::make(Some(&package))?;
        machine.preset()?;
        Ok(machine)
    }

    /// The same machine without our package, and with a `/usr` that cannot be written to.
    ///
    /// # Errors
    /// As [`Machine::new`].
    pub fn bare() -> Result<Self> {
        Kit::shared()?;
        Self::make(None)
    }

    /// The same machine without our package, onto whose `/usr` a package manager can put it.
    ///
    /// # Errors
    /// As [`Machine::new`].
    pub fn without_package() -> Result<Self> {
        let machine = Self::make(Some(&Kit::shared()?.nothing()?))?;
        for directory in ["/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/var/lib/dpkg/triggers"] {
            fs::create_dir_all(machine.disk(directory)).context("dpkg's database")?;
        }
        machine.write("/var/lib/dpkg/status", "")?;
        Ok(machine)
    }

    /// A machine of an image, whose root directory is not changed: everything as the image has it, but for how a test looks
    /// at it ([`furniture::observe`]).
    ///
    /// # Errors
    /// What the file system says.
    pub fn of_image(image: &Path) -> Result<Self> {
        let machine = Self::with(Disk::of_image(image)?);
        furniture::observe(&machine)?;
        Ok(machine)
    }

    fn make(package: Option<&Path>) -> Result<Self> {
        let machine = Self::with(Disk::of_lab(package)?);
        furniture::observe(&machine)?;
        furniture::furnish(&machine)?;
        Ok(machine)
    }

    fn with(disk: Disk) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("machine-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self { running: None, name, arguments: Vec::new(), netns: None, disk }
    }

    /// Whether its `/usr` can be written to.
    pub(super) fn has_layer(&self) -> bool {
        self.disk.has_layer()
    }

    /// Where a path of the disk is for the lab. Not for `/run`, which is not on the disk.
    pub fn disk(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.disk.root().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Writes a file, mode 0644, with the directories above it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.disk(path);
        let parent = path.parent().context("a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))
    }

    /// Writes a script, mode 0755.
    ///
    /// # Errors
    /// What the file system says.
    pub fn script(&self, path: impl AsRef<Path>, content: &str) -> Result<()> {
        self.write(&path, content)?;
        fs::set_permissions(self.disk(&path), fs::Permissions::from_mode(0o755)).context("mode of a script")
    }

    /// Takes our package off the disk and leaves everything that came to be since, as a package manager does.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove_package(&self) -> Result<()> {
        let package = Kit::shared()?.package();
        for file in package_files(&package)? {
            let path = self.disk("/usr").join(file.strip_prefix(&package)?);
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }

    /// Reads a file of the disk.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.disk(path);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Writes a unit into /etc/systemd/system and has it started with the machine.
    ///
    /// # Errors
    /// What the file system says.
    pub fn unit(&self, name: &str, text: &str) -> Result<()> {
        self.write(Path::new("/etc/systemd/system").join(name), text)?;
        self.enable(name)
    }

    /// Has a unit started with the machine.
    ///
    /// # Errors
    /// What the file system says.
    pub fn enable(&self, name: &str) -> Result<()> {
        let wants = self.disk("/etc/systemd/system/multi-user.target.wants");
        fs::create_dir_all(&wants).context("wants")?;
        let places =
            ["/etc/systemd/system", "/usr/lib/systemd/system"].map(|place| Path::new(place).join(name));
        let unit = places.iter().find(|place| self.disk(place).exists());
        let unit = unit.with_context(|| format!("enabling {name}: there is no such unit"))?;
        symlink(unit, wants.join(name)).with_context(|| format!("enabling {name}"))
    }

    /// Enables what the presets enable, of the units that are installed and of no others.
    ///
    /// # Errors
    /// systemctl fails.
    pub fn preset(&self) -> Result<()> {
        let mut systemctl = Command::new("systemctl");
        systemctl.arg("--root").arg(self.disk("/")).args(["preset", "crossfade-boot", "crossfade-watch"]);
        command::run(&mut systemctl).map(drop)
    }

    /// Further words of the kernel's command line, from the next boot on.
    ///
    /// # Errors
    /// What the file system says.
    pub fn kernel_arguments(&mut self, words: &[&str]) -> Result<()> {
        self.arguments = words.iter().map(|word| (*word).to_owned()).collect();
        self.write("/etc/lab/cmdline", format!("quiet {}\n", words.join(" ")))
    }

    /// Gives the machine a network namespace that is there already, from the next boot on. Its links outlive a boot.
    pub fn plug_into(&mut self, netns: PathBuf) {
        self.netns = Some(netns);
    }

    /// Boots. Returns as soon as PID 1 runs.
    ///
    /// # Errors
    /// It runs already, or does not boot; the message says what it said.
    pub fn boot(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "{} runs already", self.name);
        self.running =
            Some(Nspawn::start(&self.name, self.disk.root(), self.netns.as_deref(), &self.arguments)?);
        Ok(())
    }

    /// Boots, and waits until systemd has done what a boot is.
    ///
    /// # Errors
    /// As [`Machine::boot`].
    pub fn boot_whole(&mut self) -> Result<()> {
        self.boot()?;
        self.boot_settled()
    }

    /// Waits until systemd has done what a boot is.
    ///
    /// # Errors
    /// It does not; the message has the end of the journal.
    pub fn boot_settled(&mut self) -> Result<()> {
        self.until("the whole boot", |machine| {
            let state = machine.ask(&["systemctl", "is-system-running"]);
            Ok(matches!(state.trim(), "running" | "degraded"))
        })
    }

    /// Goes down in good order and boots again.
    ///
    /// # Errors
    /// It does not run, or does not come up.
    pub fn reboot(&mut self) -> Result<()> {
        let running = self.running.take().context("the machine is off")?;
        running.tell(5)?;
        let ended = running.wait()?;
        ensure!(ended == BootExit::Reboot, "{} was to reboot: {ended}", self.name);
        self.boot()
    }

    /// Goes down in good order.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn halt(&mut self) -> Result<()> {
        let running = self.running.take().context("the machine is off")?;
        running.tell(4)?;
        let ended = running.wait()?;
        ensure!(ended == BootExit::Off, "{} was to power off: {ended}", self.name);
        Ok(())
    }

    /// Pulls the plug.
    pub fn crash(&mut self) {
        self.running = None;
    }

    /// A command inside the running machine, as root, with nothing of the lab's environment.
    ///
    /// # Errors
    /// The machine is off.
    pub fn command(&self, line: &[&str]) -> Result<Command> {
        let running = self.running.as_ref().context("the machine is off")?;
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(running.leader().to_string());
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--"]).args(line);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin");
        Ok(command)
    }

    /// A program of the lab that has the running machine's network, and nothing else of it.
    ///
    /// # Errors
    /// The machine is off.
    pub fn in_its_network(&self, program: &str) -> Result<Command> {
        let running = self.running.as_ref().context("the machine is off")?;
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(running.leader().to_string()).args(["--net", "--", program]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Ok(command)
    }

    /// A command in the root directory of the machine while it is off, as an image build that only changes root runs it: with a
    /// `/proc`, a `/dev` and a `/run` that are gone with the command, and no systemd.
    pub fn chrooted(&self, line: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
        command.args(["sh", "-ec", CHROOT, "chroot"]).arg(self.disk("/")).args(line);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Runs a command inside the running machine; its stdout.
    ///
    /// # Errors
    /// It fails; the message has what it said.
    pub fn run(&self, line: &[&str]) -> Result<String> {
        command::run(&mut self.command(line)?).with_context(|| format!("on {}", self.name))
    }

    /// The same, however it ends; empty when it cannot be run.
    pub fn ask(&self, line: &[&str]) -> String {
        let output = self.command(line).and_then(|mut command| Ok(command.output()?));
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    /// What systemd says about a property of a unit.
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.ask(&["systemctl", "show", "--value", "--property", property, unit]).trim().to_owned()
    }

    /// Where a path is for the lab while the machine runs, `/run` included.
    ///
    /// # Errors
    /// The machine is off.
    pub fn inside(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        let running = self.running.as_ref().context("the machine is off")?;
        let path = path.as_ref();
        let root = PathBuf::from(format!("/proc/{}/root", running.leader()));
        Ok(root.join(path.strip_prefix("/").unwrap_or(path)))
    }

    /// Reads a file of the running machine, none when it is absent.
    ///
    /// # Errors
    /// The machine is off, or what the file system says.
    pub fn look(&self, path: impl AsRef<Path>) -> Result<Option<String>> {
        match fs::read_to_string(self.inside(&path)?) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.as_ref().display())),
        }
    }

    /// Names in a directory of the running machine, sorted; none when it is absent.
    ///
    /// # Errors
    /// The machine is off.
    pub fn list(&self, directory: impl AsRef<Path>) -> Result<Vec<String>> {
        Ok(names(&self.inside(directory)?))
    }

    /// Waits until something holds on the running machine.
    ///
    /// # Errors
    /// It does not; the message has the end of the journal.
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&Machine) -> Result<bool>) -> Result<()> {
        let waited = deadline::until(what, nspawn::LIMIT, || {
            ensure!(!self.is_over()?, "the machine ended: {}", self.log_tail());
            Ok(condition(self)?.then_some(()))
        });
        waited.with_context(|| {
            format!("{}\n{}", self.name, self.journal().map(|journal| journal.tail()).unwrap_or_default())
        })
    }

    /// The journal of all boots so far.
    ///
    /// # Errors
    /// journalctl cannot be run.
    pub fn journal(&self) -> Result<Journal> {
        Journal::read(&self.disk("/var/log/journal"))
    }

    fn is_over(&mut self) -> Result<bool> {
        self.running.as_mut().map_or(Ok(true), Nspawn::is_over)
    }

    fn log_tail(&self) -> String {
        self.running.as_ref().map(Nspawn::log_tail).unwrap_or_default()
    }
}

/// Files and links below a directory, dangling ones included.
fn package_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(package_files(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Names in a directory, sorted; none when it is absent.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
