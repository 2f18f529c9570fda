//! The paths of a node that only `crossfade-bootstrap` knows, below a root. [`shim::node::layout`] has the paths that the shim reads as well.

/// This program, where the package puts it.
pub const BOOTSTRAP: &str = "/usr/bin/crossfade-bootstrap";

/// What the package is made of: release, commit, and the digests of its programs.
pub const RELEASE: &str = "/usr/lib/crossfade/release.json";

/// The drop-in that the package brings for the usual units of kubelet and the runtimes; those of other names get a link to it.
pub const PACKAGED: &str = "50-crossfade.conf";

/// File name of the node's settings in [`shim::node::layout::SETTINGS_DIRS`].
pub const NODE_FILE: &str = "node.json";

/// Switches Crossfade off on this node while it exists.
pub const DISABLED: &str = "/etc/crossfade/disabled";

/// The runtime's conf directory in private mode; on tmpfs, so that every boot starts without a conf.
pub const PRIVATE_CONF_DIR: &str = "/run/crossfade/net.d";

/// The variable that the generator puts at the end of kubelet's command line.
pub const KUBELET_ARGUMENTS: &str = "CROSSFADE_KUBELET_ARGS";

/// The variable that the generator puts at the end of the runtime's command line.
pub const RUNTIME_ARGUMENTS: &str = "CROSSFADE_RUNTIME_ARGS";

/// The file with what systemd adds to kubelet's command line, as [`KUBELET_ARGUMENTS`].
pub const KUBELET_ENV: &str = "/run/crossfade/kubelet.env";

/// The directory of drop-ins that kubelet reads instead of its own, where Crossfade's taints go into a file.
pub const KUBELET_CONFIG_DIR: &str = "/run/crossfade/kubelet.conf.d";

/// The file with what systemd adds to the runtime's command line, as [`RUNTIME_ARGUMENTS`].
pub const RUNTIME_ENV: &str = "/run/crossfade/runtime.env";

/// The copy of containerd's configuration that names Crossfade's conf directory.
pub const CONTAINERD_CONFIG: &str = "/run/crossfade/containerd/config.toml";

/// Why kubelet was started although the gate never opened; while it is there, kubelet registers with a taint that says so.
pub const UNFIT: &str = "/run/crossfade/unfit";

/// The moment of the first try of `gate` in this boot.
pub const GATE: &str = "/run/crossfade/gate.json";

/// The marker that `boot` writes when it has prepared this boot.
pub const BOOTED: &str = "/run/crossfade/boot.json";

/// Which machine, and which boot of it, `boot` saw last.
pub const IDENTITY: &str = "/var/lib/crossfade/boot.json";

/// What a clone or a first boot moved out of the way; nothing is deleted.
pub const SET_ASIDE: &str = "/var/lib/crossfade/set-aside";

/// The report of `watch`, for people and programs.
pub const STATUS: &str = "/run/crossfade/status.json";

/// What pods have brought onto this node.
pub const BROUGHT: &str = "/var/lib/crossfade/brought.json";

/// Is there while systemd runs `watch`, between two tries as well: a link that PID 1 keeps for every unit that is not inactive, for
/// the journal. *Source*: systemd, `src/core/unit.c`, `unit_export_invocation_id`.
pub const WATCH_UNIT: &str = "/run/systemd/units/invocation:crossfade-watch.service";

/// Marks a node without Crossfade's plugin (`confDir: none`) in this boot; the unit of `watch` has a condition on this file.
pub const WITHOUT: &str = "/run/crossfade/without-plugin";

/// Held by the one `watch` that may run; among the plugin's locks, which only root can open. Its extension keeps the sweep off.
pub const WATCH_LOCK: &str = "/run/crossfade/locks/watch.lock";

/// Opened by a `watch` that the lock refuses: a sign to the one of a pod that holds it.
pub const WATCH_REFUSED: &str = "/run/crossfade/watch.refused";

/// While this file exists, `uninstall` is removing Crossfade's conf, and `watch` must not write it again.
pub const LEAVING: &str = "leaving";

/// Directory of what proofs need and say, below the run directory.
pub const PROOF: &str = "proof";
