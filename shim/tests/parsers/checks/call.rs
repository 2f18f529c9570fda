//! One call: environment and stdin. *Input*: `NAME=VALUE` lines, an empty line, stdin.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use serde_json::Value;
use shim::call::reply::CniError;
use shim::call::request::{Conf, Env, Verb};
use shim::node::store::Key;
use types::pod::Pod;
use types::text::names::is_name;

use super::error::fit_for_del;
use super::json::{go_get, pairs};

/// Checks any bytes as environment and stdin.
pub fn check(data: &[u8]) {
    let split = data.windows(2).position(|two| two == b"\n\n");
    let (head, mut stdin) = split.map_or((data, &b""[..]), |at| (&data[..at], &data[at + 2..]));
    environment(head);
    let whole = stdin;
    match Conf::read(&mut stdin) {
        Ok(conf) => accepted(&conf, whole),
        Err((error, version)) => {
            assert!([1, 5, 6, 7].contains(&error.code), "{error}");
            reported(error, &version);
        }
    }
}

fn environment(head: &[u8]) {
    let vars: Vec<(String, OsString)> = head
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b'=')?;
            let name = String::from_utf8(line[..at].to_vec()).ok()?;
            Some((name, OsString::from_vec(line[at + 1..].to_vec())))
        })
        .collect();
    for (name, value) in &vars {
        let value = value.to_string_lossy();
        stays_inside(&Key::new(value.clone(), "eth0"));
        stays_inside(&Key::new("c1", value.clone()));
        pod(&value);
        assert!(!is_name(&value) || !value.contains(['/', '\0', ' ']), "{name}");
    }
    let env = match Env::parse(&vars) {
        Ok(env) => env,
        Err(error) => {
            assert_eq!(error.code, 4, "{error}");
            return reported(error, "1.1.0");
        }
    };
    let of_container = matches!(env.verb, Verb::Add | Verb::Del | Verb::Check);
    assert_eq!(of_container, !env.container_id.is_empty() && !env.ifname.is_empty());
    assert!(
        of_container || (env.netns.is_empty() && env.args.is_none()),
        "a stranger's variable got through"
    );
    assert!(!matches!(env.verb, Verb::Add | Verb::Check) || !env.netns.is_empty());
    if of_container {
        assert!(is_name(&env.container_id), "{}", env.container_id);
        assert!(
            env.ifname.len() <= 15 && !env.ifname.contains(['/', ':', ' ', '\n', '\0']),
            "{}",
            env.ifname
        );
        let key = Key::new(&env.container_id, &env.ifname);
        stays_inside(&key);
        let longer = Key::new(format!("{}x", env.container_id), &env.ifname);
        let shorter = Key::new(&env.container_id[1..], &env.ifname);
        for other in [longer, shorter] {
            assert_ne!(other.file_name(), key.file_name(), "two attachments, one file");
        }
    }
}

/// Whatever the names are, a file of ours stays in its directory.
fn stays_inside(key: &Key) {
    let name = key.file_name();
    let components: Vec<_> = Path::new(&name).components().collect();
    assert!(matches!(components[..], [Component::Normal(only)] if only == name.as_str()), "{name:?}");
    assert!(name.len() <= 255 && !name.contains('\0'), "{name:?}");
}

/// What a pod's arguments say, against another way of reading them.
fn pod(args: &str) {
    let mut output: [Vec<&str>; 2] = [Vec::new(), Vec::new()];
    for pair in args.split(';') {
        for (key, values) in ["K8S_POD_NAMESPACE=", "K8S_POD_NAME="].into_iter().zip(&mut output) {
            values
                .extend(pair.strip_prefix(key).filter(|value| !value.is_empty() && !values.contains(value)));
        }
    }
    let [namespace, name] = output.map(|values| match values[..] {
        [only] => Some(only.to_owned()),
        _ => None,
    });
    assert_eq!(Pod::from_args(args), Pod { namespace, name }, "{args:?}");
}

fn accepted(conf: &Conf, stdin: &[u8]) {
    assert!(is_name(&conf.name) && shim::call::version::SUPPORTED.contains(&conf.version));
    let layout = &conf.layout;
    for path in [Some(&layout.state_dir), Some(&layout.run_dir), layout.policy.as_ref()].into_iter().flatten()
    {
        assert!(path.is_absolute(), "{}", path.display());
    }
    let written = pairs(std::str::from_utf8(stdin).expect("text"));
    let go = |key: &str| go_get(&written, key).and_then(|raw| serde_json::from_str::<String>(raw).ok());
    assert_eq!(Some(&conf.name), go("name").as_ref());
    assert_eq!(Some(conf.version.as_str()), go("cniVersion").as_deref());
    assert_eq!(conf.plugin_type, go("type").unwrap_or_else(|| "crossfade".into()));
    if let Err(error) = conf.runtime_config() {
        assert_eq!(error.code, 6);
        reported(error, conf.version.as_str());
    }
}

/// An error leaves as one JSON object with all of its keys, and a DEL's without the words that mean success.
fn reported(error: CniError, version: &str) {
    let reply: Value = serde_json::from_str(&error.to_json(version)).expect("one JSON document");
    assert_eq!(
        (reply["code"].as_u64(), reply["msg"].as_str()),
        (Some(u64::from(error.code)), Some(&*error.msg))
    );
    assert_eq!(reply["cniVersion"].as_str(), Some(version));
    fit_for_del(error);
}
