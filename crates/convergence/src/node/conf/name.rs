//! The name of Crossfade's network on a node: written once, and never changed afterwards.

use std::path::Path;

use shim::node::layout::CONF_FILE;
use types::command::problem::Problem;
use types::text::names::is_name;

use crate::node::conf::confdir::ConfDir;
use crate::node::settings::directories::InstalledConf;

/// Name of Crossfade's network on a node that has no other network yet.
pub const DEFAULT_NAME: &str = "crossfade";

/// The sources of the name of Crossfade's network.
#[derive(Debug)]
pub struct NameSources<'a> {
    /// The content of the name file, if it exists.
    pub content: Option<&'a str>,
    /// The path of the name file.
    pub file: &'a Path,
    pub installed: Option<&'a InstalledConf>,
    /// The confs of this node, whose first one gives its name.
    pub dir: &'a ConfDir,
}

impl NameSources<'_> {
    /// The name of Crossfade's network, and its source. The name is the key of the runtime's result cache, so Crossfade takes that of the
    /// network which the node has now, and never changes it afterwards.
    ///
    /// # Errors
    /// A problem about the conf or the file that gives the name: the conf cannot be read, or the name is no valid one.
    pub fn choose(&self) -> Result<(String, String), Problem> {
        let (name, from) = if let Some(name) = self.content {
            (name.to_owned(), self.file.display().to_string())
        } else if let Some(installed) = self.installed {
            (installed.name.clone(), CONF_FILE.to_owned())
        } else if let Some(first) = self.dir.foreign_confs().next() {
            match &first.content {
                Ok(content) => (content.name.clone(), first.file.clone()),
                Err(why) => {
                    let what =
                        format!("{} is the network of this node and cannot be read: {why}", first.file);
                    let file = self.dir.path.join(&first.file);
                    return Err(Problem::new(what)
                        .with_place(file.display().to_string())
                        .fix("repair it first"));
                }
            }
        } else {
            (DEFAULT_NAME.to_owned(), "this node has no network yet".to_owned())
        };
        if is_name(&name) {
            return Ok((name, from));
        }
        Err(Problem::new(format!(
            "Crossfade's network cannot be called {name:?} ({from}): expected letters, digits, '_', '.' and '-'"
        ))
        .with_place(from))
    }
}
