"""`inv site.import`: what another tool's inventory says, as hosts.yaml."""
