variable "region" {
  description = "The region that the image is built in."
  type        = string
}

variable "regions" {
  description = "Regions that it is copied to."
  type        = list(string)
  default     = []
}

variable "kubernetes_version" {
  description = "The minor version of the cluster."
  type        = string
  validation {
    condition     = regex_replace(var.kubernetes_version, "^1[.][0-9]{2}$", "") == ""
    error_message = "The value of kubernetes_version must be a minor version, for instance 1.33."
  }
}

variable "architecture" {
  description = "Of the nodes: x86_64 or arm64."
  type        = string
  default     = "x86_64"
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "The value of architecture must be x86_64 or arm64."
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
  description = "Who publishes the image that this one is made of: an account, or amazon."
  type        = list(string)
  default     = ["amazon"]
}

variable "name" {
  description = "How the image's name begins."
  type        = string
  default     = "crossfade-eks-al2023"
}
