//! The runtime's selection of a conf from its directory, and the fate of live pods when it starts.
//!
//! | runtime | uses |
//! |---|---|
//! | containerd | the first file |
//! | CRI-O with `cni_default_network` | the first file whose network has that name |
//! | CRI-O without | the first file. When CRI-O starts while the first one has another name than before, it takes every pod that lives for garbage and sends its DEL |
//!
//! *Source*: containerd's `max_conf_num`; ocicni, `loadNetworks` and `GC`; measured with CRI-O 1.37.

use shim::node::layout::CONF_FILE;
use types::command::problem::Problem;
use types::node::RuntimeKind;

use crate::node::conf::confdir::{ConfDir, ConfFile};
use crate::runtime::config::RuntimeConfig;

/// How a runtime chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfSelection {
    /// The first file of the directory.
    First,
    /// CRI-O without a name of a network.
    FirstOfCrio,
    /// CRI-O with this name of a network.
    ByName(String),
}

/// The operator's action about a finding, in words that follow it.
const HARM: &str = "do not restart CRI-O until then: it would send the DEL of every pod that lives";

impl ConfSelection {
    /// As this runtime is configured; one that is not known uses the first file.
    #[must_use]
    pub fn from_config(config: Option<&RuntimeConfig>) -> Self {
        match config {
            Some(RuntimeConfig { kind: RuntimeKind::Crio, default_network: Some(name), .. }) => {
                Self::ByName(name.clone())
            }
            Some(RuntimeConfig { kind: RuntimeKind::Crio, .. }) => Self::FirstOfCrio,
            Some(_) | None => Self::First,
        }
    }

    /// The confs that are used instead of Crossfade's, whose network is called `name`, of those that sort before it.
    #[must_use]
    pub fn confs_before_own<'a>(&self, dir: &'a ConfDir, name: &str) -> Vec<&'a ConfFile> {
        // CRI-O passes over a conf that it cannot read.
        let counts = |conf: &ConfFile| match self {
            Self::First | Self::FirstOfCrio => true,
            Self::ByName(selected_name) => conf.name() == Some(selected_name),
        };
        dir.confs_before_own().filter(|conf| counts(conf) && !leads_to_us(conf, name)).collect()
    }

    /// The same as findings, one line each, with what to do.
    #[must_use]
    pub fn obstacle_problems(&self, dir: &ConfDir, name: &str) -> Vec<Problem> {
        let problem = |conf: &ConfFile| {
            let file = &conf.file;
            let problem = match &conf.content {
                Ok(_) if conf.is_meta_plugin() => {
                    let name = if name.is_empty() { "the name of Crossfade's network" } else { name };
                    let own_conf = dir.path.join(CONF_FILE);
                    Problem::new(format!(
                        "{file} sorts before {CONF_FILE} and does not delegate to Crossfade"
                    ))
                    .fix(format!("let its clusterNetwork be {name}, or {}", own_conf.display()))
                }
                _ => Problem::new(format!("{file} sorts before {CONF_FILE}, so the runtime would use it"))
                    .fix(format!("rename {file} to a name that sorts after {CONF_FILE}")),
            };
            problem.with_place(dir.path.join(file).display().to_string())
        };
        self.confs_before_own(dir, name).into_iter().map(problem).collect()
    }

    /// What a restart of the runtime does while another conf is used instead of Crossfade's; to be said with that.
    #[must_use]
    pub const fn harm_of_a_restart(&self) -> Option<&'static str> {
        match self {
            Self::FirstOfCrio => Some(HARM),
            Self::First | Self::ByName(_) => None,
        }
    }

    /// Whether the name that CRI-O is told is right, where Crossfade's network is called `name`. With a meta-plugin that leads to Crossfade it
    /// should be that one's; Crossfade's own leads there as well.
    #[must_use]
    pub fn check_name(&self, dir: &ConfDir, name: &str) -> NetworkNameCheck {
        let expected_name = dir
            .confs_before_own()
            .find(|conf| leads_to_us(conf, name))
            .and_then(ConfFile::name)
            .unwrap_or(name);
        match self {
            Self::First => NetworkNameCheck::Right,
            Self::ByName(configured) if configured == expected_name || configured == name => NetworkNameCheck::Right,
            Self::ByName(configured) => NetworkNameCheck::Other(name_problem(
                format!("CRI-O uses no network but {configured} (cni_default_network), and Crossfade's is called {expected_name}"),
                expected_name,
            )),
            Self::FirstOfCrio => NetworkNameCheck::Unset(name_problem(
                "CRI-O is not told which network to use (cni_default_network). Whenever it starts while another conf sorts first, it sends \
                 the DEL of every pod that lives"
                    .into(),
                expected_name,
            )),
        }
    }
}

