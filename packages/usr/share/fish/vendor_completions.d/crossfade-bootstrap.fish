# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_crossfade_bootstrap_global_optspecs
    string join \n o/output= h/help V/version
end

function __fish_crossfade_bootstrap_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_crossfade_bootstrap_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_crossfade_bootstrap_using_subcommand
    set -l cmd (__fish_crossfade_bootstrap_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -s V -l version -d 'Print version'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "install" -d 'Install Crossfade on a node with running pods, without restarting them'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "uninstall" -d 'Remove Crossfade\'s conf, so that new pods bypass Crossfade'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "policy" -d 'Show, check or change the policy, which decides the network of each new pod'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "attachments" -d 'List the attachments of this node: sandboxes, interfaces and their networks'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "cleanup" -d 'Remove what a CNI has left on this node: interfaces, routes, rules, chains, sets, files'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "move-pods" -d 'Move the pods of this node that are not on the network that the policy names'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "graduate" -d 'Remove Crossfade from a node that stays, once all its pods are on the new network'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "status" -d 'Report the phase, the pods of each network, pending DELs, and readiness'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "doctor" -d 'Find everything that is wrong on this node, by symptom, with the command that mends it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "image" -d 'Build a node image: bake settings into it, check it, and seal it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "unit" -d 'The commands that systemd\'s units and pods call. A person may call each of them, too'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l mode -d 'The directory from which the runtime reads Crossfade\'s conf' -r -f -a "shared\t'The runtime\'s usual directory, where Crossfade\'s conf sorts first'
private\t'A directory of Crossfade\'s alone, for a node that boots with Crossfade'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l plugin -d 'The plugin to install' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l bin-dir -d 'A directory in which the runtime looks for plugins; repeat the option for more [default: the runtime\'s directories, else those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l cni-version -d 'The cniVersion of Crossfade\'s conf; where there is a node.json, the file decides, and another version is refused [default: the version of node.json, else of the installed conf, else 1.0.0]' -r -f -a "1.0.0\t'The runtime calls neither STATUS nor GC'
1.1.0\t'The runtime polls STATUS, and CRI-O calls GC'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l accept-unknown -d 'Add attachments of NETWORK, which the policy does not name, to the inventory as `unrecorded`; repeat the option for more' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l ignore-network -d 'Omit attachments of NETWORK from the inventory, because their DEL never reaches Crossfade; repeat the option for more' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l uncached -d 'Add sandboxes that the runtime\'s result cache does not know to the inventory, as attached to NETWORK (old or new) with interface eth0' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l ignore-sandbox -d 'Omit this sandbox from the inventory although the runtime runs it, because the runtime\'s result cache does not know it; repeat the option for more' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l bring -d 'Copy policy.json and node.json from DIR to /etc/crossfade first. A file there that install did not write stays, and the command reports it if its content differs' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l cache-dir -d 'The runtime\'s cache of CNI results' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l overwrite -d 'With --bring, also replace files that install did not write'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l units -d 'Also copy this program, the plugin and their systemd units to the node, and start crossfade-watch.service there. This option needs --host'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l bin-dir -d 'A directory with the plugin; repeat the option for more [default: those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l purge -d 'Also remove the plugin and the empty state directories. CRI-O calls the plugin again for each of its sandboxes that began under Crossfade, so keep the plugin while such a sandbox exists'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l brought -d 'Also remove what install --bring and install --units copied to the node, and all remembered state except reports that have not been read yet'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l wait -d 'While a pod is attached through Crossfade, print which one and try again, until the process is ended'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "show" -d 'Print the policy that this node uses'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "check" -d 'Check whether a policy is valid'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "set" -d 'Set the phase of the policy, which decides the network of new pods. Running pods keep their networks'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "explain" -d 'Explain which network a pod would get, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l require-ready -d 'Change nothing unless every network of the phase is ready now. Without this option, the command warns'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l runtime -d 'Accept that the next reboot loses the change, because the policy file is on a tmpfs'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l namespace -d 'The pod\'s namespace' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l pod -d 'The pod\'s name' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l annotation -d 'An annotation of the pod; repeat the option for more' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the policy that this node uses'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check whether a policy is valid'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set the phase of the policy, which decides the network of new pods. Running pods keep their networks'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Explain which network a pod would get, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l on -d 'List only the attachments that were made in the phase PHASE (old, both-old, both-new, new), or that have the network NAME. In a phase that the node has left, these are its stragglers' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l for -d 'Print also the connections that begin within the next SECONDS, as they come' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l leaks -d 'List also what is left of attachments that ended: records and inventory entries whose sandbox the runtime does not list for longer than the policy\'s grace, and leases of containers that are unknown. Asks the runtime'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l ledger -d 'List also the ledger: attachments that ended without the confirmation of their network'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l connections -d 'Print instead the connections of these pods that the kernel tracks (conntrack), as lines that kubectl crossfade policies observe --flows reads. The pods\' addresses are those of the records and of the inventory. Needs CAP_NET_ADMIN'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l listed -d 'Read the living sandboxes from FILE instead of asking the runtime, to tell whose published ports and addresses are left. FILE is a JSON list of {"containerID":".."}' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l bin-dir -d 'A directory with CNI plugins; repeat the option for more [default: the runtime\'s directories, else those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -l apply -d 'Carry out what the command lists without this option'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand cleanup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l on -d 'Move only the pods that were attached in the phase PHASE (old, both-old, both-new, new), or that have the network NAME' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l pod -d 'Move only this pod; repeat the option for more. In NAMESPACE/NAME, * stands for any text' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l delete-bare -d 'Delete this pod, which no controller makes again; repeat the option for more. In NAMESPACE/NAME, * stands for any text' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l disrupt -d 'Move this pod although it is a Job\'s or an annotation asks not to disrupt it; repeat the option for more. In NAMESPACE/NAME, * stands for any text' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l timeout -d 'How long, in seconds, to wait for a PodDisruptionBudget to allow a pod to go, and then for the pod to be back' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l wait -d 'How long, in seconds, connections may take to end that use a network which is to leave a pod. A pod whose connections remain keeps the network' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l turn -d 'The number of the pass that watch has started; the result repeats it' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l in-place -d 'Restart the containers of each pod in a new sandbox on this node, instead of evicting the pod. The pod keeps its name and its volumes, and gets another address. Only pods whose restartPolicy is Always can be restarted so'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l skip-pre-stop -d 'Restart also pods with a preStop hook in place, although the hook does not run'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l delete-emptydir-data -d 'Evict also pods with an emptyDir, whose data is lost'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l restart-only -d 'Restart every pod, also those that a network could join or leave while they run'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l no-restart -d 'Restart no pod: networks only join and leave pods that run'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l now -d 'Break the connections that use a network which is to leave a pod'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -l apply -d 'Carry out what the command lists without this option'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand move-pods" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l bin-dir -d 'A directory with CNI plugins; repeat the option for more [default: the runtime\'s directories, else those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l cache-dir -d 'The runtime\'s cache of CNI results' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l apply -d 'Carry out what the command lists without this option'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -l wait -d 'With --apply, while something stands in the way or has to end first, print what it is and try again, until the process is ended'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand graduate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l timeout -d 'How long --wait waits, in seconds' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l wait -d 'Wait until watch reports that the node is ready. The command ends with exit status 3 after the timeout'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l follow -d 'Print one line now, and one whenever the report of watch changes, until the process is ended'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l reported -d 'Print only the report of watch, for a pod that has only /run/crossfade of its node. The command ends with exit status 3 unless the node is ready'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -l explain -d 'Print what a finding\'s code means, and look at no node' -r -f -a "node-json-unusable\t''
boot-failed\t''
gate-shut\t''
gate-gave-up\t''
kubelet-down\t''
runtime-unknown\t''
runtime-down\t''
runtime-restart\t''
node-condition-ready\t''
network-unavailable\t''
node-unregistered\t''
watch-not-ready\t''
node-labels\t''
policy-unusable\t''
runtime-hangs\t''
plugin-missing\t''
conf-waits\t''
network-without-conf\t''
network-conf-broken\t''
network-plugin-missing\t''
network-not-ready\t''
proof-failed\t''
file-unkept\t''
add-hangs\t''
adds-fail\t''
pods-stuck-starting\t''
del-owed\t''
pods-stuck-ending\t''
record-damaged\t''
state-unreadable\t''
conf-missing\t''
conf-unreadable\t''
conf-not-first\t''
conf-not-loaded\t''
conf-of-others\t''
crio-network\t''
several-confs\t''
pods-bypass\t''
switched-off\t''
earlier-image\t''
desired-unmet\t''
agent-takes-conf\t''
conf-repaired\t''
host-routes\t''
host-ports\t''
proof-degraded\t''
second-network\t''
sandbox-forgotten\t''
sandbox-waits\t''
lease-unknown\t''
sweep-fails\t''
ledger\t''
watch-down\t''
record-stale\t''
node-outdated\t''
runtime-config\t''
api-server\t''
source-unread\t''"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and not __fish_seen_subcommand_from bake selftest seal explain help" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and not __fish_seen_subcommand_from bake selftest seal explain help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and not __fish_seen_subcommand_from bake selftest seal explain help" -f -a "bake" -d 'Write the policy and the node settings of a node image'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and not __fish_seen_subcommand_from bake selftest seal explain help" -f -a "selftest" -d 'Check whether this machine, or an image, has everything that a boot needs'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and not __fish_seen_subcommand_from bake selftest seal explain help" -f -a "seal" -d 'Remove or refuse what must not be in a golden image, as the last step of an image build'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and not __fish_seen_subcommand_from bake selftest seal explain help" -f -a "explain" -d 'Explain what boot and render would do on this node or in an image, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and not __fish_seen_subcommand_from bake selftest seal explain help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l image -d 'What the image is for' -r -f -a "migration\t'An image with both networks, and with the plugin that chooses between them'
final\t'An image with the new network only: no plugin, no policy'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l old -d 'The CNI that a migration image moves pods from: the name of a profile such as calico, or `generic` with --old-conf' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l new -d 'The CNI that the image moves pods to: the name of a profile such as cilium, or `generic` with --new-conf' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l old-conf -d 'The conf of the old CNI, as a path on the node; repeat the option for alternatives, the first that exists counts [default: the profile\'s conf in the runtime\'s directory]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l new-conf -d 'The conf of the new CNI, as a path on the node; repeat the option for alternatives, the first that exists counts [default: the profile\'s conf in the runtime\'s directory]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l old-cidr -d 'A range of pod addresses of the old network; repeat the option for more' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l new-cidr -d 'A range of pod addresses of the new network; repeat the option for more' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l phase -d 'The phase of a migration image, which decides the network of new pods: old, both-old, both-new or new [default: new]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l label -d 'A label that kubelet registers the Node with, as KEY=VALUE; repeat the option for more. Without crossfade/image among them, a migration image gets one with the digest of its content' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l taint -d 'A taint that kubelet registers the Node with, as KEY[=VALUE]:EFFECT; repeat the option for more' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l mode -d 'The directory from which the runtime of a migration image reads Crossfade\'s conf [default: private]' -r -f -a "shared\t'The runtime\'s usual directory, where Crossfade\'s conf sorts first'
private\t'A directory of Crossfade\'s alone, for a node that boots with Crossfade'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l from-policy -d 'Use the policy in FILE, and not one made from the options above' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l from-node -d 'Use the node settings in FILE, and not those made from the options above' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l readiness-taint -d 'Register the taint readiness.k8s.io/crossfade:NoSchedule as well, which the Node Readiness Controller removes once CrossfadeReady is True'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l require-all-networks -d 'Report CrossfadeReady only while both networks of the policy are ready on the node: for a bridge, where both agents run on each node'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l bare -d 'Omit the label and the taint that the new CNI\'s own migration guide recommends'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from bake" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -l image -d 'Check an image that is being built, of which nothing has booted yet'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from selftest" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l allow -d 'An exception: an absolute path that may stay, where `*` stands for any text between two slashes; repeat the option for more' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l allow-file -d 'A file of exceptions, one path per line; `#` begins a comment. Repeat the option for more' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l check -d 'Change nothing. End with exit status 3 if seal would remove or refuse anything'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from seal" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from explain" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from explain" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from explain" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from explain" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from explain" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from explain" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "bake" -d 'Write the policy and the node settings of a node image'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "selftest" -d 'Check whether this machine, or an image, has everything that a boot needs'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "seal" -d 'Remove or refuse what must not be in a golden image, as the last step of an image build'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Explain what boot and render would do on this node or in an image, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand image; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "boot" -d 'Prepare this node before its runtime and kubelet start (crossfade-boot.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "gate" -d 'Delay kubelet until this node can attach pods to the right network (ExecStartPre of kubelet)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "render" -d 'Write Crossfade\'s flags for the command line of kubelet or of the runtime (ExecStartPre of both)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "watch" -d 'Reconcile Crossfade\'s conf, observe readiness and report (crossfade-watch.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "sweep" -d 'Detach sandboxes that the runtime no longer lists'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "retract" -d 'Remove from the Node object what Crossfade published there (crossfade-retract.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "prove" -d 'Attach a scratch network namespace to a network, check it and detach it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "place" -d 'Copy the package\'s plugin to where the runtime looks for it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and not __fish_seen_subcommand_from boot gate render watch sweep retract prove place help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from boot" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from boot" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from boot" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from boot" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from boot" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from boot" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from boot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from gate" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from gate" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from gate" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from gate" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from gate" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from gate" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from gate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from render" -l print -d 'Write nothing. Print the labels and taints as settings of PLATFORM, such as eksctl or talos, for nodes whose kubelet Crossfade does not configure' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from render" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from render" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from render" -l runtime -d 'Write the flags of the runtime, not those of kubelet'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from render" -l check -d 'Write nothing. Check the labels and taints against the rules of kubelet and of the API server'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from render" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from render" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -l once -d 'Make one pass over the node, and end'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -l pod -d 'Run in a pod. watch then starts no systemd units, and only observes while crossfade-watch.service or another watch runs on the node'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l listed -d 'Read the living sandboxes from FILE instead of asking the runtime. FILE is a JSON list of {"containerID":"..","ifname":"eth0"}; without ifname, an entry means all interfaces of the container. Every attachment that FILE does not list counts as gone, also if the list is empty' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l every -d 'Sweep again every SECONDS seconds until the process is ended, as in a pod' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l bin-dir -d 'A directory with CNI plugins; repeat the option for more [default: the runtime\'s directories, else those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l runtime-endpoint -d 'The runtime\'s CRI socket as unix:///PATH, or `none` to ask no runtime [default: the socket that node.json, kubelet or the runtime\'s configuration names]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l turn -d 'The number of the pass that watch has started; the result repeats it' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from sweep" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from retract" -l timeout -d 'How long to try, in seconds' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from retract" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from retract" -l host -d 'Work on the node whose root directory is mounted at DIR, as in a pod. The command makes DIR its own root directory, so every other path is a path on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from retract" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from retract" -l removed -d 'State that Crossfade was removed from this node by hand'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from retract" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from retract" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -l turn -d 'The number of the agent\'s start that watch asks about; the result repeats it' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -l bin-dir -d 'A directory with CNI plugins; repeat the option for more [default: those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -l within -d 'How long packets that do not pass yet are sent again, in seconds' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -l conf-dir -d 'The directory from which the runtime reads CNI confs [default: the directory that the runtime\'s configuration names, else /etc/cni/net.d]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -l state-dir -d 'The directory with attachment records and the inventory [default: the directory that Crossfade\'s conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -l run-dir -d 'The directory with locks and markers of the current boot [default: the directory that Crossfade\'s conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -l policy -d 'The policy file [default: the file that Crossfade\'s conf names, else the first policy.json in /etc/crossfade, /run/crossfade and /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from prove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from place" -l bin-dir -d 'A directory in which the runtime looks for plugins; repeat the option for more' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from place" -l root -d 'Work on the node image that is mounted at DIR, and not on this machine' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from place" -s o -l output -d 'The format of the answer on stdout' -r -f -a "human\t'Lines for people; they may change with every release'
json\t'One JSON document with a version, for programs'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from place" -l dry-run -d 'Print the changes that the command would make, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from place" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "boot" -d 'Prepare this node before its runtime and kubelet start (crossfade-boot.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "gate" -d 'Delay kubelet until this node can attach pods to the right network (ExecStartPre of kubelet)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "render" -d 'Write Crossfade\'s flags for the command line of kubelet or of the runtime (ExecStartPre of both)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "watch" -d 'Reconcile Crossfade\'s conf, observe readiness and report (crossfade-watch.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "sweep" -d 'Detach sandboxes that the runtime no longer lists'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "retract" -d 'Remove from the Node object what Crossfade published there (crossfade-retract.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "prove" -d 'Attach a scratch network namespace to a network, check it and detach it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "place" -d 'Copy the package\'s plugin to where the runtime looks for it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand unit; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "install" -d 'Install Crossfade on a node with running pods, without restarting them'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "uninstall" -d 'Remove Crossfade\'s conf, so that new pods bypass Crossfade'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "policy" -d 'Show, check or change the policy, which decides the network of each new pod'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "attachments" -d 'List the attachments of this node: sandboxes, interfaces and their networks'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "cleanup" -d 'Remove what a CNI has left on this node: interfaces, routes, rules, chains, sets, files'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "move-pods" -d 'Move the pods of this node that are not on the network that the policy names'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "graduate" -d 'Remove Crossfade from a node that stays, once all its pods are on the new network'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "status" -d 'Report the phase, the pods of each network, pending DELs, and readiness'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "doctor" -d 'Find everything that is wrong on this node, by symptom, with the command that mends it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "image" -d 'Build a node image: bake settings into it, check it, and seal it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "unit" -d 'The commands that systemd\'s units and pods call. A person may call each of them, too'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments cleanup move-pods graduate status doctor image unit help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'Print the policy that this node uses'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Check whether a policy is valid'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "set" -d 'Set the phase of the policy, which decides the network of new pods. Running pods keep their networks'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "explain" -d 'Explain which network a pod would get, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "bake" -d 'Write the policy and the node settings of a node image'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "selftest" -d 'Check whether this machine, or an image, has everything that a boot needs'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "seal" -d 'Remove or refuse what must not be in a golden image, as the last step of an image build'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from image" -f -a "explain" -d 'Explain what boot and render would do on this node or in an image, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from unit" -f -a "boot" -d 'Prepare this node before its runtime and kubelet start (crossfade-boot.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from unit" -f -a "gate" -d 'Delay kubelet until this node can attach pods to the right network (ExecStartPre of kubelet)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from unit" -f -a "render" -d 'Write Crossfade\'s flags for the command line of kubelet or of the runtime (ExecStartPre of both)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from unit" -f -a "watch" -d 'Reconcile Crossfade\'s conf, observe readiness and report (crossfade-watch.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from unit" -f -a "sweep" -d 'Detach sandboxes that the runtime no longer lists'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from unit" -f -a "retract" -d 'Remove from the Node object what Crossfade published there (crossfade-retract.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from unit" -f -a "prove" -d 'Attach a scratch network namespace to a network, check it and detach it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from unit" -f -a "place" -d 'Copy the package\'s plugin to where the runtime looks for it'
