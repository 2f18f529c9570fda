//! `status`: the state of this node, and the report of `watch`.

mod follow;
mod problems;
pub(crate) mod reported;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader};
use std::time::Duration;

use convergence::failure::Failure;
use convergence::node::agent::status_file::{NOT_READY, StatusFile};
use convergence::node::attachments::{Attachments, Life, attached};
use convergence::node::facts::NodeFacts;
use convergence::node::paths::{BOOTED, STATUS};
use convergence::node::policy::{roll, secondary};
use convergence::node::settings::directories::Directories;
use convergence::node::settings::{InvalidSettings, Settings};
use convergence::report::{Page, Report};
use convergence::runtime::answer::ConfUse;
use serde::Serialize;
use shim::node::store::Store;
use types::api::observed::AttachmentCounts;
use types::command::exit::Exit;
use types::command::problem::Problem;
use types::node::Mode;
use types::packets::Packets;
use types::policy::{Phase, Policy};
use types::status::{Document, NotMoved};

use self::follow::{wait, wait_until};
use crate::cli::{self, Global, fix, print};
use crate::host::root::Root;
use crate::node::agent::status_file;
use crate::node::attachments::{self, hostroutes};
use crate::node::cni::{self, PluginChoice};
use crate::node::settings::mode;
use crate::node::{facts, identity};

pub(crate) use self::follow::follow;
pub(crate) use self::reported::read_reported;

/// Where this node stands.
///
/// *Shape*:
/// `{"confDir":"shared","phase":"both-old","installed":true,"networks":{"oldnet":{"records":2,"inventory":1}},"attached":{"old":1,"both-old":2},
/// "base":"77..","mints":["both-old"],"follows":["old","both-old"],"pendingDels":0,"ledgerLines":0,"warnings":[],"watch":{..}}`.
///
/// `attached`, `base`, `mints` and `follows` are what the Node's annotation `crossfade/observed` says ([`types::api::observed`]).
///
/// `installed` says whether Crossfade's conf is in place and the runtime, where it answers that, uses it. `phase` is null where the policy
/// cannot be used. `watch` is the content of status.json, with `stale` where no running `watch` wrote it, and null where there is none.
/// `warnings` are what the policy in force asks of people elsewhere in the cluster, and fail nothing. On a node without Crossfade's plugin
/// (`confDir` none) `phase` and `watch` are null, and all is well once `boot` has succeeded and nothing of an earlier image is left.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Status {
    #[serde(rename = "confDir")]
    conf_dir: Mode,
    phase: Option<Phase>,
    installed: bool,
    networks: BTreeMap<String, Count>,
    attached: AttachmentCounts,
    base: Option<String>,
    mints: BTreeSet<Phase>,
    follows: Vec<Phase>,
    #[serde(rename = "pendingDels")]
    pending_dels: usize,
    #[serde(rename = "ledgerLines")]
    ledger_lines: usize,
    warnings: Vec<String>,
    #[serde(skip)]
    problems: Vec<Problem>,
    watch: Option<WatchReport>,
    /// Waited for `watch` to say that the node is ready, and it did not.
    #[serde(skip)]
    timed_out: bool,
    /// Whether the policy or node.json cannot be used.
    #[serde(skip)]
    bad_settings: bool,
}

/// The report of `watch`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Watched"))]
struct WatchReport {
    #[serde(flatten)]
    document: Document,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<String>,
}

/// Prints where this node stands, as it was asked for.
///
/// # Errors
/// When state cannot be read.
pub(crate) fn answer(global: &Global, args: &cli::Status) -> Result<Exit, Failure> {
    if args.follow {
        return Ok(follow(global));
    }
    if args.reported {
        return Ok(print::report(global.output, &read_reported(global)));
    }
    Ok(print::report(global.output, &run(global, args)?))
}

/// Looks, once or until `watch` says that the node is ready.
///
/// # Errors
/// When state cannot be read.
fn run(global: &Global, args: &cli::Status) -> Result<Status, Failure> {
    let root = Root::new(&global.root);
    // If node.json cannot be used, the rest of the status stays useful, with the mode that other sources give.
    let settings = mode::settings(&root);
    let bad = settings.unusable.as_ref().map(|InvalidSettings { why, mode_by, .. }| {
        format!("{why}; what is said here is for confDir {}: {mode_by}", settings.node.conf_dir.as_str())
    });
    let mut status = node_status(global, args, settings)?;
    status.bad_settings |= bad.is_some();
    status.problems.splice(0..0, bad.map(Problem::from));
    Ok(status)
}