/// Whether CRI-O is configured with the right name; what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkNameCheck {
    /// It is; or the runtime is another one and needs no name.
    Right,
    /// It uses another network than Crossfade's.
    Other(Problem),
    /// It has no name, so that a restart can cost every pod its network.
    Unset(Problem),
}

impl NetworkNameCheck {
    #[must_use]
    pub fn problem(self) -> Option<Problem> {
        match self {
            Self::Right => None,
            Self::Other(why) | Self::Unset(why) => Some(why),
        }
    }
}

fn leads_to_us(conf: &ConfFile, name: &str) -> bool {
    conf.is_meta_plugin() && conf.content.as_ref().is_ok_and(|content| content.delegates_to_us(name))
}

/// The problem of a CRI-O without the right name, with the way to configure it.
fn name_problem(what: String, name: &str) -> Problem {
    Problem::new(what).with_place("cni_default_network of CRI-O's configuration").fix(format!(
        "set cni_default_network = \"{name}\" below [crio.network] in a file of /etc/crio/crio.conf.d, and restart CRI-O (its pods run on)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::conf::confdir::Content;

    fn dir(files: &[(&str, Option<&str>)]) -> ConfDir {
        let conf = |(file, name): &(&str, Option<&str>)| ConfFile {
            file: (*file).to_owned(),
            content: match name {
                None => Err("unread".into()),
                Some(name) => Content::parse(
                    format!(r#"{{"cniVersion":"1.0.0","name":"{name}","plugins":[{{"type":"bridge"}}]}}"#)
                        .as_bytes(),
                ),
            },
        };
        ConfDir { path: "/d".into(), confs: files.iter().map(conf).collect(), ..ConfDir::default() }
    }

    #[test]
    fn a_name_counts_before_the_order_and_among_confs_of_that_name_the_order_counts() {
        let dir = dir(&[
            ("00-a.conflist", Some("a")),
            ("00-ours.conflist", Some("ours")),
            ("00-torn.conflist", None),
            ("10-late.conflist", Some("ours")),
        ]);
        for (picks, before) in [
            (ConfSelection::First, vec!["00-a.conflist", "00-ours.conflist", "00-torn.conflist"]),
            (ConfSelection::FirstOfCrio, vec!["00-a.conflist", "00-ours.conflist", "00-torn.conflist"]),
            (ConfSelection::ByName("ours".into()), vec!["00-ours.conflist"]),
            (ConfSelection::ByName("a".into()), vec!["00-a.conflist"]),
        ] {
            let selected: Vec<_> =
                picks.confs_before_own(&dir, "ours").iter().map(|conf| conf.file.as_str()).collect();
            assert_eq!(selected, before, "{picks:?}");
        }
    }

    #[test]
    fn crio_must_be_told_our_name_and_the_problem_says_how() {
        for (picks, wrong) in [
            (ConfSelection::First, None),
            (ConfSelection::ByName("ours".into()), None),
            (ConfSelection::ByName("other".into()), Some("no network but other")),
            (ConfSelection::FirstOfCrio, Some("the DEL of every pod that lives")),
        ] {
            let why = picks.check_name(&dir(&[]), "ours").problem();
            assert_eq!(why.is_some(), wrong.is_some(), "{picks:?}");
            if let (Some(why), Some(words)) = (why, wrong) {
                assert!(
                    why.what.contains(words) && why.fix.contains("cni_default_network = \"ours\""),
                    "{why}"
                );
            }
        }
        let mut multus = dir(&[("00-multus.conflist", Some("meta"))]);
        multus.confs[0].content =
            Content::parse(br#"{"name":"meta","type":"multus","clusterNetwork":"ours"}"#);
        assert_eq!(ConfSelection::ByName("meta".into()).check_name(&multus, "ours"), NetworkNameCheck::Right);
        assert!(
            matches!(ConfSelection::ByName("x".into()).check_name(&multus, "ours"), NetworkNameCheck::Other(why) if why.fix.contains("\"meta\""))
        );
        assert!(ConfSelection::FirstOfCrio.harm_of_a_restart().is_some());
        assert!(ConfSelection::First.harm_of_a_restart().is_none());
    }
}
