# A node of kubeadm's that takes its pods from Flannel to Antrea.
source_url            = "https://images.example.org/debian-12-genericcloud-amd64.qcow2"
source_checksum       = "sha512:00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
kubernetes_version    = "1.33.*"
kubernetes_repository = "https://packages.example.org/kubernetes/1.33/deb/"

crossfade_image    = "migration"
crossfade_old_cni  = "flannel"
crossfade_new_cni  = "antrea"
crossfade_packages = "release"
