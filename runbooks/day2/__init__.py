"""The life of a cluster after its first day: nodes out of service and back, reboots."""
