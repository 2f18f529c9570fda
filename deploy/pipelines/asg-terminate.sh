#!/bin/bash
# Ends the terminating hook of instances of an Auto Scaling group, one in each call, when the turn of its node has come. Call it again and again, in one
# place: asg-terminate.timer does.
#
#   asg-terminate.sh GROUP HOOK
#
# Exit status: 0 an instance may end, or none waits; 3 the run never lets a node go, and a person decides; 75 instances wait for their turn; any other:
# something failed. An instance that does not end is held by the hook's heartbeat.
set -euo pipefail
group=$1 hook=$2

# action COMMAND INSTANCE [OPTION]...: a lifecycle command for the hook of an instance
action() {
    aws autoscaling "$1" --auto-scaling-group-name "$group" --lifecycle-hook-name "$hook" --instance-id "$2" "${@:3}"
}

instances=$(aws autoscaling describe-auto-scaling-groups --auto-scaling-group-names "$group" \
    --query "AutoScalingGroups[0].Instances[?LifecycleState=='Terminating:Wait'].InstanceId" --output text)
[[ $instances != None ]] || { echo "there is no Auto Scaling group $group" >&2; exit 1; }
nodes=$(kubectl get nodes --output 'jsonpath={range .items[*]}{.spec.providerID}{" "}{.metadata.name}{"\n"}{end}')
[[ $nodes == *aws:///* ]] || { echo 'no Node names an instance in its spec.providerID' >&2; exit 1; }

# The hook's time begins anew for all of them: a drain may take long.
for instance in $instances; do
    action record-lifecycle-action-heartbeat "$instance"
done

result=0
for instance in $instances; do
    node=$(awk -v end="/$instance" 'substr($1, length($1) - length(end) + 1) == end { print $2 }' <<<"$nodes")
    status=0
    # An instance without a Node has no pods.
    [[ -z $node ]] || kubectl crossfade permit "$node" || status=$?
    case $status in
    0)
        [[ -z $node ]] || kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data --timeout=15m
        action complete-lifecycle-action "$instance" --lifecycle-action-result CONTINUE
        exit 0
        ;;
    3) result=3 ;;
    75) ((result == 3)) || result=75 ;;
    *) exit "$status" ;;
    esac
done
exit "$result"
