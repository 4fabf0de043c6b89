"""The site: hosts.yaml read, checked and turned into the frozen values of ``model``."""
