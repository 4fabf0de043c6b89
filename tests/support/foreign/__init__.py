"""Clusters that are not ours: built by plain scripts, as a person builds them from a document. No code of runbooks is in these."""
