"""Sets as they lie on disk."""
