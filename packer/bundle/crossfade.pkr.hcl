# What an image build has to know of the migration, checked before any machine is started. Put this file beside your
# template's, the rest of the bundle into a directory `crossfade` there, and the blocks of provisioners.hcl into your build
# block. Valid for Packer from 1.6.6 on.

variable "crossfade_image" {
  description = "What the image is for: migration (both networks) or final (the new one alone)."
  type        = string
  validation {
    condition     = contains(["migration", "final"], var.crossfade_image)
    error_message = "The value of crossfade_image must be migration or final."
  }
}

variable "crossfade_old_cni" {
  description = "The CNI to leave, as crossfade-bootstrap image bake knows it: calico, flannel, aws-vpc, .. or generic."
  type        = string
  default     = ""
  validation {
    condition     = regex_replace(var.crossfade_old_cni, "^[a-z0-9-]*$", "") == ""
    error_message = "The value of crossfade_old_cni must be the name of a CNI in lower case, for instance calico."
  }
}

variable "crossfade_new_cni" {
  description = "The CNI to go to, as crossfade-bootstrap image bake knows it: cilium, antrea, calico, .. or generic."
  type        = string
  default     = ""
  validation {
    condition     = regex_replace(var.crossfade_new_cni, "^[a-z0-9-]*$", "") == ""
    error_message = "The value of crossfade_new_cni must be the name of a CNI in lower case, for instance cilium."
  }
}

variable "crossfade_old_conf" {
  description = "The old CNI's conf on a node, alternatives in their order; needed for generic alone."
  type        = list(string)
  default     = []
  validation {
    condition     = length([for f in var.crossfade_old_conf : f if regex_replace(f, "^/[^,]+$", "") != ""]) == 0
    error_message = "Each of crossfade_old_conf must be an absolute path without a comma."
  }
}

variable "crossfade_new_conf" {
  description = "The new CNI's conf on a node, alternatives in their order; needed for generic alone."
  type        = list(string)
  default     = []
  validation {
    condition     = length([for f in var.crossfade_new_conf : f if regex_replace(f, "^/[^,]+$", "") != ""]) == 0
    error_message = "Each of crossfade_new_conf must be an absolute path without a comma."
  }
}

variable "crossfade_old_cidrs" {
  description = "Addresses of the old network's pods."
  type        = list(string)
  default     = []
  validation {
    condition     = length([for c in var.crossfade_old_cidrs : c if can(cidrhost(c, 0)) == false]) == 0
    error_message = "Each of crossfade_old_cidrs must be ADDRESS/LENGTH, for instance 192.168.0.0/16."
  }
}

variable "crossfade_new_cidrs" {
  description = "Addresses of the new network's pods."
  type        = list(string)
  default     = []
  validation {
    condition     = length([for c in var.crossfade_new_cidrs : c if can(cidrhost(c, 0)) == false]) == 0
    error_message = "Each of crossfade_new_cidrs must be ADDRESS/LENGTH, for instance 10.20.0.0/16."
  }
}

variable "crossfade_phase" {
  description = "Which network a node of a migration image gives its pods: old, both-old, both-new or new; empty for new."
  type        = string
  default     = ""
  validation {
    condition     = contains(["", "old", "both-old", "both-new", "new"], var.crossfade_phase)
    error_message = "The value of crossfade_phase must be old, both-old, both-new or new."
  }
}

variable "crossfade_conf_dir" {
  description = "Where the runtime of a migration image reads confs: private (a directory of ours) or shared (its usual one); empty for private."
  type        = string
  default     = ""
  validation {
    condition     = contains(["", "private", "shared"], var.crossfade_conf_dir)
    error_message = "The value of crossfade_conf_dir must be private or shared."
  }
}

variable "crossfade_labels" {
  description = "Labels that kubelet registers the Node with; one of a default's key takes its place."
  type        = map(string)
  default     = {}
  validation {
    condition = length([
      for k, v in var.crossfade_labels : k
      if regex_replace(k, "^([a-z0-9][a-z0-9.-]*/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", "") != "" || regex_replace(v, "^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$", "") != ""
    ]) == 0
    error_message = "Each of crossfade_labels must be a label's key and value as Kubernetes has them, for instance { \"example.org/pool\" = \"a\" }."
  }
}

variable "crossfade_taints" {
  description = "Taints that kubelet registers the Node with, KEY[=VALUE]:EFFECT; one of a default's key takes its place."
  type        = list(string)
  default     = []
  validation {
    condition     = length([for t in var.crossfade_taints : t if regex_replace(t, "^[A-Za-z0-9./_-]+(=[A-Za-z0-9._-]*)?:(NoSchedule|PreferNoSchedule|NoExecute)$", "") != ""]) == 0
    error_message = "Each of crossfade_taints must be KEY[=VALUE]:EFFECT with NoSchedule, PreferNoSchedule or NoExecute as its effect."
  }
}

