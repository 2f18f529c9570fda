//! `status`: where this node stands, and what `watch` sees.

mod reported;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde::Serialize;
use shim::layout::CONF_FILE;
use shim::policy_file;
use shim::store::Store;
use types::node::{Mode, Node};
use types::status::Document;

use crate::cli::exit::{Exit, Failure};
use crate::cli::print::{self, Page, Report};
use crate::cli::{self, Global};
use crate::node::attachments::{self, Attachments, Life};
use crate::node::directories::Directories;
use crate::node::events::Events;
use crate::node::identity::Booted;
use crate::node::paths::{BOOTED, PRIVATE_CONF_DIR, Root, STATUS};
use crate::node::policy::secondary;
use crate::node::status_file::{self, StatusFile};
use crate::node::{hostroutes, mode, rooted, settings};
use crate::runtime::answer::{RuntimeAnswer, Uses};
use crate::runtime::config::RuntimeConfig;
use crate::runtime::endpoint::Whom;
use crate::runtime::picks::Picks;

pub use self::reported::reported;

/// How long a wait relies on events.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Where this node stands.
///
/// *Shape*: `{"confDir":"shared","phase":"both-old","installed":true,"networks":{"oldnet":{"records":2,"inventory":1}},"pendingDels":0,"ledgerLines":0,
/// "warnings":[],"problems":[],"watch":{..}}`. `installed` is whether our conf is in place and the runtime, where it tells, uses it. `phase` is null where the policy cannot be used; `watch` is what status.json says, with `stale` where
/// that is not of now, and null where there is none. `warnings` are what the policy in force asks of people elsewhere in the cluster, and
/// fail nothing. On a node without a plugin of ours (`confDir` none) both are null, and all is well
/// once `boot` has succeeded and nothing of an earlier time is left.
#[derive(Debug, Serialize)]
pub struct Status {
    #[serde(rename = "confDir")]
    conf_dir: &'static str,
    phase: Option<&'static str>,
    installed: bool,
    networks: BTreeMap<String, Count>,
    #[serde(rename = "pendingDels")]
    pending_dels: usize,
    #[serde(rename = "ledgerLines")]
    ledger_lines: usize,
    warnings: Vec<String>,
    problems: Vec<String>,
    watch: Option<Watched>,
    /// node.json cannot be used.
    #[serde(skip)]
    bad_settings: bool,
    /// Waited for `watch` to say that the node is ready, and it did not.
    #[serde(skip)]
    timed_out: bool,
}

/// What `watch` sees.
#[derive(Debug, Serialize)]
struct Watched {
    #[serde(flatten)]
    document: Document,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<String>,
}

/// Looks, once or until `watch` says that the node is ready.
///
/// # Errors
/// When state cannot be read.
pub fn run(global: &Global, wanted: &cli::Status) -> Result<Status, Failure> {
    let root = Root::new(&global.root);
    let (node, bad) = match settings::load(&root) {
        Ok(node) => (node, None),
        // What else is true of the node is told all the same, and what it is told by.
        Err(why) => {
            let (conf_dir, told) = mode::of_unusable(&root);
            let bad = format!("{why}; what is said here is for confDir {}: {told}", conf_dir.as_str());
            (Node { conf_dir, ..Node::default() }, Some(bad))
        }
    };
    let mut status = of_node(global, wanted, &root, &node)?;
    status.bad_settings = bad.is_some();
    status.problems.splice(0..0, bad);
    Ok(status)
}

fn of_node(global: &Global, wanted: &cli::Status, root: &Root, node: &Node) -> Result<Status, Failure> {
    if node.conf_dir == Mode::Without {
        return without(global, root, node, wanted.wait.then_some(Duration::from_secs(wanted.timeout)));
    }
    let file = root.at(STATUS);
    let ready = !wanted.wait || wait(&file, Duration::from_secs(wanted.timeout));
    let asked = RuntimeAnswer::whom(&match &wanted.runtime.runtime_endpoint {
        Some(_) => Whom::of(&wanted.runtime),
        None => Whom::found(root),
    });
    let mut status = status(root, &Directories::of(global, node), node.conf_dir, &asked)?;
    let watched = match status_file::read(&file) {
        StatusFile::Absent => Ok(None),
        StatusFile::Unreadable(why) => Err(why),
        StatusFile::Fresh(document) => Ok(Some(Watched { document, stale: None })),
        StatusFile::Stale(document, why) => Ok(Some(Watched { document, stale: Some(why) })),
    };
    match watched {
        Ok(watched) => status.watch = watched,
        Err(why) => status.problems.push(why),
    }
    if let Some(Watched { document, stale: None }) = &status.watch
        && !document.ready
    {
        status.problems.push(format!("{}: {}", document.reason, document.message));
    }
    status.timed_out = !ready;
    Ok(status)
}

