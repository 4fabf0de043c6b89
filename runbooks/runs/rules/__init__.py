"""What is said of runs. Pure."""
