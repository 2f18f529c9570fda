//! Calls of the shim and of the node's program, and what is seen of them.

use std::{
    fmt,
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::process::ExitStatusExt,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use lab::{
    case::invariants,
    host::deadline::until,
    runtime::caller::{Outcome, Plugin, Running},
    standin::stub::{Call as StubCall, Event, Gate, PATIENCE, events},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use super::{SECRET, Stage};
use crate::history::{Call, FailureKind, Key, Part, Verb};

/// More than any deadline of a policy here, so that only a hang is taken for one.
const NO_ANSWER: Duration = Duration::from_secs(120);

/// How a caller ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallOutcome {
    /// With success.
    Success,
    /// With an error object of this code; the node's program with this exit status.
    Code(u64),
    /// By the SIGKILL that was meant for it.
    Killed,
}

/// What is seen of one operation.
#[derive(Debug, Clone)]
pub(crate) struct CallObservation {
    pub(crate) ended: CallOutcome,
    /// The reply of an ADD that succeeded.
    pub(crate) reply: Option<Value>,
    /// What the stubs were called with, in order.
    pub(crate) calls: Vec<StubCall>,
    /// Everything it said, for people.
    pub(crate) said: String,
    /// The last of the calls was left hanging.
    pub(crate) hung: bool,
}

impl fmt::Display for CallObservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = |call: &StubCall| format!("{} of {}", call.brief(), call.var("CNI_CONTAINERID"));
        let calls: Vec<String> = self.calls.iter().map(call).collect();
        write!(f, "ended {:?} after calls {calls:?}; it said {}", self.ended, self.said.trim())
    }
}

impl Stage {
    /// Runs one call to its end.
    pub(crate) fn run(&self, call: &Call, valid: &[Key]) -> Result<CallObservation> {
        self.with_faults(call, |stage| {
            let outcome = stage.plugin(call, valid, "")?.run()?;
            stage.seen(call, &outcome)
        })
    }

    /// Runs one call that is killed at a system call, if it gets there.
    pub(crate) fn run_killed(
        &self,
        call: &Call,
        valid: &[Key],
        syscall: &str,
        nth: u16,
    ) -> Result<CallObservation> {
        self.with_faults(call, |stage| {
            let strace = format!(
                "strace -D -o /dev/null -e trace={syscall} -e inject={syscall}:signal=SIGKILL:when={nth}"
            );
            let outcome = stage.plugin(call, valid, &strace)?.run()?;
            stage.quiet()?;
            stage.seen(call, &outcome)
        })
    }

    /// Runs one call that is killed while `part` is in the midst of it; if it never comes to that, to its end.
    pub(crate) fn run_orphaned(&self, call: &Call, part: Part, hangs: bool) -> Result<CallObservation> {
        let verb = if matches!(call, Call::Add { .. } | Call::Join { .. }) { Verb::Add } else { Verb::Del };
        let gate = Gate::closed(&self.path(&format!("gate{}", self.log_read.get())))?;
        self.write_scripts(&[], Some((part, verb, &gate)))?;
        let mut shim = self.plugin(call, &[], "")?.spawn()?;
        let before = self.log_read.get();
        let reached = until("the shim's end or the plugin it is to be killed at", PATIENCE, || {
            let calls = self.calls()?;
            self.log_read.set(before);
            let there = calls.iter().any(|call| call.name == part.plugin() && call.verb() == verb.name());
            Ok(if there || !shim.is_running()? { Some(there) } else { None })
        })?;
        if !reached {
            let seen = self.seen(call, &shim.wait()?);
            self.write_scripts(&[], None)?;
            return seen;
        }
        shim.signal(Signal::SIGKILL)?;
        if hangs {
            // It ends with the gate's file: at the next verb, at a reboot, or with this stage.
            self.gates.borrow_mut().push(gate);
        } else {
            gate.open()?;
            self.quiet()?;
        }
        let seen = CallObservation {
            ended: CallOutcome::Killed,
            reply: None,
            calls: self.calls()?,
            said: String::new(),
            hung: hangs,
        };
        self.write_scripts(&[], None)?;
        Ok(seen)
    }

