//! CNI versions and conversion of results between them.
//!
//! A result passes through unchanged if its version is the requested one. Otherwise it is converted, and unknown keys at the top level are kept.
//!
//! *Source*: CNI specification 0.3.0 to 1.1.0, and the conversions of the reference library (`pkg/types`).

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde_json::value::RawValue;
use types::cidr;
use types::json::raw::{DecodeError, RawObject, raw_string, same_key, to_raw};

use crate::call::reply::{CniError, code};

/// A CNI version that Crossfade supports, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.0
    V030,
    /// 0.3.1
    V031,
    /// 0.4.0: CHECK, and `prevResult` on DEL
    V040,
    /// 1.0.0: no `version` in `ips`
    V100,
    /// 1.1.0: GC, STATUS, richer interfaces and routes
    V110,
}

/// All supported versions, oldest first.
pub const SUPPORTED: [Version; 5] =
    [Version::V030, Version::V031, Version::V040, Version::V100, Version::V110];

impl Version {
    /// Parses a version; none if Crossfade does not support it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        SUPPORTED.into_iter().find(|version| version.as_str() == text)
    }

    /// The version as in `cniVersion`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V030 => "0.3.0",
            Self::V031 => "0.3.1",
            Self::V040 => "0.4.0",
            Self::V100 => "1.0.0",
            Self::V110 => "1.1.0",
        }
    }

    /// The list for messages: `0.3.0, 0.3.1, ...`.
    #[must_use]
    pub fn supported_text() -> String {
        SUPPORTED.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A successful answer to ADD, at a known version.
#[derive(Debug, Clone)]
pub struct AddResult {
    version: Version,
    object: RawObject,
    addresses: Vec<IpNetwork>,
}

impl AddResult {
    /// Reads the stdout of a plugin that succeeded.
    ///
    /// An absent or empty `cniVersion` means the version of the plugin's conf. The specification requires that they are equal, and the reference
    /// library assumes it.
    ///
    /// # Errors
    /// Code 6 if the output is no JSON object, or has an unsupported version or an invalid address. For an error object in spite of exit status 0,
    /// the delegate's code.
    pub fn parse(stdout: &[u8], conf_version: Version) -> Result<Self, CniError> {
        // A plugin's text goes to the runtime and not into the log, because it may hold a token.
        let log = String::from("invalid result");
        let invalid = |why: String| CniError {
            log: log.clone(),
            ..CniError::new(code::DECODE, format!("invalid result: {why}"))
        };
        if stdout.iter().all(u8::is_ascii_whitespace) {
            return Err(invalid("empty output".into()));
        }
        let mut object = match RawObject::parse(stdout) {
            Ok(object) => object,
            // The reference plugins and libraries read `null` as an empty result.
            Err(types::json::raw::ObjectError::Null) => RawObject::default(),
            Err(why) => {
                let quoted = types::text::quote::quote(stdout, 512);
                return Err(invalid(format!("{why}")).details(format!("output: {quoted}")));
            }
        };
        if let Some(error) = error_object(&object) {
            return Err(error);
        }
        let spelled: Option<String> =
            object.decode("cniVersion").map_err(|e| invalid(format!("cniVersion: {e}")))?;
        let version = match spelled.as_deref() {
            None | Some("") => {
                object.set_str("cniVersion", conf_version.as_str());
                conf_version
            }
            Some(text) => Version::parse(text).ok_or_else(|| {
                invalid(format!("unsupported cniVersion {text:?}"))
                    .details(format!("supported: {}", Version::supported_text()))
            })?,
        };
        let addresses = addresses(&object).map_err(invalid)?;
        Ok(Self { version, object, addresses })
    }

    /// Every address in `ips`, in order, host bits kept.
    #[must_use]
    pub fn addresses(&self) -> &[IpNetwork] {
        &self.addresses
    }

    /// [`Self::addresses`] without their masks.
    #[must_use]
    pub fn ips(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(|address| address.ip()).collect()
    }

    /// The names in `interfaces`, in order, without entries that have none.
    #[must_use]
    pub fn interfaces(&self) -> Vec<String> {
        self.interface_names(|_| true)
    }

    /// The names of those [`Self::interfaces`] that are in a sandbox.
    #[must_use]
    pub fn sandbox_interfaces(&self) -> Vec<String> {
        self.interface_names(|interface| {
            interface.decode::<String>("sandbox").ok().flatten().is_some_and(|path| !path.is_empty())
        })
    }

    fn interface_names(&self, is_wanted: impl Fn(&RawObject) -> bool) -> Vec<String> {
        let all: Vec<RawObject> = self.object.decode("interfaces").ok().flatten().unwrap_or_default();
        let names =
            all.iter().filter(|object| is_wanted(object)).map(|object| object.decode::<String>("name"));
        names.filter_map(|name| name.ok().flatten()).collect()
    }

    /// The result at `version`, itself if it has this version.
    ///
    /// # Errors
    /// As [`Self::to_version`] and [`Self::parse`].
    pub fn into_version(self, version: Version) -> Result<Self, CniError> {
        if self.version == version {
            return Ok(self);
        }
        Self::parse(self.to_version(version)?.get().as_bytes(), version)
    }

    /// Converts the result to `version`. The bytes stay the same if the result already has this version.
    ///
    /// # Errors
    /// Code 6 if `ips` or `interfaces` do not have the shape that the conversion needs.
    pub fn to_version(&self, version: Version) -> Result<Box<RawValue>, CniError> {
        if self.version == version {
            return Ok(self.object.to_raw());
        }
        let invalid = |key: &str, why: DecodeError| {
            CniError::new(code::DECODE, format!("invalid result: {key}: {why}"))
        };
        let mut object = self.object.clone();
        object.set_str("cniVersion", version.as_str());
        // The reference library omits empty values too, so runtimes accept their absence.
        if object.get("dns").is_some_and(is_empty_object) {
            object.remove("dns");
        }
        let legacy = |v: Version| v < Version::V100;
        if legacy(self.version) != legacy(version)
            && let Some(mut ips) = object.decode::<Vec<RawObject>>("ips").map_err(|e| invalid("ips", e))?
        {
            for (ip, address) in ips.iter_mut().zip(&self.addresses) {
                if legacy(version) {
                    ip.set_str("version", if address.is_ipv4() { "4" } else { "6" });
                } else {
                    ip.remove("version");
                }
            }
            object.set("ips", to_raw(&ips));
        }
        if version < Version::V110
            && let Some(mut interfaces) =
                object.decode::<Vec<RawObject>>("interfaces").map_err(|e| invalid("interfaces", e))?
        {
            for interface in &mut interfaces {
                // Version 1.1.0 introduced these keys.
                interface.retain(|key| !["mtu", "socketPath", "pciID"].iter().any(|new| same_key(new, key)));
                if legacy(version) {
                    interface.retain(|key| ["name", "mac", "sandbox"].iter().any(|old| same_key(old, key)));
                }
            }
            object.set("interfaces", to_raw(&interfaces));
        }
        Ok(object.to_raw())
    }
}

/// A CNI error object, if `object` is one: a numeric `code` that is not 0 beside a `msg`, and no result in it.
#[must_use]
pub fn error_object(object: &RawObject) -> Option<CniError> {
    let code = object.decode::<u32>("code").ok().flatten().filter(|code| *code != 0)?;
    if object.get("ips").is_some() || object.get("interfaces").is_some() {
        return None;
    }
    let text = |key: &str| object.decode::<String>(key).ok().flatten().unwrap_or_default();
    Some(CniError { code, msg: text("msg"), details: text("details"), log: "a CNI error".into() })
}

fn is_empty_object(raw: &RawValue) -> bool {
    RawObject::parse(raw.get().as_bytes()).is_ok_and(|object| object.is_empty())
}

fn addresses(object: &RawObject) -> Result<Vec<IpNetwork>, String> {
    let ips = object.decode::<Vec<RawObject>>("ips").map_err(|e| format!("ips: {e}"))?.unwrap_or_default();
    ips.iter()
        .enumerate()
        .map(|(index, ip)| {
            let text: String = ip
                .decode("address")
                .map_err(|e| format!("ips[{index}].address: {e}"))?
                .ok_or_else(|| format!("ips[{index}] has no address"))?;
            let network =
                cidr::parse(&text).map_err(|why| format!("ips[{index}].address {text:?}: {why}"))?;
            Ok(canonical(network))
        })
        .collect()
}

/// Turns an IPv4-mapped IPv6 address into the IPv4 address, as Go prints it.
fn canonical(network: IpNetwork) -> IpNetwork {
    match network.ip() {
        IpAddr::V6(v6) if network.prefix() >= 96 => v6
            .to_ipv4_mapped()
            .and_then(|v4| IpNetwork::new(IpAddr::V4(v4), network.prefix() - 96).ok())
            .unwrap_or(network),
        IpAddr::V4(_) | IpAddr::V6(_) => network,
    }
}

/// The answer to VERSION.
///
/// `cniVersion` is the newest supported one, whatever the request has. Every Go plugin answers so, and a runtime reads only the list.
#[must_use]
pub fn version_reply() -> String {
    let mut reply = RawObject::default();
    reply.set("cniVersion", raw_string(Version::V110.as_str()));
    reply.set("supportedVersions", to_raw(&SUPPORTED.map(Version::as_str)));
    reply.to_raw().get().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn convert(from: &Value, to: Version) -> Value {
        let result = AddResult::parse(from.to_string().as_bytes(), Version::V100).expect("a result");
        serde_json::from_str(result.to_version(to).expect("converts").get()).expect("json")
    }

    #[test]
    fn equal_versions_pass_through_with_every_unknown_key() {
        let text = r#"{"cniVersion":"1.0.0","vendorX":1.50,"interfaces":[{"name":"eth0","vendorY":[]}],"ips":[{"address":"10.0.0.5/24"}]}"#;
        let result = AddResult::parse(text.as_bytes(), Version::V031).expect("a result");
        assert_eq!(result.to_version(Version::V100).expect("same").get(), text);
    }

    #[test]
    fn up_conversion_drops_ip_version_and_empty_dns() {
        let old = json!({"cniVersion":"0.3.1","ips":[{"version":"4","address":"10.1.0.5/32"}],"dns":{}});
        assert_eq!(
            convert(&old, Version::V100),
            json!({"cniVersion":"1.0.0","ips":[{"address":"10.1.0.5/32"}]})
        );
    }

    #[test]
    fn down_conversion_adds_ip_version_and_keeps_three_interface_keys() {
        let new = json!({"cniVersion":"1.1.0",
            "interfaces":[{"name":"eth0","mac":"m","sandbox":"/n","mtu":1450,"vendor":1}],
            "ips":[{"address":"10.1.0.5/32","interface":0},{"address":"fd00::5/64"}],
            "routes":[{"dst":"0.0.0.0/0","table":0}],"dns":{"nameservers":["1.1.1.1"]}});
        assert_eq!(
            convert(&new, Version::V031),
            json!({"cniVersion":"0.3.1",
            "interfaces":[{"name":"eth0","mac":"m","sandbox":"/n"}],
            "ips":[{"version":"4","address":"10.1.0.5/32","interface":0},{"version":"6","address":"fd00::5/64"}],
            "routes":[{"dst":"0.0.0.0/0","table":0}],"dns":{"nameservers":["1.1.1.1"]}})
        );
    }

    #[test]
    fn one_one_to_one_zero_drops_only_the_new_interface_keys() {
        let new = json!({"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mtu":1450,"pciID":"x","vendor":1}],
            "ips":[{"address":"10.1.0.5/32"}]});
        assert_eq!(
            convert(&new, Version::V100),
            json!({"cniVersion":"1.0.0",
            "interfaces":[{"name":"eth0","vendor":1}],"ips":[{"address":"10.1.0.5/32"}]})
        );
    }

    #[test]
    fn an_answer_without_version_has_the_version_of_its_conf() {
        let result = AddResult::parse(br#"{"ips":[{"version":"4","address":"10.0.0.1/24"}]}"#, Version::V040)
            .expect("a result");
        let raw = result.to_version(Version::V100).expect("converts");
        assert_eq!(raw.get(), r#"{"ips":[{"address":"10.0.0.1/24"}],"cniVersion":"1.0.0"}"#);
    }

    #[test]
    fn what_is_no_result_is_code_6_or_the_delegates_own_code() {
        for (text, code) in [
            ("", 6),
            ("garbage", 6),
            ("[]", 6),
            (r#"{"cniVersion":"7.0.0"}"#, 6),
            (r#"{"cniVersion":"0.2.0"}"#, 6),
            (r#"{"cniVersion":3}"#, 6),
            (r#"{"ips":[{"address":"10.0.0.1"}, 3]}"#, 6),
            (r#"{"ips":[{"address":"banana/8"}]}"#, 6),
            (r#"{"ips":[{"address":"10.0.0.1"}]}"#, 6),
            (r#"{"ips":[{"address":"10.0.0.1/255.0.0.0"}]}"#, 6),
            (r#"{"ips":[{}]}"#, 6),
            (r#"{"code":7,"msg":"x"}"#, 7),
        ] {
            let error = AddResult::parse(text.as_bytes(), Version::V100).expect_err(text);
            assert_eq!(error.code, code, "{text}: {error}");
        }
        for text in ["null", "{}"] {
            let result = AddResult::parse(text.as_bytes(), Version::V100).expect(text);
            assert!(result.addresses().is_empty());
        }
    }
}
