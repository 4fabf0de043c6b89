"""`inv backup.run`: making, pruning and copying backup sets."""
