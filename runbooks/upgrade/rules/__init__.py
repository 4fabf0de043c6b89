"""Pure decisions about upgrades."""
