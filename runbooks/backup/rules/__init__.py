"""Pure decisions about backups."""
