#!/bin/bash
# The last step of an image build: what is missing, what must not be in a golden image, and a record of both.
#
# It writes image.json, packages.json, selftest.json and seal.json into CROSSFADE_DIRECTORY/artifacts, for the user who
# owns CROSSFADE_DIRECTORY. Nothing may be run on the machine after it.
set -euo pipefail

SETTINGS=/usr/lib/crossfade

directory=${CROSSFADE_DIRECTORY:-/tmp/crossfade}
results=$directory/artifacts
program=/usr/bin/crossfade-bootstrap

fail() {
    printf 'crossfade: %s\n' "$@" >&2
    exit 1
}

become_root() {
    [[ $(id -u) != 0 ]] || return 0
    local name settings=()
    for name in $(compgen -e CROSSFADE_); do
        settings+=("$name=${!name}")
    done
    command -v sudo >/dev/null || fail 'this needs root, and there is no sudo'
    exec sudo -n env "${settings[@]}" bash "$0"
}

# What would write again while seal removes: kubelet, if another script has started it since, has our units prepare the machine.
stop_services() {
    [[ -d /run/systemd/system ]] || return 0
    local unit
    for unit in kubelet.service crossfade-watch.service crossfade-boot.service; do
        [[ $(systemctl show --property=LoadState "$unit") != LoadState=loaded ]] || systemctl stop "$unit"
    done
}

# All packages, one JSON object a line within a list. Names and versions hold no character that JSON would quote.
packages() {
    if [[ -e /var/lib/dpkg/status ]]; then
        # shellcheck disable=SC2016 # dpkg-query's own variables
        dpkg-query --show --showformat='{"name":"${Package}","version":"${Version}","architecture":"${Architecture}"}\n'
    elif command -v rpm >/dev/null; then
        rpm --query --all --queryformat '{"name":"%{NAME}","version":"%{VERSION}-%{RELEASE}","architecture":"%{ARCH}"}\n'
    fi | LC_ALL=C sort | awk 'BEGIN { print "[" } NR > 1 { print line "," } { line = "  " $0 } END { if (NR) print line; print "]" }'
}

# sha256 FILE: its digest as JSON, null where there is no such file
sha256() {
    if [[ -f $1 ]]; then
        printf '"%s"' "$(sha256sum <"$1" | cut -d' ' -f1)"
    else
        printf null
    fi
}

# The label by which the cluster tells this image's nodes from others; null in an image whose nodes bear none.
identity() {
    local value=''
    [[ ! -f $SETTINGS/node.json ]] ||
        value=$(tr -d '\n' <"$SETTINGS/node.json" | sed -n 's|.*"crossfade/image": *"\([A-Za-z0-9._-]*\)".*|\1|p')
    if [[ $value ]]; then
        printf '"%s"' "$value"
    else
        printf null
    fi
}

# What the image is: the release that is in it, and the settings by their digests.
image() {
    local release=null
    [[ ! -f $SETTINGS/release.json ]] || release=$(cat "$SETTINGS/release.json")
    (
        # shellcheck disable=SC1091 # the machine's own
        source /etc/os-release
        printf '{\n  "version": 1,\n  "image": "%s",\n  "os": "%s %s",\n  "architecture": "%s",\n' \
            "${CROSSFADE_IMAGE:-}" "${ID:-linux}" "${VERSION_ID:-}" "$(uname -m)"
    )
    printf '  "identity": %s,\n  "release": %s,\n  "policySha256": %s,\n  "nodeSha256": %s\n}\n' \
        "$(identity)" "$release" "$(sha256 "$SETTINGS/policy.json")" "$(sha256 "$SETTINGS/node.json")"
}

# selftest and seal say it twice: for the file, and where the answer is no, for the person who reads Packer's output.
selftest() {
    if [[ $program == "$directory"/* ]]; then
        echo '{"version":1,"skipped":"the package is not installed"}' >"$results/selftest.json"
        return
    fi
    "$program" image selftest --image --output json >"$results/selftest.json" || {
        "$program" image selftest --image || true
        fail 'the selftest found what is above; mend it and build again'
    }
}

seal() {
    local path paths allowed=()
    IFS=, read -r -a paths <<<"${CROSSFADE_SEAL_ALLOW:-}"
    for path in "${paths[@]}"; do
        [[ -z $path ]] || allowed+=(--allow "$path")
    done
    "$program" image seal --check "${allowed[@]}" || true
    "$program" image seal --output json "${allowed[@]}" >"$results/seal.json" ||
        fail 'seal refuses what is above; remove it before, or allow it with CROSSFADE_SEAL_ALLOW'
    "$program" image seal --check "${allowed[@]}" >/dev/null || {
        "$program" image seal --check "${allowed[@]}" || true
        fail 'something came back while it was being removed: stop what writes it'
    }
}

main() {
    become_root
    [[ -d $directory ]] || fail "$directory is missing: install.sh and finish.sh share it, so keep it until finish.sh has run"
    [[ -x $program ]] || program=$directory/program$program
    [[ -x $program ]] || fail "neither /usr/bin/crossfade-bootstrap nor $program is there: run install.sh before"
    rm -rf "$results"
    mkdir "$results"
    trap 'chown -R --reference="$directory" "$directory"' EXIT

    image >"$results/image.json"
    packages >"$results/packages.json"
    selftest
    stop_services
    seal
    sync
    echo 'crossfade: the image is sealed; nothing may be run on it any more'
}

main
