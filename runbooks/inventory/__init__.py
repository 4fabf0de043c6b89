"""The site: read hosts.yaml, check it, and turn it into the frozen values of ``model``."""
