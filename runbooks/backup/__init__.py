"""Backup sets: made, scheduled, proven, read."""
