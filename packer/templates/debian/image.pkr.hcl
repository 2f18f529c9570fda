# A disk image for nodes of kubeadm, made of Debian's cloud image. `./seed` makes the key that Packer logs in with.

source "qemu" "node" {
  iso_url      = var.source_url
  iso_checksum = var.source_checksum
  disk_image   = true
  disk_size    = var.disk_size
  format       = "qcow2"
  accelerator  = var.accelerator
  qemu_binary  = var.architecture == "arm64" ? "qemu-system-aarch64" : "qemu-system-x86_64"
  machine_type = var.architecture == "arm64" ? "virt" : "pc"
  memory       = 2048
  cpus         = 2
  headless     = true

  # cloud-init takes its user data from Packer's own server, by the SMBIOS serial number: no second disk, no tool to make one.
  http_directory = "${var.seed}/http"
  qemuargs = concat(
    [["-smbios", "type=1,serial=ds=nocloud-net;s=http://{{ .HTTPIP }}:{{ .HTTPPort }}/"]],
    # QEMU's default processor for this machine has 32 bits; its network card needs no option ROM.
    var.architecture == "arm64" ? [["-cpu", var.accelerator == "kvm" ? "host" : "max"], ["-bios", var.firmware]] : [],
  )

  ssh_username         = "debian"
  ssh_private_key_file = "${var.seed}/key"
  ssh_timeout          = "10m"
  shutdown_command     = "sudo systemctl poweroff"

  output_directory = var.output
  vm_name          = "${var.name}-${var.crossfade_image}.qcow2"
}

build {
  sources = ["source.qemu.node"]

  # A first boot's own work goes first; 2 is done, with complaints of cloud-init about itself.
  provisioner "shell" {
    inline = ["sudo cloud-init status --wait || [ $? = 2 ]"]
  }
  provisioner "shell" {
    environment_vars = [
      "KUBERNETES_REPOSITORY=${var.kubernetes_repository}",
      "KUBERNETES_KEY_SHA256=${var.kubernetes_key_sha256}",
      "KUBERNETES_VERSION=${var.kubernetes_version}",
    ]
    execute_command = local.crossfade_execute
    script          = "${path.root}/../scripts/kubernetes.sh"
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

  # One chain, so that each sees what the one before it made.
  post-processors {
    post-processor "checksum" {
      checksum_types      = ["sha256"]
      output              = "${var.crossfade_artifacts}/disk.sha256"
      keep_input_artifact = true
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
  }
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
