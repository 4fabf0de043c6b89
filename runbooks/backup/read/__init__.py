"""Reading sets: show, verify, test-restore, extract, decrypt, fetch."""
