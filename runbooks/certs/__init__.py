"""The certificates of a cluster that kubeadm made: checked and renewed."""
