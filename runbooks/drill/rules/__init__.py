"""Which drills there are, when they are refused, and what they have shown. Pure."""
