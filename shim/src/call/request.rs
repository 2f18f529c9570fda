//! The environment and stdin of one call.
//!
//! *Source*: CNI specification 1.1.0, section 2 ("Parameters") and section 4; which variable a verb needs and how it is
//! validated follows the reference library (`pkg/skel`, `pkg/utils`).

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use types::json::raw::{ObjectError, RawObject};
use types::text::names::{is_name, validate_ifname};
use types::text::quote::quote;

use crate::call::reply::{CniError, code};
use crate::call::version::Version;
use crate::host::file::read_bounded;
use crate::node::layout::Layout;

/// The largest stdin that the shim reads, in bytes. A conf is some kilobytes; the limit bounds the memory.
pub const MAX_STDIN_BYTES: usize = 8 << 20;

/// The shim sets this in the environment of each delegate. A conf that leads back to the shim then ends at once.
pub const DEPTH_VARIABLE: &str = "CROSSFADE_DEPTH";

/// The key under which the runtime passes a pod's annotations (a convention of the CRI runtimes).
pub const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// The verb of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Attaches a container.
    Add,
    /// Detaches a container.
    Del,
    /// Checks that a container is attached as its ADD left it.
    Check,
    /// Checks that an ADD could succeed.
    Status,
    /// Detaches what is not in the runtime's list.
    Gc,
    /// Lists the CNI versions that the shim supports.
    Version,
    /// Attaches a second network to a pod that runs. No runtime sends it: `crossfade-bootstrap` does.
    Join,
    /// Detaches the second network of a pod that runs, likewise.
    Leave,
}

impl Verb {
    /// The verb as in `CNI_COMMAND`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Status => "STATUS",
            Self::Gc => "GC",
            Self::Version => "VERSION",
            Self::Join => "JOIN",
            Self::Leave => "LEAVE",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Add,
            Self::Del,
            Self::Check,
            Self::Status,
            Self::Gc,
            Self::Version,
            Self::Join,
            Self::Leave,
        ];
        all.into_iter().find(|verb| verb.as_str() == text)
    }

    const fn required_variables(self) -> &'static [&'static str] {
        match self {
            Self::Add | Self::Check | Self::Join | Self::Leave => {
                &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"]
            }
            Self::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            Self::Status | Self::Gc | Self::Version => &[],
        }
    }
}

/// The CNI variables of one call. Empty and absent are the same for all of them.
#[derive(Debug, Clone)]
pub struct Env {
    /// `CNI_COMMAND`.
    pub verb: Verb,
    /// `CNI_CONTAINERID`; empty if the verb does not need it.
    pub container_id: String,
    /// `CNI_NETNS`; empty if the netns is gone or the verb does not need it.
    pub netns: String,
    /// `CNI_IFNAME`; empty if the verb does not need it.
    pub ifname: String,
    /// `CNI_ARGS`, verbatim.
    pub args: Option<String>,
    /// `CNI_PATH`, verbatim.
    pub path: Option<String>,
}

impl Env {
    /// The environment of the sweep, which goes over all attachments as GC does; `path` as in `CNI_PATH`.
    #[must_use]
    pub fn for_sweep(path: Option<&str>) -> Self {
        Self {
            verb: Verb::Gc,
            container_id: String::new(),
            netns: String::new(),
            ifname: String::new(),
            args: None,
            path: path.map(str::to_owned),
        }
    }

    /// Reads and validates the variables.
    ///
    /// # Errors
    /// Code 4. The message names all missing variables, or the invalid one.
    pub fn parse(vars: &[(String, OsString)]) -> Result<Self, CniError> {
        let get = |name: &str| -> Result<Option<String>, CniError> {
            vars.iter()
                .find(|(key, value)| key == name && !value.is_empty())
                .map(|(_, value)| {
                    value.clone().into_string().map_err(|bad| {
                        let shown = quote(bad.as_encoded_bytes(), 128);
                        CniError::new(code::ENVIRONMENT, format!("{name} is not UTF-8")).details(shown)
                    })
                })
                .transpose()
        };
        let command = get("CNI_COMMAND")?.unwrap_or_default();
        let verb = Verb::parse(&command).ok_or_else(|| {
            CniError::new(code::ENVIRONMENT, format!("unknown CNI_COMMAND {command:?}"))
                .details("expected ADD, DEL, CHECK, STATUS, GC or VERSION")
        })?;
        let mut missing = Vec::new();
        for name in verb.required_variables() {
            if get(name)?.is_none() {
                missing.push(*name);
            }
        }
        if matches!(verb, Verb::Add | Verb::Gc | Verb::Join) && get("CNI_PATH")?.is_none() {
            missing.push("CNI_PATH");
        }
        if !missing.is_empty() {
            return Err(CniError::new(
                code::ENVIRONMENT,
                format!("required environment variables missing: {}", missing.join(", ")),
            )
            .details(format!("{} needs them set and not empty", verb.as_str())));
        }
        let needs = |name: &str| verb.required_variables().contains(&name);
        let of_container = needs("CNI_CONTAINERID");
        let env = Self {
            verb,
            container_id: if needs("CNI_CONTAINERID") { get("CNI_CONTAINERID")? } else { None }
                .unwrap_or_default(),
            netns: if of_container { get("CNI_NETNS")? } else { None }.unwrap_or_default(),
            ifname: if needs("CNI_IFNAME") { get("CNI_IFNAME")? } else { None }.unwrap_or_default(),
            args: if of_container { get("CNI_ARGS")? } else { None },
            path: get("CNI_PATH")?,
        };
        if needs("CNI_CONTAINERID") && !is_name(&env.container_id) {
            return Err(CniError::new(code::ENVIRONMENT, "invalid characters in CNI_CONTAINERID")
                .details(quote(env.container_id.as_bytes(), 512)));
        }
        if needs("CNI_IFNAME") {
            validate_ifname(&env.ifname)
                .map_err(|why| CniError::new(code::ENVIRONMENT, format!("invalid CNI_IFNAME: {why}")))?;
        }
        Ok(env)
    }
}