fn node_status(global: &Global, args: &cli::Status, settings: Settings) -> Result<Status, Failure> {
    let within = args.wait.then_some(Duration::from_secs(args.timeout));
    if settings.node.conf_dir == Mode::Without {
        return status_without_node(global, settings, within);
    }
    let file = Root::new(&global.root).join(STATUS);
    let policy = || facts::gather_from_files(global, settings.clone()).dirs.layout.policy_file();
    let ready = within.is_none_or(|within| wait(&file, (&policy(), &global.profiles), within));
    let node = facts::with_runtime(global, settings, &args.runtime);
    let mut status = status(&node)?;
    let dirs = node.dirs;
    let read = status_file::read(&file);
    status.problems.extend(problems::watch_problem(global, &dirs, &read));
    let watched = match read {
        StatusFile::Absent => Ok(None),
        StatusFile::Unreadable(why) => Err(why),
        StatusFile::Fresh(document) => Ok(Some(WatchReport { document, stale: None })),
        StatusFile::Stale(document, why) => Ok(Some(WatchReport { document, stale: Some(why) })),
    };
    match watched {
        Ok(watched) => status.watch = watched,
        Err(why) => status.problems.push(Problem::new(why).with_place(STATUS)),
    }
    if let Some(WatchReport { document, stale: None }) = &status.watch
        && !document.ready
    {
        let problem = Problem::new(format!("{}: {}", document.reason, document.message)).with_place(STATUS);
        status.problems.push(problem.fix(NOT_READY));
    }
    status.time_out(ready, args.timeout);
    Ok(status)
}

impl Status {
    /// Says that a wait was in vain, where nothing else does.
    fn time_out(&mut self, ready: bool, within_secs: u64) {
        self.timed_out = !ready;
        if self.timed_out && self.problems.is_empty() {
            let why = format!("watch did not report a ready node within {within_secs} seconds");
            self.problems.push(
                Problem::new(why).with_place(STATUS).fix("look at watch: journalctl -u crossfade-watch"),
            );
        }
    }
}

/// The status of a node without Crossfade's plugin: `watch` does not run, and no pod comes through Crossfade.
fn status_without_node(
    global: &Global,
    settings: Settings,
    wait: Option<Duration>,
) -> Result<Status, Failure> {
    let root = Root::new(&global.root);
    let booted = || identity::is_current(&root);
    let ready = wait.is_none_or(|within| wait_until(&root.join(BOOTED), Some(within), || booted().is_ok()));
    let dirs = facts::gather_from_files(global, settings).dirs;
    let attachments = attachments::list(&dirs.layout, None)?;
    let networks = count(&attachments);
    let mut problems: Vec<Problem> = booted().err().into_iter().collect();
    problems.extend(problems::earlier_image_problems(&dirs, !networks.is_empty()));
    Ok(Status {
        conf_dir: Mode::Without,
        phase: None,
        installed: false,
        pending_dels: pending_dels(&attachments),
        ledger_lines: ledger_lines(&dirs)?,
        networks,
        attached: attached::count(&attachments, None),
        base: None,
        mints: BTreeSet::new(),
        follows: Vec::new(),
        warnings: Vec::new(),
        problems,
        watch: None,
        timed_out: !ready,
        bad_settings: false,
    })
}

/// Attachments of one network, by its own name. One that has both networks counts for both.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Count {
    records: usize,
    inventory: usize,
}

/// Gathers the status of a node with Crossfade's plugin.
///
/// # Errors
/// Records, the inventory or the ledger cannot be read.
fn status(node: &NodeFacts) -> Result<Status, Failure> {
    let mut problems: Vec<Problem> = node.policy.as_ref().err().cloned().into_iter().collect();
    let (policy_file, policy, layout) = (node.policy.as_ref().ok(), node.policy(), &node.dirs.layout);
    let (records, damaged) = Store::new(layout).load_all().map_err(|e| Failure::new(Exit::Failed, e))?;
    let routes = hostroutes::to_change(&records, &damaged)?;
    let attachments = attachments::from_records(layout, records, damaged, policy)?;
    let networks = count(&attachments);
    let used = node.own_conf().map(|conf| node.runtime.answer.uses(&conf.name));
    let installed = used.as_ref().is_some_and(|used| !matches!(used, ConfUse::Other(_)));
    problems.extend(problems::conf_problems(node, &cni::gather(node, PluginChoice::default())));
    problems.extend(used.and_then(|used| problems::conf_use_problem(&node.dirs, used)));
    problems.extend(problems::record_problems(&attachments.damaged, routes));
    problems.extend(problems::owed_del_problem(&attachments, policy));
    Ok(Status {
        warnings: policy.map_or_else(Vec::new, |policy| secondary::warnings(policy, &node.profiles)),
        conf_dir: node.settings.conf_dir,
        phase: policy.map(Policy::phase),
        installed,
        pending_dels: pending_dels(&attachments),
        ledger_lines: ledger_lines(&node.dirs)?,
        networks,
        attached: attached::count(&attachments, policy),
        base: policy_file.map(|policy_file| roll::base(policy_file, &node.profiles)),
        mints: policy.map(Policy::mints).unwrap_or_default(),
        follows: roll::followed_phases(&node.settings, policy_file, &node.profiles),
        problems,
        watch: None,
        timed_out: false,
        bad_settings: policy.is_none(),
    })
}

