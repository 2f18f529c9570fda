#!/bin/bash
# Installs Crossfade into the machine that an image is made of, and writes the image's policy and node settings.
#
# It reads CROSSFADE_* from the environment (packer/README.md has the list), and the packages with their SHA256SUMS from
# CROSSFADE_DIRECTORY. It needs no network, runs as root or through sudo, and may be run again.
set -euo pipefail

KNOWN='ALL_NETWORKS BARE CONF_DIR DIRECTORY FORMAT IMAGE LABELS NEW_CIDRS NEW_CNI NEW_CONF NODE OLD_CIDRS OLD_CNI OLD_CONF PHASE POLICY SEAL_ALLOW SHA256 TAINTS'
PROGRAM=/usr/bin/crossfade-bootstrap
PLUGIN=/usr/libexec/crossfade/crossfade
SETTINGS=/usr/lib/crossfade

fail() {
    printf 'crossfade: %s\n' "$@" >&2
    exit 1
}

say() {
    printf 'crossfade: %s\n' "$*"
}

# Packer logs in as a user who may use sudo, or as root.
become_root() {
    [[ $(id -u) != 0 ]] || return 0
    local name settings=()
    for name in $(compgen -e CROSSFADE_); do
        settings+=("$name=${!name}")
    done
    command -v sudo >/dev/null || fail 'this needs root, and there is no sudo'
    exec sudo -n env "${settings[@]}" bash "$0"
}

# A setting with a typing error would be a default that the author of the image did not choose.
check_names() {
    local name
    for name in $(compgen -e CROSSFADE_); do
        [[ " $KNOWN " == *" ${name#CROSSFADE_} "* ]] || fail "$name is no setting; there are: CROSSFADE_{${KNOWN// /,}}"
    done
}

# setting NAME: its value, empty where it is not set
setting() {
    local name=CROSSFADE_$1
    printf '%s' "${!name:-}"
}

directory=$(setting DIRECTORY)
directory=${directory:-/tmp/crossfade}

# os NAME: a word of os-release, empty where it is absent
os() {
    (
        # shellcheck disable=SC1091 # the machine's own
        source /etc/os-release
        printf '%s' "${!1:-}"
    )
}

format() {
    local wanted
    wanted=$(setting FORMAT)
    if [[ $wanted ]]; then
        printf '%s' "$wanted"
        return
    fi
    case " $(os ID) $(os ID_LIKE) " in
    *' debian '* | *' ubuntu '*) printf deb ;;
    *' amzn '* | *' rhel '* | *' fedora '* | *' centos '* | *' suse '*) printf rpm ;;
    *) printf tarball ;;
    esac
}

# pattern FORMAT: how the package for this machine is called
pattern() {
    local deb rpm
    case $(uname -m) in
    x86_64) deb=amd64 rpm=x86_64 ;;
    aarch64) deb=arm64 rpm=aarch64 ;;
    *) fail "there is no package for $(uname -m): x86_64 and aarch64 are built" ;;
    esac
    case $1 in
    deb) printf 'crossfade_*_%s.deb' "$deb" ;;
    rpm) printf 'crossfade-*-[0-9].%s.rpm' "$rpm" ;;
    tarball) printf 'crossfade-*-linux-%s.tar.gz' "$deb" ;;
    *) fail "CROSSFADE_FORMAT is $1: expected deb, rpm or tarball" ;;
    esac
}

# package FORMAT: the file for this machine; its bytes are those that SHA256SUMS names
package() {
    local glob file sums=$directory/SHA256SUMS wanted
    glob=$(pattern "$1")
    # Not an array: a pattern without a match is looked at as a name.
    # shellcheck disable=SC2086 # the pattern is meant to be one
    set -- "$directory"/$glob
    [[ $# == 1 ]] || fail "more than one package for this machine in $directory: ${*##*/}" 'upload one version'
    file=$1
    [[ -f $file ]] || fail "no $glob in $directory, and that is what $(os PRETTY_NAME) on $(uname -m) takes" \
        'put it into the packages that are uploaded, or choose another with CROSSFADE_FORMAT'
    [[ -f $sums ]] || fail "$sums is missing: upload it together with the packages"
    wanted=$(setting SHA256)
    [[ -z $wanted || $(sha256sum <"$sums") == "$wanted  -" ]] ||
        fail "SHA256SUMS is not the one that was pinned: expected $wanted, found $(sha256sum <"$sums" | cut -d' ' -f1)"
    wanted=$(awk -v name="${file##*/}" '$2 == name || $2 == "*" name { print $1 }' "$sums")
    [[ $wanted ]] || fail "SHA256SUMS does not name ${file##*/}"
    [[ $(sha256sum <"$file") == "$wanted  -" ]] ||
        fail "${file##*/} has not the bytes of SHA256SUMS: expected $wanted, found $(sha256sum <"$file" | cut -d' ' -f1)"
    printf '%s' "$file"
}

# A kubelet without settings is restarted for ever, and each of its starts would have our units prepare this machine; and packages
# treat a machine whose kubelet runs as a node of a cluster, whose kubelet they must not hold up.
stop_kubelet() {
    if [[ -d /run/systemd/system && $(systemctl show --property=LoadState kubelet.service) == LoadState=loaded ]]; then
        systemctl stop kubelet.service
    fi
}

# install_package FORMAT FILE: the distribution's own tool, and no network
install_package() {
    case $1 in
    deb)
        # apt waits for a first boot's own updates, dpkg would not. The package depends on nothing, so nothing is fetched.
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install --quiet --yes -o Dpkg::Use-Pty=0 \
            --no-install-recommends --allow-downgrades --reinstall "$2"
        ;;
    # The checksum above is the check; the packages are not signed.
    rpm) rpm --upgrade --verbose --replacepkgs --oldpackage --nosignature "$2" ;;
    tarball) run_tarball "$2" ;;
    esac
}