/// Follows `watch`'s file until it says that the node is ready, or `within` is over.
fn wait(file: &Path, within: Duration) -> bool {
    until(
        file,
        Some(within),
        || matches!(status_file::read(file), StatusFile::Fresh(document) if document.ready),
    )
}

/// Looks at each change of a file until `holds`, or `within` is over; without one it never is.
fn until(file: &Path, within: Option<Duration>, mut holds: impl FnMut() -> bool) -> bool {
    let end = within.map(|within| Instant::now() + within);
    let (wake, wakes) = channel();
    let mut events = Events::new(wake);
    let dir = file.parent().map(Path::to_path_buf);
    loop {
        events.look();
        events.arm(dir.iter());
        if holds() {
            return true;
        }
        let left = end.map_or(LOOK_AGAIN, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return false;
        }
        // That its watch ended is no event.
        let _ = wakes.recv_timeout(left.min(LOOK_AGAIN));
    }
}

/// Prints what `watch` sees, now and whenever it is something else, without an end.
#[must_use]
pub fn follow(global: &Global) -> Exit {
    let file = Root::new(&global.root).at(STATUS);
    let mut last = String::new();
    until(&file, None, || {
        let line = match status_file::read(&file) {
            StatusFile::Absent => "no watch has run in this boot".to_owned(),
            StatusFile::Unreadable(why) => why,
            StatusFile::Fresh(document) => format!("{}: {}", document.reason, document.message),
            StatusFile::Stale(document, why) => format!("{why}; it was {}", document.reason),
        };
        if line != last {
            print::line(&line);
            last = line;
        }
        false
    });
    Exit::Done
}

/// A node without a plugin of ours: `watch` does not run, and nothing is attached through us.
fn without(global: &Global, root: &Root, node: &Node, wait: Option<Duration>) -> Result<Status, Failure> {
    let booted = || Booted::is_of_now(root);
    let ready = wait.is_none_or(|within| until(&root.at(BOOTED), Some(within), || booted().is_ok()));
    let settings = Directories::of(global, node);
    let found = attachments::list(&settings.layout, None)?;
    let mut problems: Vec<String> = booted().err().into_iter().collect();
    match &settings.installed {
        Ok(Some(conf)) if conf.is_ours => problems.push(format!(
            "our conf {} is still there: reboot to be without us",
            settings.conf_file().display()
        )),
        Ok(_) => {}
        Err(why) => problems.push(why.clone()),
    }
    let networks = count(&found);
    if !networks.is_empty() {
        problems.push("attachments of ours are left from before: reboot to be without us".into());
    }
    Ok(Status {
        conf_dir: Mode::Without.as_str(),
        phase: None,
        installed: false,
        pending_dels: pending_dels(&found),
        ledger_lines: ledger_lines(&settings)?,
        networks,
        warnings: Vec::new(),
        problems,
        watch: None,
        bad_settings: false,
        timed_out: !ready,
    })
}

/// Attachments of one network, by its own name. One that has both networks counts for both.
#[derive(Debug, Default, Serialize)]
struct Count {
    records: usize,
    inventory: usize,
}

/// Looks.
///
/// # Errors
/// When state cannot be read.
fn status(root: &Root, settings: &Directories, mode: Mode, asked: &RuntimeAnswer) -> Result<Status, Failure> {
    let mut problems = Vec::new();
    let policy = match policy_file::load(&settings.layout.policy_file()) {
        Ok(policy) => Some(policy),
        Err(why) => {
            problems.push(why.to_string());
            None
        }
    };
    let (records, damaged) = Store::new(&settings.layout).all().map_err(|e| Failure::new(Exit::Failed, e))?;
    let routes = hostroutes::to_change(&records, &damaged)?;
    let found = attachments::of(&settings.layout, records, damaged, policy.as_ref())?;
    let networks = count(&found);
    let used = match &settings.installed {
        Ok(Some(conf)) => Some(asked.uses(&conf.name)),
        Ok(None) | Err(_) => None,
    };
    let installed = used.as_ref().is_some_and(|used| !matches!(used, Uses::Other(_)));
    match &settings.installed {
        Ok(Some(conf)) => problems.extend(in_the_way(root, settings, mode, &conf.name)),
        Ok(None) if settings.conf_dir.ends_with(PRIVATE_CONF_DIR.trim_start_matches('/')) => {
            problems.push(format!(
                "{} is not there yet: watch writes it once the networks that the policy names are ready",
                settings.conf_file().display()
            ))
        }
        Ok(None) => problems.push(format!("{} is not there: run install", settings.conf_file().display())),
        Err(why) => problems.push(why.clone()),
    }
    problems.extend(match used {
        Some(Uses::Other(what)) => Some(format!(
            "{} is there, and the runtime does not use it: {what}; install makes it look again, and so does watch",
            settings.conf_file().display()
        )),
        Some(Uses::Unanswered(why)) => Some(why),
        Some(Uses::Ours | Uses::Untold) | None => None,
    });
    problems.extend(
        found.damaged.iter().map(|damaged| format!("record {}: {}", damaged.path.display(), damaged.reason)),
    );
    problems
        .extend(routes.map(|what| format!("host routes are not what they should be; sweep would {what}")));
    Ok(Status {
        warnings: policy.as_ref().map_or_else(Vec::new, secondary::warnings),
        conf_dir: mode.as_str(),
        phase: policy.as_ref().map(|policy| policy.phase().as_str()),
        installed,
        pending_dels: pending_dels(&found),
        ledger_lines: ledger_lines(settings)?,
        networks,
        problems,
        watch: None,
        bad_settings: false,
        timed_out: false,
    })
}

