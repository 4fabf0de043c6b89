"""Pure decisions about backups: they read and change nothing."""
