"""Runs that nobody starts."""
