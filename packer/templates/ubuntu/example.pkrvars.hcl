# A node of kubeadm's that takes its pods from Calico to Cilium.
region                = "eu-central-1"
kubernetes_version    = "1.33.*"
kubernetes_repository = "https://packages.example.org/kubernetes/1.33/deb/"

crossfade_image     = "migration"
crossfade_old_cni   = "calico"
crossfade_new_cni   = "cilium"
crossfade_old_cidrs = ["192.168.0.0/16"]
crossfade_new_cidrs = ["10.20.0.0/16"]
crossfade_packages  = "release"
