//! Agents: when they come, what they write, what they take, how they go.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lab::host::deadline;
use lab::host::fabric::Fabric;
use lab::host::scratch::Scratch;
use lab::standin::agent::{Agent, Answer, Conf, HttpHealth, Spec, UnixHealth, Way};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

fn conf(path: PathBuf, way: Way) -> Conf {
    let content = r#"{"cniVersion":"1.0.0","name":"new","plugins":[{"type":"new-cni"}]}"#.to_owned();
    Conf { path, content, way }
}

fn socket(path: PathBuf) -> Option<UnixHealth> {
    let answer = Answer::Ready;
    Some(UnixHealth { path, answer })
}

/// Before its gate there is nothing of it; behind it, everything.
pub(crate) fn late_agent_waits_at_its_gate() -> Result<()> {
    let scratch = Scratch::new("late")?;
    let gate = scratch.join("gate");
    let own = conf(scratch.join("conf/05-new.conflist"), Way::Rename);
    let health = scratch.join("new.sock");
    let spec = Spec {
        name: "new".to_owned(),
        gate: Some(gate.clone()),
        unix: socket(health.clone()),
        conf: Some(own.clone()),
        ..Spec::default()
    };
    let mut agent = Agent::start(spec, None)?;
    ensure!(!own.path.exists() && !health.exists(), "it did not wait");
    fs::write(&gate, "")?;
    agent.wait_up()?;
    ensure!(fs::read_to_string(&own.path)? == own.content, "its conf is not there");
    UnixStream::connect(&health).context("its socket does not answer")?;
    Ok(())
}

/// What a watcher of the directory sees of each way of writing.
pub(crate) fn conf_is_renamed_rewritten_or_torn() -> Result<()> {
    let scratch = Scratch::new("torn")?;
    let directory = scratch.dir("conf")?;
    let path = directory.join("05-new.conflist");
    let mut agent = Agent::start(Spec { name: "new".to_owned(), ..Spec::default() }, None)?;
    let watch = Inotify::init(InitFlags::IN_NONBLOCK)?;
    let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVED_TO;
    watch.add_watch(&directory, flags)?;
    let seen = |what: AddWatchFlags| -> Result<bool> {
        let events = watch.read_events()?;
        let mut ours = events.iter().filter(|event| event.name.as_deref() == path.file_name());
        Ok(ours.all(|event| event.mask == what) && events.iter().any(|event| event.mask == what))
    };

    agent.write_conf(&conf(path.clone(), Way::Rename))?;
    ensure!(seen(AddWatchFlags::IN_MOVED_TO)?, "not renamed into place");
    ensure!(fs::read_dir(&directory)?.count() == 1, "a temporary file is left");
    agent.write_conf(&conf(path.clone(), Way::InPlace))?;
    ensure!(seen(AddWatchFlags::IN_MODIFY)?, "not written in place");

    let torn = conf(path.clone(), Way::Torn);
    agent.write_conf(&torn)?;
    let half = fs::read_to_string(&path)?;
    ensure!(torn.content.starts_with(&half) && half.len() < torn.content.len(), "not torn: {half}");
    ensure!(!half.is_empty(), "nothing written");
    agent.finish_conf()?;
    ensure!(fs::read_to_string(&path)? == torn.content, "not finished");
    ensure!(agent.finish_conf().is_err(), "finished twice");
    Ok(())
}

/// Everything that a runtime would read and is not its own goes, at once and whenever it comes again.
pub(crate) fn exclusive_agent_takes_the_directory() -> Result<()> {
    let scratch = Scratch::new("taken")?;
    let directory = scratch.dir("conf")?;
    let foreign = ["10-old.conflist", "20-plain.conf", "30-other.json"].map(|name| directory.join(name));
    for path in &foreign {
        fs::write(path, "{}")?;
    }
    for harmless in ["calico-kubeconfig", "05-x.conflist.tmp"] {
        fs::write(directory.join(harmless), "")?;
    }
    let own = conf(directory.join("05-new.conflist"), Way::Rename);
    let spec = Spec {
        name: "new".to_owned(),
        conf: Some(own.clone()),
        exclusive: Some(directory.clone()),
        ..Spec::default()
    };
    let mut agent = Agent::start(spec, None)?;
    for path in &foreign {
        ensure!(!path.exists() && bak(path).exists(), "{} was left", path.display());
    }
    ensure!(agent.taken()? == foreign, "{:?}", agent.taken()?);
    ensure!(own.path.exists(), "it took its own conf");
    for harmless in ["calico-kubeconfig", "05-x.conflist.tmp"] {
        ensure!(directory.join(harmless).exists(), "it took {harmless}");
    }

    fs::rename(bak(&foreign[0]), &foreign[0])?;
    deadline::until("it takes the file again", LIMIT, || Ok((!foreign[0].exists()).then_some(())))?;
    ensure!(agent.taken()?.len() == 4, "{:?}", agent.taken()?);

    agent.exclusive(None)?;
    fs::write(&foreign[1], "{}")?;
    ensure!(agent.taken()?.len() == 4 && foreign[1].exists(), "it does not let go");
    agent.exclusive(Some(&directory))?;
    ensure!(!foreign[1].exists(), "it does not take the directory again");
    Ok(())
}

