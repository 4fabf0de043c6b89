"""Backup sets on disk: the directory of sets, the manifest, the files of a set."""
