"""A set is made."""
