#!/bin/sh
# Drains a node when its turn has come, so that its machine may be ended: for pipelines that run a command before they end a machine.
#
#   drain-permitted.sh NODE
#
# Exit status: 0 the node is empty; 3 the run never lets the node go, and nothing was done to it; any other: call it again. A call after one that was
# killed gets the same answer and goes on.
set -eu

until kubectl crossfade permit "$1" --wait 600; do
    status=$?
    [ "$status" -eq 75 ] || exit "$status"
done
kubectl drain "$1" --ignore-daemonsets --delete-emptydir-data --timeout=30m
