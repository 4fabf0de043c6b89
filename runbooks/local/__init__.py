"""The operator's own machine: programs that run there, and private files."""
