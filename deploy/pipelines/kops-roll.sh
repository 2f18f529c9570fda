#!/bin/bash
# Replaces the nodes of an instance group of kOps that need an update, each when its turn has come.
#
#   kops-roll.sh INSTANCE-GROUP
#
# Exit status: 0 none is left; 3 the run never lets some of them go, which stay as they were; any other: call it again.
set -euo pipefail

nodes=$(kops get instances --output json | jq --raw-output --arg group "$1" '.[]
    | select(.instanceGroup == $group and .status == "NeedsUpdate") | .nodeName // error("instance \(.id) has no Node")')
result=0
for node in $nodes; do
    status=75
    while ((status == 75)); do
        status=0
        kubectl crossfade permit "$node" --wait 600 || status=$?
    done
    case $status in
    0) kops delete instance "$node" --yes ;; # detaches it, so that another one starts; drains, validates and ends it
    3) result=3 ;;
    *) exit "$status" ;;
    esac
done
exit "$result"