/// Counts attachments by network.
fn count(attachments: &Attachments) -> BTreeMap<String, Count> {
    let mut networks: BTreeMap<String, Count> = BTreeMap::new();
    for line in &attachments.attachments {
        for part in line.networks.iter().filter(|part| part.owed) {
            let count = networks.entry(part.name.clone()).or_default();
            match line.life {
                Life::Inventory => count.inventory += 1,
                Life::Attaching | Life::Attached | Life::Detaching => count.records += 1,
            }
        }
    }
    networks
}

fn pending_dels(attachments: &Attachments) -> usize {
    let detaching = attachments.attachments.iter().filter(|line| line.life == Life::Detaching);
    detaching.flat_map(|line| &line.networks).filter(|part| part.owed).count()
}

fn ledger_lines(settings: &Directories) -> Result<usize, Failure> {
    let path = settings.layout.ledger();
    match std::fs::File::open(&path) {
        Ok(file) => Ok(BufReader::new(file).split(b'\n').map_while(Result::ok).count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Failure::new(Exit::Failed, format!("read ledger {}: {error}", path.display()))
            .with_place(path.display())),
    }
}

/// A phase with its effect on new pods.
const fn meaning(phase: Phase) -> &'static str {
    match phase {
        Phase::Old => "old: new pods get the old network",
        Phase::BothOld => "both-old: new pods get both networks; the Pod's address is that of the old one",
        Phase::BothNew => "both-new: new pods get both networks; the Pod's address is that of the new one",
        Phase::New => "new: new pods get the new network",
    }
}

impl Report for Status {
    fn human(&self) -> Page {
        let is_without = self.conf_dir == Mode::Without;
        let unknown = if is_without {
            "none: this node has a final image (confDir none), and its own CNI attaches all pods"
        } else {
            "unknown: the policy cannot be used"
        };
        let mut text = Page::new();
        let verdict = match (self.exit(), self.problems.len()) {
            (Exit::Done, _) => "all right".to_owned(),
            (_, 1) => "not all right: 1 problem, below".to_owned(),
            (_, count) => format!(
                "not all right: {count} problems, below; crossfade-bootstrap doctor finds their causes"
            ),
        };
        let _ = writeln!(text, "node          {verdict}");
        let _ = writeln!(text, "phase         {}", self.phase.map_or(unknown, meaning));
        let _ = writeln!(text, "installed     {}", if self.installed { "yes" } else { "no" });
        for (name, count) in &self.networks {
            let _ = writeln!(
                text,
                "network       {name}: {} attached through Crossfade, {} from before the installation",
                count.records, count.inventory
            );
        }
        let _ = writeln!(text, "pending DELs  {}", self.pending_dels);
        let _ = writeln!(
            text,
            "ledger        {} attachments ended without the confirmation of their network",
            self.ledger_lines
        );
        let _ = match &self.watch {
            None if is_without => Ok(()),
            None => writeln!(text, "watch         not running"),
            Some(WatchReport { stale: Some(why), document }) => {
                writeln!(
                    text,
                    "watch         not running: its last report is stale ({why}) and says {}",
                    document.reason
                )
            }
            Some(WatchReport { document, .. }) => {
                writeln!(text, "watch         {}: {}", document.reason, document.message)
            }
        };
        let current = self.watch.iter().filter(|watch| watch.stale.is_none());
        if let Some(restarts) = current.clone().find_map(|watch| watch.document.restarts) {
            let _ = writeln!(
                text,
                "running pods  no network is left to join or leave; waiting for a restart: {restarts}"
            );
        }
        let not_moved = current.clone().find_map(|watch| watch.document.not_moved);
        if let Some(NotMoved { connections, failed }) = not_moved.filter(|pods| *pods != NotMoved::default())
        {
            let _ = writeln!(
                text,
                "running pods  not moved: {connections} with connections over the network that leaves, {failed} for other reasons"
            );
        }
        for network in current.flat_map(|watch| &watch.document.networks) {
            for line in network.packets.iter().flat_map(Packets::lines) {
                let _ = writeln!(text, "proof of {}  {line}", network.network);
            }
        }
        for finding in
            self.watch.iter().filter(|watch| watch.stale.is_none()).flat_map(|w| &w.document.findings)
        {
            let _ = writeln!(text, "finding: {finding}");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text.problems(&self.problems());
        text
    }

    fn exit(&self) -> Exit {
        match (self.bad_settings, self.problems.is_empty() && !self.timed_out) {
            (true, _) => Exit::BadSettings,
            (false, false) => Exit::No,
            (false, true) => Exit::Done,
        }
    }

    fn problems(&self) -> Vec<Problem> {
        fix::complete(self.exit(), &self.problems)
    }
}
