//! systemd units as systemd merges them: the file, its drop-ins, their environment, and the command that results.
