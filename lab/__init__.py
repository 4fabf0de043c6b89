"""The lab: a twin of hosts.yaml on one Linux machine, its hosts booted for real in an isolated network namespace."""