    /// Runs calls at once; one outcome each.
    pub(crate) fn run_together(&self, calls: &[Call], valid: &[Vec<Key>]) -> Result<Vec<CallObservation>> {
        // One script each for all, so the first call's faults are everybody's.
        let faults = calls.first().map(Call::faults).unwrap_or_default();
        self.write_scripts(faults, None)?;
        let mut running: Vec<Running> = Vec::new();
        for (call, valid) in calls.iter().zip(valid) {
            running.push(self.plugin(call, valid, "")?.spawn()?);
        }
        let pids: Vec<i32> = running.iter().map(Running::pid).collect();
        let outcomes: Vec<Outcome> = running.into_iter().map(Running::wait).collect::<Result<_>>()?;
        let all = self.calls()?;
        let calls_by = |pid: i32| all.iter().filter(|call| call.ppid == pid).cloned().collect();
        let known = all.iter().all(|call| pids.contains(&call.ppid));
        ensure!(known, "a plugin was called by no process of this run: {all:?}");
        let seen = calls.iter().zip(&outcomes).zip(pids).map(|((call, outcome), pid)| {
            let seen = self.observe(call, outcome)?;
            Ok(CallObservation { calls: calls_by(pid), ..seen })
        });
        let seen = seen.collect();
        self.write_scripts(&[], None)?;
        seen
    }

    fn with_faults(
        &self,
        call: &Call,
        run: impl FnOnce(&Self) -> Result<CallObservation>,
    ) -> Result<CallObservation> {
        let faults = call.faults();
        let hurried = faults.iter().any(|fault| fault.how == FailureKind::Hang);
        if !faults.is_empty() {
            self.write_scripts(faults, None)?;
        }
        if hurried {
            self.hurry(true)?;
        }
        let seen = run(self);
        if hurried {
            self.hurry(false)?;
        }
        if !faults.is_empty() {
            self.write_scripts(&[], None)?;
        }
        seen
    }

