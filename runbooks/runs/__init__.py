"""The history of runs: which there were, what each did, and metrics of them."""
