//! As much of a systemd as a DaemonSet asks for on a node that has none: a `systemctl`, and what it asks to run `watch` as its unit does.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;

use crate::host::node::{Daemon, Node};

/// The first directory of an image's `PATH`; the nodes of a lab share it.
const SYSTEMCTL: &str = "/usr/sbin/systemctl";

const CLIENT: &str = r#"#!/bin/sh
case "$*" in
daemon-reload | "enable --quiet "*) ;;
*"start crossfade-watch.service" | "stop crossfade-watch.service" | "disable --quiet --now crossfade-watch.service "*)
    echo "$1" >/run/lab-systemd-request
    read -r status </run/lab-systemd-answer
    exit "$status"
    ;;
"show --property=LoadState "*)
    [ -e "/usr/lib/systemd/system/$3" ] && echo LoadState=loaded || echo LoadState=not-found
    ;;
*)
    echo "the lab's systemctl does not know: $*" >&2
    exit 1
    ;;
esac
"#;

/// Outside of the pods that ask, for their processes end with them.
const MANAGER: &str = r#"
link=/run/systemd/units/invocation:crossfade-watch.service
watch=
mkdir -p /run/systemd/system /run/systemd/units
mkfifo -m 600 /run/lab-systemd-request /run/lab-systemd-answer
while read -r verb </run/lab-systemd-request; do
    status=0
    if [[ $verb != start && $watch ]]; then
        kill "$watch"
        wait "$watch"
        rm -f "$link"
        watch=
    fi
    if [[ $verb == *start && ! $watch ]]; then
        crossfade-bootstrap unit boot
        status=$?
        crossfade-bootstrap unit watch &
        watch=$!
        ln -sfn running "$link"
    fi
    echo "$status" >/run/lab-systemd-answer
done
"#;

/// Gives the node one; `watch` ends with the node.
///
/// # Errors
/// What the file system says.
pub fn start(node: &Node) -> Result<Daemon> {
    node.write(SYSTEMCTL, CLIENT)?;
    fs::set_permissions(node.outside(SYSTEMCTL), fs::Permissions::from_mode(0o755))?;
    node.background("systemd", node.command("bash").args(["-c", MANAGER]))
}
