"""hosts.yaml, host keys, the lock, the runs, the pages."""
