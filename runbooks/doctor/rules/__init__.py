"""Pure: what was seen, as findings."""