variable "crossfade_bare" {
  description = "Without the label and the taint that a migration to this CNI usually has."
  type        = bool
  default     = false
}

variable "crossfade_all_networks" {
  description = "CrossfadeReady waits for both networks of the policy, as a bridge wants it: both agents forward on every node."
  type        = bool
  default     = false
}

variable "crossfade_policy" {
  description = "A whole policy.json on this machine, in place of one that is made of the variables above."
  type        = string
  default     = ""
}

variable "crossfade_node" {
  description = "A whole node.json on this machine, in place of one that is made of the variables above."
  type        = string
  default     = ""
}

variable "crossfade_packages" {
  description = "A directory on this machine with the packages of one release and their SHA256SUMS."
  type        = string
}

variable "crossfade_sha256" {
  description = "The sha256 of SHA256SUMS: pins the release."
  type        = string
  default     = ""
  validation {
    condition     = regex_replace(var.crossfade_sha256, "^([0-9a-f]{64})?$", "") == ""
    error_message = "The value of crossfade_sha256 must be 64 hexadecimal digits in lower case, as sha256sum SHA256SUMS prints them."
  }
}

variable "crossfade_format" {
  description = "Which package is installed: deb, rpm or tarball; empty for what the machine's distribution takes."
  type        = string
  default     = ""
  validation {
    condition     = contains(["", "deb", "rpm", "tarball"], var.crossfade_format)
    error_message = "The value of crossfade_format must be deb, rpm or tarball, or be left empty."
  }
}

variable "crossfade_seal_allow" {
  description = "What seal would remove or refuse, and shall stay: absolute paths, with * for what is between two slashes."
  type        = list(string)
  default     = []
  validation {
    condition     = length([for f in var.crossfade_seal_allow : f if regex_replace(f, "^/[^,]+$", "") != ""]) == 0
    error_message = "Each of crossfade_seal_allow must be an absolute path without a comma."
  }
}

variable "crossfade_artifacts" {
  description = "The directory on this machine that image.json, packages.json, selftest.json and seal.json are written to."
  type        = string
  default     = "crossfade-artifacts"
}

variable "crossfade_bundle" {
  description = "The directory on this machine with the bundle's scripts; empty for `crossfade` beside the template."
  type        = string
  default     = ""
}

variable "crossfade_directory" {
  description = "A directory on the machine that is built, made and removed by the provisioners; programs must be allowed to run there."
  type        = string
  default     = "/tmp/crossfade"
  validation {
    condition     = regex_replace(var.crossfade_directory, "^/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$", "") == ""
    error_message = "The value of crossfade_directory must be an absolute path below another directory, in plain letters."
  }
}

