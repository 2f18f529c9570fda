#!/bin/sh
# The entry point of a bootstrap container of Bottlerocket. It prepares a node before its kubelet starts, in each boot, since /etc is new each time.
set -eu
top=${TOP:-} # a test's directory; empty on a node
host=$top/.bottlerocket/rootfs

for directory in /etc/cni /etc/containerd /etc/crossfade /opt/cni/bin /run/crossfade /var/lib/cni /var/lib/crossfade; do
    mkdir -p "$host$directory" "$top$directory"
    mount -o bind "$host$directory" "$top$directory"
done
cp "$host/etc/machine-id" "$top/etc/machine-id"
# Files in /etc/crossfade, such as those of the DaemonSet, take precedence.
cp "$top/usr/lib/crossfade/policy.json" "$top/usr/lib/crossfade/node.json" "$top/run/crossfade/"
exec crossfade-bootstrap unit boot
