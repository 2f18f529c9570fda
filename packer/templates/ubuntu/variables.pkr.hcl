variable "region" {
  description = "The region that the image is built in."
  type        = string
}

variable "regions" {
  description = "Regions that it is copied to."
  type        = list(string)
  default     = []
}

variable "release" {
  description = "Of Ubuntu: jammy-22.04 or noble-24.04."
  type        = string
  default     = "noble-24.04"
  validation {
    condition     = contains(["jammy-22.04", "noble-24.04"], var.release)
    error_message = "The value of release must be jammy-22.04 or noble-24.04."
  }
}

variable "architecture" {
  description = "Of the nodes: amd64 or arm64."
  type        = string
  default     = "amd64"
  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The value of architecture must be amd64 or arm64."
  }
}

variable "instance_type" {
  description = "What the image is built on; empty for m6i.large, or m6g.large where architecture is arm64."
  type        = string
  default     = ""
}

variable "subnet_id" {
  description = "Where it is built; empty for the default VPC."
  type        = string
  default     = ""
}

variable "source_ami_owners" {
  description = "Who publishes the image that this one is made of; the default is Canonical's account."
  type        = list(string)
  default     = ["099720109477"]
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
  default     = "crossfade-ubuntu"
}
