"""The masters' certificates."""
