"""What was lost is brought back."""