/// What is attached, by network.
fn count(found: &Attachments) -> BTreeMap<String, Count> {
    let mut networks: BTreeMap<String, Count> = BTreeMap::new();
    for line in &found.attachments {
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

fn pending_dels(found: &Attachments) -> usize {
    let detaching = found.attachments.iter().filter(|line| line.life == Life::Detaching);
    detaching.flat_map(|line| &line.networks).filter(|part| part.owed).count()
}

/// Confs that the runtime would use instead of ours.
fn in_the_way(root: &Root, settings: &Directories, mode: Mode, name: &str) -> Vec<String> {
    let dir = match rooted::conf_dir(root, &settings.conf_dir) {
        Ok(dir) => dir,
        Err(error) => return vec![format!("conf dir {}: {error}", settings.conf_dir.display())],
    };
    let picks = Picks::of(RuntimeConfig::of_crio(root).as_ref());
    let before = picks.instead_of_ours(&dir, name).into_iter().map(|conf| conf.file.clone());
    let mut found: Vec<String> =
        before.map(|file| format!("{file} sorts before {CONF_FILE}: the runtime does not call us")).collect();
    if !found.is_empty() {
        found.extend(picks.harm_of_a_restart().map(str::to_owned));
    }
    // In private mode it is told on its command line.
    if mode == Mode::Shared {
        found.extend(picks.told(&dir, name).wrong());
    }
    found
}

fn ledger_lines(settings: &Directories) -> Result<usize, Failure> {
    let path = settings.layout.ledger();
    match std::fs::File::open(&path) {
        Ok(file) => Ok(BufReader::new(file).split(b'\n').map_while(Result::ok).count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Failure::new(Exit::Failed, format!("read ledger {}: {error}", path.display()))),
    }
}

impl Report for Status {
    fn human(&self) -> Page {
        let is_without = self.conf_dir == Mode::Without.as_str();
        let unknown = if is_without { "none (confDir none: the agents' network alone)" } else { "unknown" };
        let mut text = Page::new();
        let _ = writeln!(text, "phase         {}", self.phase.unwrap_or(unknown));
        let _ = writeln!(text, "installed     {}", if self.installed { "yes" } else { "no" });
        for (name, count) in &self.networks {
            let _ = writeln!(
                text,
                "network       {name}: {} attached through us, {} from before",
                count.records, count.inventory
            );
        }
        let _ = writeln!(text, "pending DELs  {}", self.pending_dels);
        let _ = writeln!(text, "ledger        {} lines", self.ledger_lines);
        let _ = match &self.watch {
            None if is_without => Ok(()),
            None => writeln!(text, "watch         not running"),
            Some(Watched { stale: Some(why), document }) => {
                writeln!(
                    text,
                    "watch         not running: its status is stale ({why}); it was {}",
                    document.reason
                )
            }
            Some(Watched { document, .. }) => {
                writeln!(text, "watch         {}: {}", document.reason, document.message)
            }
        };
        for finding in
            self.watch.iter().filter(|watch| watch.stale.is_none()).flat_map(|w| &w.document.findings)
        {
            let _ = writeln!(text, "finding: {finding}");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        for problem in &self.problems {
            let _ = writeln!(text, "problem: {problem}");
        }
        text
    }

    fn exit(&self) -> Exit {
        match self.problems.is_empty() && !self.timed_out {
            _ if self.bad_settings => Exit::BadSettings,
            true => Exit::Done,
            false => Exit::No,
        }
    }
}
