#!/bin/bash
# Replaces nodes one after the other: starts a new one, waits until its pods have a network, drains the old one and ends its machine.
#
#   loop.sh OLD...
#
# Two programs of yours do the cloud's part. Called again for the same node they start or end nothing a second time:
#   start-node OLD   starts the machine that replaces OLD, waits for its Node, and prints the Node's name
#   end-node OLD     ends the machine of OLD
# CONDITIONS names what a new node must reach. Nodes without Crossfade, as on the way back, have Ready alone.
#
# Exit status: 0 all are replaced; 3 the run never lets some of them go, which stay as they were; any other: call it again with the same nodes.
set -euo pipefail

result=0
for old in "$@"; do
    present=$(kubectl get node "$old" --ignore-not-found --output name)
    [[ -n $present ]] || continue # an earlier call has replaced it
    new=$(start-node "$old")
    for condition in ${CONDITIONS:-Ready CrossfadeReady}; do
        kubectl wait --for="condition=$condition" --timeout=15m "node/$new"
    done
    status=0
    "$(dirname "$0")/drain-permitted.sh" "$old" || status=$?
    case $status in
    0) ;;
    3) result=3 && continue ;; # it stays, and so does the machine that was started for it
    *) exit "$status" ;;
    esac
    end-node "$old"
    kubectl delete node "$old" --ignore-not-found
done
exit "$result"
