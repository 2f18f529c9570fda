# For your build block. Not a file that Packer reads by itself: a build's provisioners run in the order they are written in.

# After kubelet and the runtime are installed, before your template's own clean-up.
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

# Last of all, after your template's own clean-up.
provisioner "shell" {
  environment_vars = local.crossfade_environment
  execute_command  = local.crossfade_execute
  script           = local.crossfade_finish
}
# File by file: Packer 1.6 writes all of a list to the first one's name.
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
