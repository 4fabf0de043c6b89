"""Decisions about load balancers that only this wing needs. Pure."""
