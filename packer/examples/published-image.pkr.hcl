# The shortest way into an image: start from a published one, upload one directory, run two scripts.
#
# The directory crossfade/ beside this file holds SHA256SUMS, the packages of one release, and the scripts of bundle/scripts.

variable "old_cni" {
  default = "aws-vpc"
}

variable "new_cni" {
  default = "cilium"
}

# The sha256 of SHA256SUMS.
variable "sha256" {
  default = ""
}

source "amazon-ebs" "node" {
  region        = "eu-central-1"
  ami_name      = "crossfade-migration-${formatdate("YYYYMMDD-hhmmss", timestamp())}"
  instance_type = "m6i.large"
  ssh_username  = "ec2-user"

  source_ami_filter {
    filters     = { name = "amazon-eks-node-al2023-x86_64-standard-1.33-*" }
    owners      = ["amazon"]
    most_recent = true
  }
}

build {
  sources = ["source.amazon-ebs.node"]

  provisioner "file" {
    source      = "crossfade"
    destination = "/tmp/"
  }
  provisioner "shell" {
    script = "crossfade/install.sh"
    environment_vars = [
      "CROSSFADE_IMAGE=migration",
      "CROSSFADE_OLD_CNI=${var.old_cni}",
      "CROSSFADE_NEW_CNI=${var.new_cni}",
      "CROSSFADE_SHA256=${var.sha256}",
      # Pods wait for CrossfadeReady, and CrossfadeReady for the agents of both networks, which forward between them.
      "CROSSFADE_TAINTS=readiness.k8s.io/crossfade:NoSchedule",
      "CROSSFADE_ALL_NETWORKS=true",
    ]
  }

  # Your own provisioners.

  provisioner "shell" {
    script           = "crossfade/finish.sh"
    environment_vars = ["CROSSFADE_IMAGE=migration"]
  }
}
