"""Decisions of this wing. Pure."""
