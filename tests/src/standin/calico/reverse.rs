//! The check of the way back, for both families.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result};

use crate::host::command::run_line;

/// Drops what arrives from the pods' interfaces of this prefix and would go back by another one.
///
/// The kernel has a switch for it in IPv4 alone, so the firewall does it. It asks rules as well as routes.
///
/// # Errors
/// What the kernel refuses.
pub(super) fn check_all(prefix: &str) -> Result<()> {
    let rule = format!("PREROUTING -i {prefix}+ -m rpfilter --invert -j DROP");
    for program in ["iptables", "ip6tables"] {
        let line = |verb: &str| format!("{program} -w -t raw {verb} {rule}");
        // A predecessor's is still there.
        if run_line(&line("-C")).is_err() {
            run_line(&line("-A"))?;
        }
    }
    Ok(())
}

/// Sets the kernel's switch of one interface, as felix does.
///
/// # Errors
/// What the kernel refuses.
pub(super) fn check(interface: &str) -> Result<()> {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter");
    let is = match fs::read_to_string(&path) {
        // Interfaces go whenever they like; the next pass knows.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        is => is.with_context(|| format!("read {path}"))?,
    };
    if is.trim() != "1" {
        fs::write(&path, "1").with_context(|| format!("write {path}"))?;
    }
    Ok(())
}
