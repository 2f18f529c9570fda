#!/bin/bash
# Makes a node of kubeadm's out of Debian or Ubuntu: containerd, kubelet and kubeadm, held at one version.
#
#   KUBERNETES_REPOSITORY   a flat repository of Debian packages; its key is REPOSITORY/Release.key
#   KUBERNETES_KEY_SHA256   pins that key, where it is set
#   KUBERNETES_VERSION      of kubelet and kubeadm, as apt takes it: 1.33.*
set -euo pipefail

KEY=/etc/apt/keyrings/kubernetes.asc

if [[ $(id -u) != 0 ]]; then
    exec sudo -n env KUBERNETES_REPOSITORY="$KUBERNETES_REPOSITORY" KUBERNETES_KEY_SHA256="${KUBERNETES_KEY_SHA256:-}" \
        KUBERNETES_VERSION="$KUBERNETES_VERSION" bash "$0"
fi

install() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install --quiet --yes -o Dpkg::Use-Pty=0 --no-install-recommends "$@"
}

packages() {
    apt-get -o DPkg::Lock::Timeout=600 --quiet update
    install ca-certificates curl
    mkdir -p "${KEY%/*}"
    curl --fail --silent --show-error --location --output "$KEY" "${KUBERNETES_REPOSITORY%/}/Release.key"
    if [[ ${KUBERNETES_KEY_SHA256:-} && $(sha256sum <"$KEY") != "$KUBERNETES_KEY_SHA256  -" ]]; then
        echo "$KUBERNETES_REPOSITORY has another key than the one that is pinned" >&2
        exit 1
    fi
    echo "deb [signed-by=$KEY] ${KUBERNETES_REPOSITORY%/}/ /" >/etc/apt/sources.list.d/kubernetes.list
    apt-get -o DPkg::Lock::Timeout=600 --quiet update
    # A version of before may be held.
    install --allow-change-held-packages containerd "kubelet=$KUBERNETES_VERSION" "kubeadm=$KUBERNETES_VERSION"
    apt-mark hold kubelet kubeadm
}

# What kubeadm's preflight asks of a machine.
kernel() {
    printf '%s\n' overlay br_netfilter >/etc/modules-load.d/kubernetes.conf
    echo 'net.ipv4.ip_forward = 1' >/etc/sysctl.d/90-kubernetes.conf
}

# The cgroup driver of kubelet, and the directory that CNIs install their programs into; Debian's containerd looks elsewhere.
runtime() {
    mkdir -p /etc/containerd /opt/cni/bin
    containerd config default >/etc/containerd/config.toml
    sed -i -e 's/SystemdCgroup = false/SystemdCgroup = true/' -e 's|^\( *\)bin_dir = .*|\1bin_dir = "/opt/cni/bin"|' /etc/containerd/config.toml
    grep -q 'SystemdCgroup = true' /etc/containerd/config.toml
    [[ ! -d /run/systemd/system ]] || systemctl restart containerd
}

packages
kernel
runtime
systemctl enable containerd kubelet
