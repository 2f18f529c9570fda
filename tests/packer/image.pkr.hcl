# The image of the tests: what a template of one's own looks like that takes the bundle in, with a builder that needs no cloud.
# The machine is there already, and is reached as any other: by ssh.

variable "lab_key" {
  type        = string
  description = "The private key that the machine lets in as root."
}

variable "lab_parts" {
  type        = string
  description = "The directory of what a node has beside Crossfade: root/ and pause.tar."
}

source "null" "debian" {
  ssh_host             = "127.0.0.1"
  ssh_username         = "root"
  ssh_private_key_file = var.lab_key
}

build {
  sources = ["source.null.debian"]

  # The node without Crossfade: kubelet's unit and program, the runtime's settings, plugins, the sandbox image.
  provisioner "shell" {
    inline = ["mkdir /var/tmp/parts"]
  }
  provisioner "file" {
    source      = "${var.lab_parts}/"
    destination = "/var/tmp/parts"
  }
  provisioner "shell" {
    inline = [
      "chown -R root:root /var/tmp/parts",
      "cp -a /var/tmp/parts/root/. /",
      "systemctl daemon-reload",
      "systemctl restart containerd",
      "ctr --namespace k8s.io images import /var/tmp/parts/pause.tar",
      "systemctl stop containerd",
      "systemctl enable kubelet",
      "rm -r /var/tmp/parts",
    ]
  }

  # The bundle, as packer/bundle/provisioners.hcl has it.
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

  # What a template does of its own before the end: its key was let in for the build alone.
  provisioner "shell" {
    inline = ["rm -r /root/.ssh"]
  }

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

  post-processors {
    post-processor "artifice" {
      files = local.crossfade_files
    }
    post-processor "checksum" {
      checksum_types = ["sha256"]
      output         = "${var.crossfade_artifacts}/artifacts.sha256"
    }
    post-processor "manifest" {
      output     = "${var.crossfade_artifacts}/manifest.json"
      strip_path = true
      custom_data = {
        crossfade_image = var.crossfade_image
      }
    }
  }
}