    /// The call as a runtime makes it; `valid` is what it would list. A wrapper comes before the program.
    fn plugin(&self, call: &Call, valid: &[Key], wrapper: &str) -> Result<Plugin> {
        let program = if matches!(call, Call::Sweep { .. }) { "crossfade-bootstrap" } else { "crossfade" };
        let bin = self.stubs.path().display().to_string();
        let mut plugin = Plugin::new(&self.path(program))
            .patience(NO_ANSWER)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_PATH", &bin);
        let mut conf = json!({
            "cniVersion": "1.1.0", "name": "k8s-pod-network", "type": "crossfade",
            "policy": self.path("policy.json"), "stateDir": self.path("state"), "runDir": self.path("run"),
            "capabilities": {"io.kubernetes.cri.pod-annotations": true, "portMappings": true}
        });
        if let Some(key) = call.key().filter(|key| self.real && key.has_port()) {
            let port = 8000 + u16::from(key.container) * 2 + u16::from(key.ifname);
            conf["runtimeConfig"] =
                json!({"portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]});
        }
        match call {
            Call::Sweep { .. } => return self.sweep(plugin, valid, wrapper),
            Call::Add { annotation: Some(wish), .. }
            | Call::Join { annotation: Some(wish), .. }
            | Call::Leave { annotation: Some(wish), .. } => {
                let annotations = json!({"crossfade/attach": wish.name()});
                conf["runtimeConfig"]["io.kubernetes.cri.pod-annotations"] = annotations;
            }
            Call::Gc { list, .. } if *list != crate::history::List::Missing => {
                conf["cni.dev/valid-attachments"] = entries(valid);
            }
            _ => {}
        }
        plugin = plugin.read_by_the_oracle().stdin(&conf.to_string()).env("CNI_COMMAND", call.name());
        if !wrapper.is_empty() {
            plugin = plugin.wrapped(&wrapper.split(' ').collect::<Vec<_>>());
        }
        let Some(key) = call.key() else { return Ok(plugin) };
        let without_netns = matches!(call, Call::Del { without_netns: true, .. });
        let netns = if without_netns { String::new() } else { self.netns_path(key.container) };
        if matches!(call, Call::Add { .. }) {
            self.make_netns(key.container)?;
        }
        let kind = if key.is_special() { "special" } else { "plain" };
        let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns1;K8S_POD_NAME={kind}-{}", key.container);
        Ok(plugin
            .env("CNI_CONTAINERID", &key.id())
            .env("CNI_IFNAME", &key.ifname())
            .env("CNI_NETNS", &netns)
            .env("CNI_ARGS", &args))
    }

    fn sweep(&self, plugin: Plugin, valid: &[Key], wrapper: &str) -> Result<Plugin> {
        // One file per list, since two sweeps may run at once.
        let keys: Vec<String> = valid.iter().map(ToString::to_string).collect();
        let listed = self.path(&format!("listed-{}.json", keys.join("-")));
        std::fs::write(&listed, entries(valid).to_string()).context("write the list")?;
        let at = |name: &str| self.path(name).display().to_string();
        let script = format!(
            "exec {wrapper} \"$0\" unit sweep --output json --conf-dir {} --state-dir {} --run-dir {} --policy {} --listed {} --bin-dir {}",
            at("net.d"),
            at("state"),
            at("run"),
            at("policy.json"),
            listed.display(),
            at("bin"),
        );
        Ok(plugin.wrapped(&["sh", "-c", &script]))
    }

    fn seen(&self, call: &Call, outcome: &Outcome) -> Result<CallObservation> {
        Ok(CallObservation { calls: self.calls()?, ..self.observe(call, outcome)? })
    }

    /// How a caller ended and what it said; the shared invariants of a single answer hold.
    fn observe(&self, call: &Call, outcome: &Outcome) -> Result<CallObservation> {
        let streams = [("stdout", outcome.stdout.as_bytes()), ("stderr", outcome.stderr.as_bytes())];
        invariants::hold(&invariants::secret(SECRET, streams))?;
        let said = format!("{} {}", outcome.stdout, outcome.stderr);
        let seen = |ended, reply| {
            Ok(CallObservation { ended, reply, calls: Vec::new(), said: said.clone(), hung: false })
        };
        if outcome.status.signal() == Some(Signal::SIGKILL as i32) {
            return seen(CallOutcome::Killed, None);
        }
        if matches!(call, Call::Sweep { .. }) {
            let Some(code) = outcome.status.code() else { bail!("the sweep ended by a signal: {outcome:?}") };
            return seen(
                if code == 0 { CallOutcome::Success } else { CallOutcome::Code(u64::try_from(code)?) },
                None,
            );
        }
        let finding = invariants::answer(call.name(), outcome.status.into(), &outcome.stdout);
        invariants::hold(&Vec::from_iter(finding))?;
        if outcome.status.success() {
            let reply = if matches!(call, Call::Add { .. }) { Some(outcome.result()?) } else { None };
            return seen(CallOutcome::Success, reply);
        }
        let refusal = outcome.error()?;
        let text = refusal.text().to_lowercase();
        let taken_for_success = text.contains("not found") || text.contains("no such file or directory");
        ensure!(
            !(matches!(call, Call::Del { .. }) && taken_for_success),
            "a runtime takes this for success: {refusal:?}"
        );
        seen(CallOutcome::Code(refusal.code), None)
    }

    /// What the stubs were called with since the last look, VERSION aside.
    pub(crate) fn calls(&self) -> Result<Vec<StubCall>> {
        let Ok(mut log) = File::open(self.path("calls.jsonl")) else { return Ok(Vec::new()) };
        log.seek(SeekFrom::Start(self.log_read.get()))?;
        let mut text = String::new();
        log.read_to_string(&mut text)?;
        // A line that is being written counts when it ends.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        self.log_read.set(self.log_read.get() + text.len() as u64);
        let calls = events(&text)?.into_iter().filter_map(|event| match event {
            Event::Call(call) if call.verb() != "VERSION" => Some(*call),
            Event::Call(_) | Event::Spawned { .. } => None,
        });
        Ok(calls.collect())
    }

    /// Waits until no process of this node works any more.
    pub(crate) fn quiet(&self) -> Result<()> {
        // One that was left hanging works on to its end.
        for gate in self.gates.take() {
            gate.open()?;
        }
        until("the end of everybody on the node", PATIENCE, || Ok(self.processes().is_empty().then_some(())))
    }

    /// Processes of this node, in words that begin with the pid.
    pub(crate) fn processes(&self) -> Vec<String> {
        invariants::processes_naming(&self.path("bin").display().to_string())
    }

    /// Kills everybody on the node, as a power loss does.
    pub(crate) fn end_everybody(&self) -> Result<()> {
        until("the end of everybody on the node", PATIENCE, || {
            let all = self.processes();
            for process in &all {
                let pid = process.split(' ').next().unwrap_or_default().parse().context("a pid")?;
                // Gone by itself meanwhile, then.
                let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            Ok(all.is_empty().then_some(()))
        })
    }
}

fn entries(keys: &[Key]) -> Value {
    keys.iter().map(|key| json!({"containerID": key.id(), "ifname": key.ifname()})).collect()
}
