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
        status=$?
        [ "$status" -ne 75 ] || continue
        [ "$status" -eq 3 ] || exit "$status"
        # A spot machine takes its Node along, and then nothing is left to drain.
        present=$(kubectl get node "$NODE" --ignore-not-found --output name) || exit 1
        [ -z "$present" ] || exit 3
        exit 0
      done
      kubectl drain "$NODE" --ignore-daemonsets --delete-emptydir-data --timeout=30m
    EOT
  }
}