/// The conf on stdin: Crossfade's own, as the runtime read it (CRI-O passes the conf of the ADD).
#[derive(Debug, Clone)]
pub struct Conf {
    /// The whole object, for keys that only one verb reads.
    pub object: RawObject,
    /// `name`.
    pub name: String,
    /// `cniVersion`.
    pub version: Version,
    /// `type`: the name of the shim in this conf. A delegate of this type would be the shim itself.
    pub plugin_type: String,
    /// `policy`, `stateDir`, `runDir`.
    pub layout: Layout,
}

impl Conf {
    /// The conf of the sweep, which no runtime calls. `name` is the name of Crossfade's network; empty if it is not known.
    #[must_use]
    pub fn for_sweep(layout: &Layout, name: &str) -> Self {
        Self {
            object: RawObject::default(),
            name: name.to_owned(),
            version: Version::V110,
            plugin_type: crate::node::layout::PLUGIN.to_owned(),
            layout: layout.clone(),
        }
    }

    /// Reads stdin to its end.
    ///
    /// # Errors
    /// The error, and the version to report it at: code 5 or 6 if stdin cannot be read, 7 if the conf is invalid, 1 if the shim does not support its
    /// version.
    pub fn read(stdin: &mut impl Read) -> Result<Self, (CniError, String)> {
        let newest = || Version::V110.to_string();
        let bytes = read_bounded(stdin, MAX_STDIN_BYTES)
            .map_err(|e| (CniError::new(code::DECODE, format!("read stdin: {e}")), newest()))?;
        let object = RawObject::parse(&bytes).map_err(|why| {
            let error = match why {
                ObjectError::Null => CniError::new(code::CONFIG, "missing network name")
                    .details("stdin is null, expected the network configuration"),
                ObjectError::Invalid(_) | ObjectError::Other(_) => {
                    CniError::new(code::DECODE, format!("decode network configuration: {why}"))
                }
            };
            (error, newest())
        })?;
        let spelled = text(&object, "cniVersion").map_err(|e| (e, newest()))?.unwrap_or_default();
        let shown = if spelled.is_empty() { newest() } else { spelled.clone() };
        Self::parse(object, &spelled).map_err(|error| (error, shown))
    }

    fn parse(object: RawObject, spelled: &str) -> Result<Self, CniError> {
        let name = text(&object, "name")?.filter(|name| !name.is_empty()).ok_or_else(|| {
            CniError::new(code::CONFIG, "missing network name").details("expected a key \"name\"")
        })?;
        if !is_name(&name) {
            return Err(CniError::new(code::CONFIG, "invalid characters in network name").details(name));
        }
        let version = Version::parse(spelled).ok_or_else(|| {
            // In the specification, an absent version means 0.1.0.
            let config = if spelled.is_empty() { "0.1.0 (no cniVersion)" } else { spelled };
            CniError::new(code::VERSION, "incompatible CNI versions")
                .details(format!("config is {config}, plugin supports {}", Version::supported_text()))
        })?;
        let mut layout = Layout { policy: path(&object, "policy")?, ..Layout::default() };
        if let Some(dir) = path(&object, "stateDir")? {
            layout.state_dir = dir;
        }
        if let Some(dir) = path(&object, "runDir")? {
            layout.run_dir = dir;
        }
        let plugin_type = text(&object, "type")?.unwrap_or_else(|| crate::node::layout::PLUGIN.to_owned());
        Ok(Self { name, version, plugin_type, layout, object })
    }

    /// `runtimeConfig`, verbatim.
    ///
    /// # Errors
    /// Code 6 if it is no object.
    pub fn runtime_config(&self) -> Result<RawObject, CniError> {
        self.object
            .decode("runtimeConfig")
            .map(Option::unwrap_or_default)
            .map_err(|e| CniError::new(code::DECODE, format!("decode runtimeConfig: {e}")))
    }
}

fn text(object: &RawObject, key: &str) -> Result<Option<String>, CniError> {
    object
        .decode(key)
        .map_err(|e| CniError::new(code::DECODE, format!("decode network configuration: {key}: {e}")))
}

fn path(object: &RawObject, key: &str) -> Result<Option<PathBuf>, CniError> {
    match text(object, key)?.map(PathBuf::from) {
        Some(path) if !path.is_absolute() => {
            Err(CniError::new(code::CONFIG, format!("{key} {:?} is not an absolute path", path.display())))
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vec<(String, OsString)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v))).collect()
    }

    fn parse(pairs: &[(&str, &str)]) -> Result<Env, CniError> {
        Env::parse(&vars(pairs))
    }

    #[test]
    fn every_missing_variable_is_named_in_order() {
        let error =
            parse(&[("CNI_COMMAND", "ADD"), ("CNI_NETNS", ""), ("CNI_PATH", "/p")]).expect_err("missing");
        assert_eq!(error.code, 4);
        assert!(error.msg.ends_with("CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME"), "{error}");
    }

    #[test]
    fn validators_run_only_for_verbs_that_need_the_variable() {
        let env = parse(&[("CNI_COMMAND", "STATUS"), ("CNI_IFNAME", "a/b"), ("CNI_CONTAINERID", "..")]);
        assert!(env.is_ok_and(|env| env.ifname.is_empty()));
        let bad = [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "a/b")];
        assert_eq!(parse(&bad).map_err(|e| e.code).err(), Some(4));
    }
}