# run_tarball FILE [ARGUMENT]...: the tarball's own installer
run_tarball() {
    local file=$1 place=$directory/tarball
    shift
    rm -rf "$place"
    mkdir "$place"
    tar -xzf "$file" -C "$place" --strip-components=1 --no-same-owner
    bash "$place/install.sh" "$@"
    rm -rf "$place"
}

# remove COMMAND [ARGUMENT]...: takes a package away. A machine that was booted of a migration image has a runtime that reads Crossfade's
# directory until it starts again, and the package does not leave it without. No pod runs on the machine that an image is made of, and the image
# keeps nothing of /run. Records of pods stay then, and seal refuses them.
remove() {
    "$@" || {
        say 'removing the package anyway: nothing of what holds it is kept in an image'
        CROSSFADE_REMOVE_ANYWAY=1 "$@"
    }
}

# An earlier Crossfade, of the image that this one is made of, however it came there.
remove_package() {
    local plugin='' copy file
    [[ ! -f $PLUGIN ]] || plugin=$(sha256sum <"$PLUGIN")
    if [[ $(dpkg-query --show --showformat='${db:Status-Status}' crossfade 2>/dev/null) =~ ^(installed|config-files)$ ]]; then
        remove dpkg --purge crossfade
    elif command -v rpm >/dev/null && rpm --query --quiet crossfade; then
        remove rpm --erase crossfade
    elif [[ -e $SETTINGS/installed.files ]]; then
        file=$(package tarball)
        remove run_tarball "$file" uninstall
    fi
    # What bake wrote is no package's, and boot puts the plugin where the runtime looks.
    rm -f "$SETTINGS"/policy.json "$SETTINGS"/node.json
    rm -rf /etc/crossfade
    rmdir "$SETTINGS" 2>/dev/null || true
    for copy in /opt/cni/bin/crossfade /usr/lib/cni/crossfade /usr/libexec/cni/crossfade; do
        if [[ -f $copy && $plugin && $(sha256sum <"$copy") == "$plugin" ]]; then
            rm -f "$copy"
            say "removed $copy"
        fi
    done
}

# unpack FORMAT FILE: the programs, for the last look at an image that does not get them
unpack() {
    local place=$directory/program
    rm -rf "$place"
    mkdir "$place"
    case $1 in
    deb) dpkg-deb --extract "$2" "$place" ;;
    rpm) (cd "$place" && rpm2cpio "$2" | cpio --extract --make-directories --quiet) ;;
    tarball) tar -xzf "$2" -C "$place" --strip-components=1 --no-same-owner ;;
    esac
}

arguments=()

# option OPTION NAME: the setting's values, which commas separate, each with the option
option() {
    local value values
    IFS=, read -r -a values <<<"$(setting "$2")"
    for value in "${values[@]}"; do
        [[ -z $value ]] || arguments+=("$1" "$value")
    done
}

# flag OPTION NAME: the option, where the setting is true
flag() {
    case $(setting "$2") in
    true) arguments+=("$1") ;;
    '' | false) ;;
    *) fail "CROSSFADE_$2 is $(setting "$2"): expected true or false" ;;
    esac
}

# whole OPTION NAME: a file among what was uploaded
whole() {
    local name
    name=$(setting "$2")
    [[ $name ]] || return 0
    [[ -f $directory/$name ]] || fail "CROSSFADE_$2 is $name, and $directory/$name is not there: it has to be uploaded"
    arguments+=("$1" "$directory/$name")
}

bake() {
    arguments=(image bake --image "$(setting IMAGE)")
    option --old OLD_CNI
    option --new NEW_CNI
    option --old-conf OLD_CONF
    option --new-conf NEW_CONF
    option --old-cidr OLD_CIDRS
    option --new-cidr NEW_CIDRS
    option --label LABELS
    option --taint TAINTS
    option --phase PHASE
    option --mode CONF_DIR
    flag --bare BARE
    flag --require-all-networks ALL_NETWORKS
    whole --from-policy POLICY
    whole --from-node NODE
    "$PROGRAM" "${arguments[@]}"
}

main() {
    become_root
    check_names
    local image kind file
    image=$(setting IMAGE)
    case $image in
    migration | final) ;;
    '') fail 'CROSSFADE_IMAGE is not set: migration or final' ;;
    *) fail "CROSSFADE_IMAGE is $image: expected migration or final" ;;
    esac
    kind=$(format)
    file=$(package "$kind")

    if [[ $image == final && -z $(setting LABELS)$(setting TAINTS)$(setting NODE) ]]; then
        [[ -z $(setting OLD_CNI)$(setting POLICY) ]] || fail 'a final image has no old network: CROSSFADE_OLD_CNI and CROSSFADE_POLICY stay empty'
        remove_package
        unpack "$kind" "$file"
        say 'a final image without labels and taints does without Crossfade: nothing is installed'
        return
    fi
    rm -rf "$directory/program"
    stop_kubelet
    say "installing ${file##*/}"
    install_package "$kind" "$file"
    # What a boot of this machine has made of the settings of an earlier image, and would hide those that are baked.
    rm -f /run/crossfade/policy.json /run/crossfade/node.json
    bake
    # For the one who reads what Packer says; whether it is good enough is the selftest's to judge, at the end.
    "$PROGRAM" image explain || say 'explain has found what is above; the selftest at the end judges'
}

main
