"""Decisions of a rehearsal. Pure."""
