"""Upgrades of Kubernetes by kubeadm: what stands in the way, how far one has come, and how long it takes."""
