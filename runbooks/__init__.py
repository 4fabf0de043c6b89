"""Runbooks of a highly available on-premises Kubernetes cluster: one command per procedure."""