/// An orderly end takes the socket along, and the conf if told so; a killed agent leaves both.
pub(crate) fn agent_goes_dies_and_comes_back() -> Result<()> {
    let scratch = Scratch::new("back")?;
    let directory = scratch.dir("conf")?;
    let own = conf(directory.join("05-new.conflist"), Way::InPlace);
    let health = scratch.join("run/new.sock");
    let spec = Spec {
        name: "new".to_owned(),
        unix: socket(health.clone()),
        conf: Some(own.clone()),
        exclusive: Some(directory.clone()),
        ..Spec::default()
    };
    let mut agent = Agent::start(spec.clone(), None)?;
    fs::remove_file(&own.path)?;
    let foreign = directory.join("10-old.conflist");
    agent.exclusive(None)?;
    fs::write(&foreign, "{}")?;
    agent.restart()?;
    ensure!(own.path.exists() && !foreign.exists(), "it is not what it was");
    UnixStream::connect(&health).context("its socket does not answer after a restart")?;

    agent.kill()?;
    ensure!(own.path.exists() && health.exists(), "a killed agent took something along");
    ensure!(UnixStream::connect(&health).is_err(), "a killed agent answers");

    Agent::start(spec.clone(), None)?.leave(false)?;
    ensure!(own.path.exists() && !health.exists(), "it was to leave its conf, and no socket");
    Agent::start(spec, None)?.leave(true)?;
    ensure!(!own.path.exists(), "it was to take its conf along");
    Ok(())
}

/// Inside a node, its paths and its addresses are the node's.
pub(crate) fn agent_lives_in_a_node() -> Result<()> {
    let fabric = Fabric::new(1)?;
    let node = fabric.node(1);
    let address = "127.0.0.1:9879".parse()?;
    let answer = Answer::Ready;
    let spec = Spec {
        name: "new".to_owned(),
        unix: socket("/run/new/new.sock".into()),
        http: Some(HttpHealth::plain(address, answer)),
        conf: Some(conf("/etc/cni/net.d/05-new.conflist".into(), Way::Rename)),
        ..Spec::default()
    };
    let agent = Agent::start(spec, Some(u32::try_from(node.pid().as_raw())?))?;
    ensure!(node.outside("/run/new/new.sock").exists(), "no socket in the node");
    ensure!(!Path::new("/run/new/new.sock").exists(), "its socket is outside of the node");
    node.run(&["test", "-f", "/etc/cni/net.d/05-new.conflist"])?;
    node.run(&["busybox", "wget", "-q", "-O-", "http://127.0.0.1:9879/healthz"])?;
    ensure!(std::net::TcpStream::connect(address).is_err(), "its page is outside of the node");
    agent.leave(true)?;
    ensure!(node.run(&["test", "-f", "/etc/cni/net.d/05-new.conflist"]).is_err(), "its conf stays");
    Ok(())
}

/// A spec that cannot be had is an error that says what.
pub(crate) fn agent_that_cannot_come_up_says_why() -> Result<()> {
    let scratch = Scratch::new("cannot")?;
    fs::write(scratch.join("file"), "")?;
    let spec = Spec {
        name: "hapless".to_owned(),
        conf: Some(conf(scratch.join("file/05-new.conflist"), Way::Rename)),
        ..Spec::default()
    };
    let error = Agent::start(spec, None).err().context("it came up")?;
    let text = format!("{error:#}");
    ensure!(text.contains("hapless") && text.contains("05-new.conflist"), "{text}");
    let mut bare = Agent::start(Spec { name: "bare".to_owned(), ..Spec::default() }, None)?;
    ensure!(bare.answer_unix(Answer::Ready).is_err(), "there is no socket to answer");
    ensure!(bare.answer_http(Answer::Ready).is_err(), "there is no page to answer");
    ensure!(bare.taken()?.is_empty(), "an agent that was refused goes on");
    Ok(())
}

fn bak(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".cilium_bak");
    name.into()
}
