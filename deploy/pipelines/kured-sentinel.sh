#!/bin/sh
# kured: a node reboots when it has to and its turn has come. On every node, for --reboot-sentinel-command=/usr/local/bin/kured-sentinel.sh
#
# kured takes 0 for "reboot", and every other exit status for "not now": it asks again after its period.
set -eu

[ -e "${REBOOT_REQUIRED:-/var/run/reboot-required}" ] || exit 1
exec kubectl crossfade permit "$KURED_NODE_ID"
