"""Inventories of other tools: read and turned into hosts.yaml. Pure."""
