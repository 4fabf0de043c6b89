"""Pure decisions of the recoveries."""
