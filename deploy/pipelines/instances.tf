# Asks before a machine of aws_instance.node is ended or replaced. The name of the Node is the instance's private DNS name.
resource "terraform_data" "permit" {
  for_each         = aws_instance.node
  input            = each.value.private_dns
  triggers_replace = each.value.id

  # Without create_before_destroy here: Terraform would leave the provisioner out.
  provisioner "local-exec" {
    when        = destroy
    environment = { NODE = self.output }
    command     = <<-EOT
      until kubectl crossfade permit "$NODE" --wait 600; do
        status=$?; [ "$status" -eq 75 ] || exit "$status"
      done
      kubectl drain "$NODE" --ignore-daemonsets --delete-emptydir-data --timeout=30m
    EOT
  }
}
