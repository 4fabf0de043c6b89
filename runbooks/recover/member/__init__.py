"""One member of etcd is repaired or replaced."""
