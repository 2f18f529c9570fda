# An image for nodes of EKS, made of the EKS-optimized Amazon Linux 2023.

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "amazon-ebs" "node" {
  region        = var.region
  ami_regions   = var.regions
  ami_name      = "${var.name}-${var.kubernetes_version}-${var.crossfade_image}-${local.stamp}"
  instance_type = var.instance_type != "" ? var.instance_type : var.architecture == "arm64" ? "m6g.large" : "m6i.large"
  subnet_id     = var.subnet_id

  source_ami_filter {
    filters = {
      name                = "amazon-eks-node-al2023-${var.architecture}-standard-${var.kubernetes_version}-*"
      root-device-type    = "ebs"
      state               = "available"
      virtualization-type = "hvm"
    }
    owners      = var.source_ami_owners
    most_recent = true
  }

  ssh_username = "ec2-user"
  # Amazon Linux 2023 itself asks for version 2 of the metadata service; Packer 1.6 has no word for it.
  encrypt_boot = true

  tags = {
    Name                = "${var.name}-${var.kubernetes_version}-${var.crossfade_image}"
    "crossfade/profile" = var.crossfade_image
    "crossfade/release" = local.crossfade_sums
    SourceAmi           = "{{ .SourceAMI }}"
    SourceAmiName       = "{{ .SourceAMIName }}"
  }
}

build {
  sources = ["source.amazon-ebs.node"]

  # A first boot's own work goes first; 2 is done, with complaints of cloud-init about itself.
  provisioner "shell" {
    inline = [
      "sudo cloud-init status --wait || [ $? = 2 ]",
      "if systemctl --quiet is-active kubelet; then echo 'kubelet runs: this machine has joined a cluster' >&2; exit 1; fi",
    ]
  }

  provisioner "shell" {
    inline = ["rm -rf ${var.crossfade_directory}", "mkdir -m 0700 ${var.crossfade_directory}"]
  }
  provisioner "file" {
    sources     = local.crossfade_uploads
    destination = "${var.crossfade_directory}/"
  }
  provisioner "shell" {
    environment_vars = local.crossfade_environment
    execute_command  = local.crossfade_execute
    script           = local.crossfade_install
  }

  # Your own provisioners.

  provisioner "shell" {
    environment_vars = local.crossfade_environment
    execute_command  = local.crossfade_execute
    script           = local.crossfade_finish
  }
  provisioner "file" {
    direction   = "download"
    source      = "${var.crossfade_directory}/artifacts/image.json"
    destination = "${var.crossfade_artifacts}/image.json"
  }
  provisioner "file" {
    direction   = "download"
    source      = "${var.crossfade_directory}/artifacts/packages.json"
    destination = "${var.crossfade_artifacts}/packages.json"
  }
  provisioner "file" {
    direction   = "download"
    source      = "${var.crossfade_directory}/artifacts/selftest.json"
    destination = "${var.crossfade_artifacts}/selftest.json"
  }
  provisioner "file" {
    direction   = "download"
    source      = "${var.crossfade_directory}/artifacts/seal.json"
    destination = "${var.crossfade_artifacts}/seal.json"
  }
  provisioner "shell" {
    inline = ["rm -rf ${var.crossfade_directory}"]
  }
  # Packer's own key; the connection is there already.
  provisioner "shell" {
    inline = ["rm -f ~/.ssh/authorized_keys"]
  }

  post-processor "manifest" {
    output     = "${var.crossfade_artifacts}/manifest.json"
    strip_path = true
    custom_data = {
      crossfade_image   = var.crossfade_image
      crossfade_release = local.crossfade_sums
      old_cni           = var.crossfade_old_cni
      new_cni           = var.crossfade_new_cni
    }
  }
  # One chain, so that each sees what the one before it made.
  post-processors {
    post-processor "artifice" {
      files               = local.crossfade_files
      keep_input_artifact = true
    }
    post-processor "checksum" {
      checksum_types = ["sha256"]
      output         = "${var.crossfade_artifacts}/artifacts.sha256"
    }
    post-processor "manifest" {
      output     = "${var.crossfade_artifacts}/artifacts.json"
      strip_path = true
      strip_time = true
    }
  }
}
