//! One plugin call, prepared once and repeated cheaply.
//!
//! Everything but the call itself is done beforehand: stdin and stdout are open files of a tmpfs, the program is started with
//! `posix_spawn`. The time of a call is from before the start of the process to its end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::host::scratch;

/// Who a call is for.
#[derive(Debug, Clone)]
pub(super) struct Attachment {
    /// CNI_CONTAINERID.
    pub(super) id: String,
    /// CNI_NETNS.
    pub(super) netns: String,
    /// CNI_IFNAME.
    pub(super) ifname: String,
}

/// A call of one verb of one plugin, for one attachment at a time.
#[derive(Debug)]
pub(super) struct Call {
    command: Command,
    verb: String,
    stdin: File,
    output: File,
}

impl Call {
    /// Prepares a call of `program`, with `bin` as CNI_PATH.
    ///
    /// # Errors
    /// No scratch file.
    pub(super) fn new(program: &Path, verb: &str, bin: &Path, stdin: &Value) -> Result<Call> {
        let scratch = || tempfile::tempfile_in(scratch::ROOT).context("scratch file of a call");
        let (stdin_file, output) = (scratch()?, scratch()?);
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_PATH", bin);
        connect(&mut command, &stdin_file, &output)?;
        let mut call = Call { command, verb: verb.to_owned(), stdin: stdin_file, output };
        call.stdin(stdin)?;
        Ok(call)
    }

    /// The call is for this attachment from now on.
    pub(super) fn attachment(&mut self, attachment: &Attachment) -> &mut Call {
        let Attachment { id, netns, ifname } = attachment;
        let args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME={id};\
             K8S_POD_INFRA_CONTAINER_ID={id};K8S_POD_UID={id}"
        );
        self.command
            .env("CNI_CONTAINERID", id)
            .env("CNI_NETNS", netns)
            .env("CNI_IFNAME", ifname)
            .env("CNI_ARGS", args);
        self
    }

    /// Replaces what it reads.
    ///
    /// # Errors
    /// The scratch file cannot be written.
    pub(super) fn stdin(&mut self, stdin: &Value) -> Result<()> {
        self.stdin.set_len(0)?;
        self.stdin.seek(SeekFrom::Start(0))?;
        self.stdin.write_all(stdin.to_string().as_bytes()).context("stdin of a call")
    }

    /// Runs it once; how long it took.
    ///
    /// # Errors
    /// It cannot be started or fails; the message has what it said.
    pub(super) fn run(&mut self) -> Result<Duration> {
        self.stdin.seek(SeekFrom::Start(0))?;
        self.output.set_len(0)?;
        self.output.seek(SeekFrom::Start(0))?;
        let began = Instant::now();
        let status = self.command.spawn().and_then(|mut child| child.wait());
        let took = began.elapsed();
        let status = status.with_context(|| format!("starting {:?}", self.command.get_program()))?;
        if !status.success() {
            let output = self.read_output().unwrap_or_default();
            bail!("{} {}: {status}: {output}", self.program().display(), self.verb);
        }
        Ok(took)
    }

    /// The JSON document that it answered last.
    ///
    /// # Errors
    /// It answered something else.
    pub(super) fn answer(&mut self) -> Result<Value> {
        let output = self.read_output()?;
        serde_json::from_str(&output).with_context(|| format!("the answer {output:?}"))
    }

    pub(super) fn program(&self) -> &Path {
        Path::new(self.command.get_program())
    }

    /// The same call under a wrapper that runs what follows it, with its own stdout and stderr discarded.
    ///
    /// # Errors
    /// An empty wrapper.
    pub(super) fn wrapped(&self, wrapper: &[&OsStr]) -> Result<Command> {
        let (program, arguments) = wrapper.split_first().context("an empty wrapper")?;
        let mut command = self.after(program, arguments);
        (&self.stdin).seek(SeekFrom::Start(0))?;
        command.stdin(self.stdin.try_clone()?).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    /// `program` with `arguments`, the last of which is this call's program, and with this call's environment.
    fn after(&self, program: &OsStr, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).env_clear();
        for (name, value) in self.command.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }

    fn read_output(&mut self) -> Result<String> {
        let mut output = String::new();
        self.output.seek(SeekFrom::Start(0))?;
        self.output.read_to_string(&mut output).context("the answer of a call")?;
        Ok(output)
    }
}

/// Lets the command read from `stdin` and write to `output`, errors as well.
fn connect(command: &mut Command, stdin: &File, output: &File) -> Result<()> {
    command.stdin(stdin.try_clone()?).stdout(output.try_clone()?).stderr(output.try_clone()?);
    Ok(())
}
