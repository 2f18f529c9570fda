//! A delegate's answer to ADD: what is no result is refused with a code, what is one can be said in every version, both ways.
//!
//! *Input*: a byte that chooses the version of the delegate's conf, then its stdout.

use shim::call::version::{AddResult, SUPPORTED, Version};
use types::json::raw::RawObject;

use super::error::fit_for_del;
use super::json::{go_get, pairs, same_to_go, shown};

/// What a conversion may touch at the top.
const TOUCHED: [&str; 4] = ["cniVersion", "ips", "interfaces", "dns"];

/// Checks any bytes as an answer.
pub fn check(data: &[u8]) {
    let (which, stdout) = data.split_first().map_or((0, data), |(first, rest)| (usize::from(*first), rest));
    let version = SUPPORTED[which % SUPPORTED.len()];
    let result = match AddResult::parse(stdout, version) {
        Ok(result) => result,
        Err(error) => {
            assert!(error.code != 0 && !error.msg.contains('\n') || error.log == "a CNI error", "{error}");
            return fit_for_del(error);
        }
    };
    let own = pairs_of(stdout);
    let version = match go_get(&own, "cniVersion") {
        None | Some("null" | "\"\"") => version,
        Some(text) => {
            let text: String = serde_json::from_str(text).expect("text");
            Version::parse(&text).expect("one of ours")
        }
    };
    for address in addresses(&own) {
        assert!(is_cidr(&address), "{address:?} is none that a runtime can read");
    }
    for to in SUPPORTED {
        let Ok(raw) = result.to_version(to) else {
            assert_ne!(to, version, "its own version needs no conversion");
            continue;
        };
        converted(&own, raw.get(), version, to);
        let again = AddResult::parse(raw.get().as_bytes(), Version::V030).expect("a result of ours");
        assert_eq!(again.addresses(), result.addresses(), "{version} as {to}");
        assert_eq!(again.to_version(to).expect("as it is").get(), raw.get(), "{to} once more");
        if let Ok(back) = again.to_version(version) {
            let back = AddResult::parse(back.get().as_bytes(), Version::V030).expect("a result of ours");
            assert_eq!(back.addresses(), result.addresses(), "{version} as {to} and back");
        }
    }
}

fn pairs_of(stdout: &[u8]) -> Vec<(String, String)> {
    // Reference plugins print `null` for an empty result.
    RawObject::parse(stdout)
        .map_or_else(|_| Vec::new(), |_| pairs(std::str::from_utf8(stdout).expect("text")))
}

fn converted(own: &[(String, String)], text: &str, from: Version, to: Version) {
    let now = pairs(text);
    assert_eq!(go_get(&now, "cniVersion"), Some(&*format!("\"{to}\"")), "{text}");
    let spelled = now.iter().filter(|(key, _)| same_to_go(key, "cniVersion")).count();
    assert!(spelled == 1 || from == to, "{text}");
    if from == to {
        let kept: Vec<_> = own.iter().filter(|(key, _)| !same_to_go(key, "cniVersion")).collect();
        assert!(now.iter().filter(|(key, _)| !same_to_go(key, "cniVersion")).eq(kept), "{text} was {own:?}");
    }
    let foreign = |(key, _): &&(String, String)| !TOUCHED.iter().any(|touched| same_to_go(key, touched));
    assert!(now.iter().filter(foreign).eq(own.iter().filter(foreign)), "{text} was {own:?}");
    let (then, ips) = (objects(own, "ips"), objects(&now, "ips"));
    assert_eq!(then.len(), ips.len());
    for (then, ip) in then.iter().zip(&ips) {
        let legacy = to < Version::V100;
        if legacy != (from < Version::V100) {
            assert_eq!(go_get(ip, "version").is_some(), legacy, "{text}");
        }
        let rest = |(key, _): &&(String, String)| !same_to_go(key, "version");
        assert!(ip.iter().filter(rest).eq(then.iter().filter(rest)), "an address changed in {text}");
    }
    for (then, interface) in objects(own, "interfaces").iter().zip(objects(&now, "interfaces")) {
        for key in ["name", "mac", "sandbox"] {
            assert_eq!(go_get(&interface, key), go_get(then, key), "{key} in {text}");
        }
        let new = ["mtu", "socketPath", "pciID"].iter().any(|key| go_get(&interface, key).is_some());
        assert!(!new || to >= Version::V110 || from == to, "{text}");
    }
}

/// The objects of a list, each taken apart.
fn objects(pairs: &[(String, String)], key: &str) -> Vec<Vec<(String, String)>> {
    let list: Option<Vec<RawObject>> = go_get(pairs, key).and_then(|raw| serde_json::from_str(raw).ok());
    list.unwrap_or_default().iter().map(shown).collect()
}

fn addresses(own: &[(String, String)]) -> Vec<String> {
    let ips = objects(own, "ips");
    ips.iter()
        .map(|ip| serde_json::from_str(go_get(ip, "address").expect("an address")).expect("text"))
        .collect()
}

/// Whether Go's `net.ParseCIDR` takes it: an address, one slash, a decimal length that fits.
pub fn is_cidr(text: &str) -> bool {
    let Some((ip, length)) = text.split_once('/') else { return false };
    let Ok(ip) = ip.parse::<std::net::IpAddr>() else { return false };
    let digits = !length.is_empty() && length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    digits && length.parse::<u8>().is_ok_and(|length| length <= if ip.is_ipv4() { 32 } else { 128 })
}
