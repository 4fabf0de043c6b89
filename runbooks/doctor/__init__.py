"""What is wrong anywhere, and the command for it."""
