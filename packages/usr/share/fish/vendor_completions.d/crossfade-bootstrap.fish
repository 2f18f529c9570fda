# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_crossfade_bootstrap_global_optspecs
    string join \n conf-dir= state-dir= run-dir= policy= output= dry-run root= host= h/help V/version
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

complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -s V -l version -d 'Print version'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "install" -d 'Install Crossfade on a node with running pods, without restarting them'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "uninstall" -d 'Take the conf away again, once nothing is attached through it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "policy" -d 'The policy: who gives a pod its network'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "attachments" -d 'List what is attached'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "sweep" -d 'Close what the runtime no longer lists, one pass'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "status" -d 'Phase, pods per network, what is owed, and what watch sees'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "boot" -d 'Prepare this node before its runtime and kubelet start (crossfade-boot.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "gate" -d 'Hold kubelet back until this node can come up right (kubelet\'s ExecStartPre)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "render" -d 'Write what kubelet, or the runtime, is told on its command line (their ExecStartPre)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "watch" -d 'Guard the conf, follow readiness and report (crossfade-watch.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "retract" -d 'Take back what this node said on its Node, once Crossfade takes no part here (crossfade-retract.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "explain" -d 'Say what boot and render would do here, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "bake" -d 'Write an image\'s policy and node settings (image builds)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "seal" -d 'Remove or refuse what must not be in a golden image (the last step of an image build)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "selftest" -d 'Say whether this machine, or an image of one, will come up right'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "prove" -d 'Attach a scratch namespace to a network, check it and detach it (watch starts it as a unit of its own)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "place" -d 'Put the package\'s plugin where the runtime looks for it (watch starts it as a unit of its own)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l mode -d 'Where the runtime is to read confs' -r -f -a "shared\t'In its usual directory, our conf first'
private\t'In a directory of ours'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l plugin -d 'The plugin to install' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l bin-dir -d 'Where the runtime looks for plugins; may be given more than once [default: what the runtime says, else those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l cni-version -d 'cniVersion of our conf [default: what it is, else 1.0.0]' -r -f -a "1.0.0\t'Without STATUS and GC'
1.1.0\t'With STATUS polling and the runtime\'s GC'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l accept-unknown -d 'List attachments of this network, which is none of the policy\'s, as `unrecorded`; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l ignore-network -d 'Leave attachments of this network out, for their DEL never comes here; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l uncached -d 'List sandboxes that the runtime runs and its result cache does not know as attached to this network, old or new, with interface eth0' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l ignore-sandbox -d 'Leave this sandbox out, which the runtime runs and its result cache does not know; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l bring -d 'Bring policy.json and node.json of this directory to /etc/crossfade first; a file there that is somebody else\'s is kept, and is a finding where it differs' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l cache-dir -d 'The runtime\'s result cache' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l runtime-endpoint -d 'The runtime\'s socket, or `none` to ask nobody [default: what node.json, kubelet, or the runtime\'s configuration says]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l overwrite -d 'With --bring: replace a file that is somebody else\'s'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l units -d 'Bring this program, the plugin and their units onto the node as well, and have its systemd run crossfade-watch.service; goes with --host'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l bin-dir -d 'Where the plugin is; may be given more than once [default: those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l runtime-endpoint -d 'The runtime\'s socket, or `none` to ask nobody [default: what node.json, kubelet, or the runtime\'s configuration says]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l purge -d 'Remove the plugin and the empty state as well. CRI-O replays confs it has cached, so keep the plugin while a sandbox of our time lives'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l brought -d 'Remove what install --bring and --units brought as well, and all that was remembered but for what nobody has read yet'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l wait -d 'While something is attached, say what and try again, without an end'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand uninstall" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "show" -d 'Print it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "check" -d 'Say whether it is valid'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "set" -d 'Flip it to a phase'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "explain" -d 'Say which network a pod would get, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and not __fish_seen_subcommand_from show check set explain help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l runtime -d 'The flip may be lost at the next reboot'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l namespace -d 'The pod\'s namespace' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l pod -d 'The pod\'s name' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l annotation -d 'One of its annotations; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say whether it is valid'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "set" -d 'Flip it to a phase'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Say which network a pod would get, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand attachments" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l listed -d 'The living sandboxes, instead of asking the runtime: a JSON list of {"containerID":"..","ifname":"eth0"}, without ifname for all of a container\'s. It is taken for the whole truth, also when it is empty' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l every -d 'Another pass after so many seconds, without an end; for a pod that sweeps' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l bin-dir -d 'Where delegates are; may be given more than once [default: those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l runtime-endpoint -d 'The runtime\'s socket, or `none` to ask nobody [default: what node.json, kubelet, or the runtime\'s configuration says]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l turn -d 'Which pass of watch\'s it is; the result that it leaves for watch repeats it' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand sweep" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l timeout -d 'How long to wait, in seconds' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l runtime-endpoint -d 'The runtime\'s socket, or `none` to ask nobody [default: what node.json, kubelet, or the runtime\'s configuration says]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l wait -d 'Wait until watch says that the node is ready; exit status 3 when the time is over'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l follow -d 'Print one line now and whenever what watch sees is another, without an end'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l reported -d 'Say only what watch reports, for a pod that has nothing of the node but /run/crossfade; exit status 3 unless the node is ready'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand boot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand gate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l print -d 'Print the settings for a platform that we cannot reach from here, instead of writing ours' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l runtime -d 'For the runtime, not for kubelet'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l check -d 'Write nothing; hold labels and taints against the rules of kubelet and of the API server'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand render" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l once -d 'One round, then end'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l pod -d 'In a pod: start no units, and look on while crossfade-watch.service of the node, or another watch, does the work'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand watch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l timeout -d 'How long to try' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l removed -d 'Crossfade was removed from this node by hand; without it the node must be switched off or of a final image'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand retract" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l image -d 'What the image is for' -r -f -a "migration\t'Both networks, and the plugin that chooses between them'
final\t'The new network alone: no plugin, no policy'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l old -d 'The CNI to leave, in a migration image: a profile\'s name, or `generic` with --old-conf' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l new -d 'The CNI to go to: a profile\'s name, or `generic` with --new-conf' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l old-conf -d 'The old CNI\'s conf; alternatives in their order [default: its profile\'s, in the usual directory]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l new-conf -d 'The new CNI\'s conf; alternatives in their order [default: its profile\'s, in the usual directory]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l old-cidr -d 'Addresses of the old network\'s pods; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l new-cidr -d 'Addresses of the new network\'s pods; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l phase -d 'Which network a node of a migration image gives its pods: old, both-old, both-new or new [default: new]' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l label -d 'A label that kubelet registers the Node with, KEY=VALUE; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l taint -d 'A taint that kubelet registers the Node with, KEY[=VALUE]:EFFECT; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l mode -d 'Where the runtime of a migration image is to read confs [default: private]' -r -f -a "shared\t'In its usual directory, our conf first'
private\t'In a directory of ours'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l from-policy -d 'A whole policy, instead of one made of the options above' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l from-node -d 'A whole node.json, instead of one made of the options above' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l bare -d 'Without the label and the taint that a migration to this CNI usually has'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand bake" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l allow -d 'Something that may stay: an absolute path, with `*` for what is between two slashes; may be given more than once' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l allow-file -d 'The same from a file, one path a line, `#` begins a comment; may be given more than once' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l check -d 'Only look; exit status 3 when anything would be removed or refused'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand seal" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l image -d 'The machine is an image that is being built: nothing of a boot is expected'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand selftest" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l turn -d 'Which life of the network\'s agent is meant; the result repeats it' -r
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l bin-dir -d 'Where plugins are; may be given more than once [default: those of /opt/cni/bin and /usr/lib/cni that exist]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand prove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l bin-dir -d 'Where the runtime looks for plugins; may be given more than once' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l conf-dir -d 'The runtime\'s conf directory' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l state-dir -d 'Where records and inventory lie [default: what the installed conf names, else /var/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l run-dir -d 'Where locks and markers lie [default: what the installed conf names, else /run/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l policy -d 'The policy [default: what the installed conf names, else the first policy.json in /etc/crossfade, /run/crossfade, /usr/lib/crossfade]' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l output -d 'How to print' -r -f -a "human\t'Lines for people'
json\t'One JSON document with a version'"
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l root -d 'A tree that is looked at instead of this node: an image that is being built (boot, render, gate, explain, bake, seal, selftest)' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l host -d 'The node\'s root directory, where a pod has it mounted: the command works in there as if it were run on the node' -r -F
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand place" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "install" -d 'Install Crossfade on a node with running pods, without restarting them'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "uninstall" -d 'Take the conf away again, once nothing is attached through it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "policy" -d 'The policy: who gives a pod its network'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "attachments" -d 'List what is attached'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "sweep" -d 'Close what the runtime no longer lists, one pass'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "status" -d 'Phase, pods per network, what is owed, and what watch sees'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "boot" -d 'Prepare this node before its runtime and kubelet start (crossfade-boot.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "gate" -d 'Hold kubelet back until this node can come up right (kubelet\'s ExecStartPre)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "render" -d 'Write what kubelet, or the runtime, is told on its command line (their ExecStartPre)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "watch" -d 'Guard the conf, follow readiness and report (crossfade-watch.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "retract" -d 'Take back what this node said on its Node, once Crossfade takes no part here (crossfade-retract.service)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "explain" -d 'Say what boot and render would do here, and why'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "bake" -d 'Write an image\'s policy and node settings (image builds)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "seal" -d 'Remove or refuse what must not be in a golden image (the last step of an image build)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "selftest" -d 'Say whether this machine, or an image of one, will come up right'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "prove" -d 'Attach a scratch namespace to a network, check it and detach it (watch starts it as a unit of its own)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "place" -d 'Put the package\'s plugin where the runtime looks for it (watch starts it as a unit of its own)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and not __fish_seen_subcommand_from install uninstall policy attachments sweep status boot gate render watch retract explain bake seal selftest prove place help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'Print it'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Say whether it is valid'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "set" -d 'Flip it to a phase'
complete -c crossfade-bootstrap -n "__fish_crossfade_bootstrap_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "explain" -d 'Say which network a pod would get, and why'
