"""Decisions of `inv site.adopt`: what was seen in, a site file and findings out. Pure."""
