"""This machine: programs, private files, disk, restic."""
