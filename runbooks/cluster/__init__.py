"""The cluster commands: prepare, init, join, remove, reset, verify and status."""
