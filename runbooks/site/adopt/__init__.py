"""`inv site.adopt`: find a cluster that is there already, and write hosts.yaml for it."""