locals {
  # A rule that takes more than one variable cannot be a variable's own. No other local is used in here: Packer 1.6 finds the
  # order of locals by trying, and `can` would hide that one is not there yet.
  crossfade_problems = compact([
    var.crossfade_image == "migration" && var.crossfade_policy == "" && (var.crossfade_old_cni == "" || var.crossfade_new_cni == "") ? "a migration image needs crossfade_old_cni and crossfade_new_cni, or crossfade_policy" : "",
    var.crossfade_old_cni != "" && var.crossfade_old_cni == var.crossfade_new_cni && var.crossfade_old_cni != "generic" ? "crossfade_old_cni and crossfade_new_cni are both ${var.crossfade_old_cni}" : "",
    var.crossfade_old_cni == "generic" && length(var.crossfade_old_conf) == 0 ? "crossfade_old_cni is generic: crossfade_old_conf must name its conf" : "",
    var.crossfade_new_cni == "generic" && length(var.crossfade_new_conf) == 0 ? "crossfade_new_cni is generic: crossfade_new_conf must name its conf" : "",
    var.crossfade_image == "final" && (var.crossfade_old_cni != "" || var.crossfade_policy != "") ? "a final image has no old network: leave crossfade_old_cni and crossfade_policy empty" : "",
    var.crossfade_image == "final" && (var.crossfade_phase != "" || var.crossfade_conf_dir != "") ? "a final image has no phase and no conf directory of ours: leave crossfade_phase and crossfade_conf_dir out" : "",
    var.crossfade_image == "final" && var.crossfade_all_networks ? "a final image has one network: leave crossfade_all_networks out" : "",
    var.crossfade_image == "final" && length(concat(var.crossfade_old_conf, var.crossfade_new_conf, var.crossfade_old_cidrs, var.crossfade_new_cidrs)) != 0 ? "a final image has no policy: leave crossfade_old_conf, crossfade_new_conf, crossfade_old_cidrs and crossfade_new_cidrs out" : "",
    var.crossfade_policy != "" && (var.crossfade_old_cni != "" || var.crossfade_new_cni != "" || var.crossfade_phase != "") ? "crossfade_policy is a whole policy: leave crossfade_old_cni, crossfade_new_cni and crossfade_phase out" : "",
    var.crossfade_node != "" && (length(var.crossfade_labels) != 0 || length(var.crossfade_taints) != 0 || var.crossfade_bare || var.crossfade_all_networks || var.crossfade_conf_dir != "") ? "crossfade_node is a whole node.json: leave crossfade_labels, crossfade_taints, crossfade_bare, crossfade_all_networks and crossfade_conf_dir out" : "",
    var.crossfade_policy != "" && can(jsondecode(file(var.crossfade_policy))) == false ? "crossfade_policy is ${var.crossfade_policy}, which cannot be read as JSON" : "",
    var.crossfade_node != "" && can(jsondecode(file(var.crossfade_node))) == false ? "crossfade_node is ${var.crossfade_node}, which cannot be read as JSON" : "",
    var.crossfade_policy != "" && basename(var.crossfade_policy) == basename(var.crossfade_node) ? "crossfade_policy and crossfade_node need names that differ" : "",
    can(file("${var.crossfade_packages}/SHA256SUMS")) ? "" : "crossfade_packages is ${var.crossfade_packages}, where no SHA256SUMS is",
    var.crossfade_sha256 != "" && var.crossfade_sha256 != try(sha256(file("${var.crossfade_packages}/SHA256SUMS")), "") ? "${var.crossfade_packages}/SHA256SUMS is not the one that crossfade_sha256 pins" : "",
  ])

  # The sha256 of SHA256SUMS: which release this is, for tags and manifests.
  crossfade_sums = try(sha256(file("${var.crossfade_packages}/SHA256SUMS")), "")

  crossfade_root    = var.crossfade_bundle == "" ? "${path.root}/crossfade" : var.crossfade_bundle
  crossfade_install = "${local.crossfade_root}/scripts/install.sh"
  crossfade_finish  = "${local.crossfade_root}/scripts/finish.sh"
  # As a file for bash: it needs no right to be executed, so /tmp may be mounted noexec.
  crossfade_execute = "{{ .Vars }} bash {{ .Path }}"

  crossfade_uploads = concat(
    [for f in fileset(var.crossfade_packages, "{SHA256SUMS,crossfade_*.deb,crossfade-*.rpm,crossfade-*-linux-*.tar.gz}") : "${var.crossfade_packages}/${f}"],
    compact([var.crossfade_policy, var.crossfade_node]),
  )
  # What the machine says of itself, once it is here: for post-processors.
  crossfade_files = [for f in ["image", "packages", "selftest", "seal"] : "${var.crossfade_artifacts}/${f}.json"]

  crossfade_environment = [
    # There is no way to say no but a function that fails with its argument in the message.
    length(local.crossfade_problems) == 0 ? "CROSSFADE_IMAGE=${var.crossfade_image}" : file(join("; ", local.crossfade_problems)),
    "CROSSFADE_ALL_NETWORKS=${var.crossfade_all_networks}",
    "CROSSFADE_BARE=${var.crossfade_bare}",
    "CROSSFADE_CONF_DIR=${var.crossfade_conf_dir}",
    "CROSSFADE_DIRECTORY=${var.crossfade_directory}",
    "CROSSFADE_FORMAT=${var.crossfade_format}",
    "CROSSFADE_LABELS=${join(",", [for k, v in var.crossfade_labels : "${k}=${v}"])}",
    "CROSSFADE_NEW_CIDRS=${join(",", var.crossfade_new_cidrs)}",
    "CROSSFADE_NEW_CNI=${var.crossfade_new_cni}",
    "CROSSFADE_NEW_CONF=${join(",", var.crossfade_new_conf)}",
    "CROSSFADE_NODE=${var.crossfade_node == "" ? "" : basename(var.crossfade_node)}",
    "CROSSFADE_OLD_CIDRS=${join(",", var.crossfade_old_cidrs)}",
    "CROSSFADE_OLD_CNI=${var.crossfade_old_cni}",
    "CROSSFADE_OLD_CONF=${join(",", var.crossfade_old_conf)}",
    "CROSSFADE_PHASE=${var.crossfade_phase}",
    "CROSSFADE_POLICY=${var.crossfade_policy == "" ? "" : basename(var.crossfade_policy)}",
    "CROSSFADE_SEAL_ALLOW=${join(",", var.crossfade_seal_allow)}",
    "CROSSFADE_SHA256=${local.crossfade_sums}",
    "CROSSFADE_TAINTS=${join(",", var.crossfade_taints)}",
  ]
}
