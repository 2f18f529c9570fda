variable "source_url" {
  description = "Debian's cloud image (generic or genericcloud), qcow2."
  type        = string
}

variable "source_checksum" {
  description = "Its checksum, as Packer takes it: sha512:.. or file:URL of the list."
  type        = string
  validation {
    condition     = regex_replace(var.source_checksum, "^((sha256|sha512):[0-9a-f]+|file:.+)$", "") == ""
    error_message = "The value of source_checksum must be sha256:.., sha512:.. or file:URL."
  }
}

variable "architecture" {
  description = "Of the nodes: amd64 or arm64, as the source is."
  type        = string
  default     = "amd64"
  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The value of architecture must be amd64 or arm64."
  }
}

variable "firmware" {
  description = "UEFI for arm64, which QEMU has no other firmware for: the file of Debian's qemu-efi-aarch64."
  type        = string
  default     = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
}

variable "seed" {
  description = "The directory that ./seed has made: user-data, meta-data and the key for Packer."
  type        = string
  default     = "seed.d"
}

variable "accelerator" {
  description = "kvm, or tcg where there is none (slow)."
  type        = string
  default     = "kvm"
}

variable "disk_size" {
  description = "Of the image, as QEMU takes it."
  type        = string
  default     = "10G"
}

variable "output" {
  description = "The directory that the disk is written to."
  type        = string
  default     = "output"
}

variable "kubernetes_version" {
  description = "Of kubelet and kubeadm, as apt takes it."
  type        = string
}

variable "kubernetes_repository" {
  description = "The URL of a flat repository with Debian packages of kubelet and kubeadm, and with Release.key."
  type        = string
  validation {
    condition     = regex_replace(var.kubernetes_repository, "^https://[^ ']+$", "") == ""
    error_message = "The value of kubernetes_repository must be an https URL."
  }
}

variable "kubernetes_key_sha256" {
  description = "Pins the repository's Release.key."
  type        = string
  default     = ""
  validation {
    condition     = regex_replace(var.kubernetes_key_sha256, "^([0-9a-f]{64})?$", "") == ""
    error_message = "The value of kubernetes_key_sha256 must be 64 hexadecimal digits in lower case."
  }
}

variable "name" {
  description = "How the image's name begins."
  type        = string
  default     = "crossfade-debian"
}
