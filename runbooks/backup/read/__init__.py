"""Sets are verified, shown and read."""
