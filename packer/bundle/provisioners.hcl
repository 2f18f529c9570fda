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
provisioner "file" {
  direction   = "download"
  sources     = local.crossfade_results
  destination = "${var.crossfade_artifacts}/"
}
provisioner "shell" {
  inline = ["rm -rf ${var.crossfade_directory}"]
}
