# A node of EKS that takes its pods from the VPC CNI to Cilium.
region             = "eu-central-1"
kubernetes_version = "1.33"

crossfade_image    = "migration"
crossfade_old_cni  = "aws-vpc"
crossfade_new_cni  = "cilium"
crossfade_packages = "release"
