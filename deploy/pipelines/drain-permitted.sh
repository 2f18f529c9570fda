#!/bin/sh
# Drains a node when its turn has come, so that its machine may be ended: for pipelines that run a command before they end a machine.
#
#   drain-permitted.sh NODE
#
# Exit status: 0 the node is empty, or its Node is gone; 3 the run never lets the node go, and nothing was done to it; any other: call it again. A call
# after one that was killed gets the same answer and goes on.
set -eu

until kubectl crossfade permit "$1" --wait 600; do
    status=$?
    [ "$status" -ne 75 ] || continue
    [ "$status" -eq 3 ] || exit "$status"
    # A spot machine takes its Node along, and then nothing is left to drain.
    present=$(kubectl get node "$1" --ignore-not-found --output name)
    [ -z "$present" ] || exit 3
    exit 0
done
kubectl drain "$1" --ignore-daemonsets --delete-emptydir-data --timeout=30m
