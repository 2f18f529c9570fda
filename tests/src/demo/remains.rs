//! What is left on the nodes: files, rules, routes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::cluster::{Cluster, Host};

impl Cluster {
    /// How many files are below a directory of every node, at any depth; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn files(&self, inside: &str) -> Result<u64> {
        let mut files = 0;
        for Host { node, .. } in self.hosts() {
            files += count_files(&node.outside(inside))?;
        }
        Ok(files)
    }
}

impl Host {
    /// How many of the rules and chains that portmap makes for one pod are there.
    ///
    /// # Errors
    /// iptables fails.
    pub fn port_rules(&self) -> Result<u64> {
        let saved = self.node.run(&["iptables-save", "-t", "nat"])?;
        Ok(u64::try_from(saved.lines().filter(|line| line.contains("CNI-DN-")).count())?)
    }

    /// How many host routes of Crossfade's, and rules to them, are there.
    ///
    /// # Errors
    /// `ip` fails.
    pub fn host_routes(&self) -> Result<u64> {
        let routes = self.node.run(&["ip", "route", "show", "table", "all"])?;
        let rules = self.node.run(&["ip", "rule", "show"])?;
        let own = routes.lines().filter(|line| line.contains("table 1003 "));
        let own = own.chain(rules.lines().filter(|line| line.starts_with("1003:")));
        Ok(u64::try_from(own.count())?)
    }
}

fn count_files(directory: &Path) -> Result<u64> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.with_context(|| format!("reading {}", directory.display()))?,
    };
    let mut files = 0;
    for entry in entries {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(files)
}
